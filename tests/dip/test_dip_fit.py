"""The engine: the recipe, the average, the stop, the way back, and the way out."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax.dip import engine as dip_engine
from covidjax.dip import fit as dip_fit
from covidjax.dip.fit import Recipe, Target
from covidjax.models.unet import SkipHourglass

SIDE = 8
MODEL = SkipHourglass(width=4, skip=2, scales=1)
RECIPE = Recipe(steps=24, channels=3, rule="emv", window=4, patience=100, chunk=8)
KEY = jax.random.key(3)
PICTURE = jax.random.uniform(jax.random.key(5), (SIDE, SIDE, 1))
TARGET = Target(PICTURE, jnp.ones_like(PICTURE), PICTURE)
INPUTS = dip_fit.make_input(KEY, (SIDE, SIDE), RECIPE)


@pytest.fixture(scope="module")
def engine() -> dip_engine.Engine:
    return dip_engine.make_engine(MODEL, RECIPE, lambda y: y)


@pytest.fixture(scope="module")
def fitted(engine) -> dip_fit.Fitted:
    return dip_engine.run(engine, engine.begin(KEY, INPUTS), INPUTS, TARGET, KEY)


def test_a_step_is_adam_on_the_perturbed_input(engine):
    """The first step of Adam moves every weight by the learning rate, against its gradient."""
    fit = engine.begin(KEY, INPUTS)
    noise = jax.random.normal(jax.random.fold_in(KEY, 0), INPUTS.shape) / 30

    def loss(params):
        return jnp.mean((MODEL.apply({"params": params}, INPUTS + noise)[0] - PICTURE) ** 2)

    value, gradient = jax.jit(jax.value_and_grad(loss))(fit.params)
    before = jax.device_get(fit.params)  # the step takes the fit's own buffers
    after, figures = engine.run_chunk(fit, INPUTS, TARGET, KEY, 1)
    np.testing.assert_allclose(figures["loss"], [value], rtol=1e-4)
    moved = jax.tree.map(lambda a, b: np.asarray(b) - a, before, after.params)
    for change, slope in zip(jax.tree.leaves(moved), jax.tree.leaves(gradient), strict=True):
        clear = np.abs(slope) > 1e-4
        np.testing.assert_allclose(change[clear], -0.01 * np.sign(slope[clear]), rtol=1e-2)


def test_the_average_has_no_bias_to_zero(engine):
    fit = engine.begin(KEY, INPUTS)
    fit, figures = engine.run_chunk(fit, INPUTS, TARGET, KEY, 1)
    shown = dip_fit.unbiased(fit.average, 1, RECIPE)
    # After one step it is the output itself.
    np.testing.assert_allclose(figures["error"], figures["output_error"], rtol=1e-3)
    assert 0.3 < float(shown.mean()) < 0.7


def test_the_loss_falls_and_every_step_has_its_figures(fitted):
    assert fitted.steps == 24 and fitted.ended == "steps" and fitted.returns == 0
    assert all(len(curve) == 24 for curve in fitted.curves.values())
    assert fitted.curves["loss"][-1] < fitted.curves["loss"][0]


def test_the_picture_is_the_average_when_the_variance_was_last_near_its_smallest(fitted):
    variances = fitted.curves["variance"]
    near = variances <= 1.1 * np.minimum.accumulate(variances)
    assert fitted.stop == int(np.flatnonzero(near & np.isfinite(variances))[-1]) + 1
    error = np.mean((fitted.picture - np.asarray(PICTURE)[..., 0]) ** 2)
    np.testing.assert_allclose(error, fitted.curves["error"][fitted.stop - 1], rtol=1e-4)


def test_the_same_key_gives_the_same_bits_and_another_does_not(engine, fitted):
    again = dip_engine.run(engine, engine.begin(KEY, INPUTS), INPUTS, TARGET, KEY)
    np.testing.assert_array_equal(again.picture, fitted.picture)
    other = dip_engine.run(engine, engine.begin(KEY, INPUTS), INPUTS, TARGET, jax.random.key(4))
    assert np.abs(other.picture - fitted.picture).max() > 0


def scripted(engine, variances, losses=None, **changes):
    """An engine whose steps are written down: what the loop does with them."""
    steps = {"at": 0, "keys": []}

    def run_chunk(fit, inputs, target, key, count):
        part = slice(int(fit.step), int(fit.step) + count)
        seen = np.float32(variances[part])
        best = int(fit.best_step), float(fit.best_variance)
        for place, value in enumerate(seen, part.start + 1):
            best = (place, float(value)) if value < best[1] else best
        steps["keys"].append(jax.random.key_data(key).tolist())
        loss = np.ones(count) if losses is None else losses(part, len(steps["keys"]))
        fit = fit._replace(
            step=fit.step + count, best_step=jnp.int32(best[0]), best_variance=jnp.float32(best[1])
        )
        return fit, {"loss": np.float32(loss), "variance": seen}

    recipe = dataclasses.replace(RECIPE, **changes)
    made = dataclasses.replace(engine, recipe=recipe, run_chunk=run_chunk)
    fit = engine.begin(KEY, INPUTS)
    return dip_engine.run(made, fit, INPUTS, TARGET, KEY), steps["keys"]


def test_patience_ends_the_loop(engine):
    variances = np.abs(np.arange(400) - 50) + 1.0
    fitted, chunks = scripted(engine, variances, steps=400, patience=30)
    assert fitted.ended == "rule" and fitted.stop == 51
    assert fitted.steps == 88 and len(chunks) == 11  # the first look at 30 steps after 51


def test_without_a_rule_all_steps_are_done(engine):
    fitted, _ = scripted(engine, np.arange(40) + 1.0, steps=40, patience=1, rule="none")
    assert fitted.steps == 40 and fitted.ended == "steps" and fitted.stop == 40


def test_a_leap_of_the_loss_is_taken_back_with_other_perturbations(engine):
    def losses(part, call):
        return np.full(8, 10.0 if call == 2 else 1.0)

    fitted, keys = scripted(engine, np.ones(100), losses, steps=24)
    assert fitted.returns == 1 and fitted.steps == 24 and fitted.ended == "steps"
    assert len(fitted.curves["loss"]) == 24 and fitted.curves["loss"].max() == 1
    assert len(keys) == 4 and keys[0] != keys[2]


def test_nan_is_taken_back_and_given_up_in_the_end(engine):
    def losses(part, call):
        return np.full(8, np.nan if part.start >= 8 else 1.0)

    fitted, keys = scripted(engine, np.ones(100), losses, steps=24)
    assert fitted.ended == "diverged" and fitted.steps == 8
    assert fitted.returns == dip_engine.MOST_RETURNS + 1
    assert np.isfinite(fitted.picture).all() and np.isfinite(fitted.last).all()


def test_what_is_taken_back_holds_the_optimizers_moments(engine):
    """A fit whose second chunk is thrown away goes on from the first one's state, moments too."""
    states = []

    def run_chunk(fit, inputs, target, key, count):
        states.append(jax.device_get(fit.opt_state))
        fit, figures = engine.run_chunk(fit, inputs, target, key, count)
        if len(states) == 2:
            figures["loss"] = figures["loss"] * np.nan
        return fit, figures

    made = dataclasses.replace(engine, run_chunk=run_chunk)
    dip_engine.run(made, engine.begin(KEY, INPUTS), INPUTS, TARGET, KEY)
    assert len(states) == 4
    jax.tree.map(np.testing.assert_array_equal, states[1], states[2])
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, states[:2]), strict=True))


def test_a_scan_of_steps_equals_a_loop_of_them(engine):
    """What accelerators run, on the CPU."""
    parts = {
        "model": MODEL,
        "optimizer": engine.optimizer,
        "recipe": RECIPE,
        "measure": lambda y: y,
    }
    scanned = dip_engine._scanned_chunk(functools.partial(dip_fit.step, **parts))
    one, looped = engine.run_chunk(engine.begin(KEY, INPUTS), INPUTS, TARGET, KEY, 3)
    other, found = scanned(engine.begin(KEY, INPUTS), INPUTS, TARGET, KEY, 3)
    np.testing.assert_allclose(found["loss"], looped["loss"], rtol=1e-3)
    assert int(other.step) == int(one.step) == 3


def test_places_without_a_mask_do_not_count(engine):
    hidden = TARGET._replace(mask=TARGET.mask.at[:4].set(0))
    other = hidden._replace(measured=hidden.measured.at[:4].set(9.0))
    losses = []
    for target in (hidden, other):
        _, figures = engine.run_chunk(engine.begin(KEY, INPUTS), INPUTS, target, KEY, 2)
        losses.append(figures["loss"])
    np.testing.assert_array_equal(*losses)
