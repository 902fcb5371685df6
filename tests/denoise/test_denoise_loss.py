"""What a denoiser learns: views, losses and their figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from covidjax import models
from covidjax.data.noise import Noise
from covidjax.denoise import loss as objectives
from covidjax.denoise.loss import LOSSES, Objective

DRAW = np.random.default_rng(0)
CLEAN = DRAW.uniform(size=(3, 16, 16, 1)).astype(np.float32)
OUTPUT = (CLEAN + DRAW.normal(0, 0.1, CLEAN.shape)).astype(np.float32)


def objective(**fields) -> Objective:
    return Objective(**{"noise": Noise(), "low": 5.0, "high": 55.0} | fields)


def test_psnr_is_of_the_peak_1():
    found = objectives.psnr(jnp.full((1, 4, 4, 1), 0.6), jnp.full((1, 4, 4, 1), 0.5))
    assert float(found[0]) == pytest.approx(20, abs=1e-3)


def test_losses_have_their_formulas():
    error = OUTPUT - CLEAN
    squares = (error**2).mean((1, 2, 3))
    expected = {
        "psnr": np.log(squares).mean() / 2,
        "l1": np.abs(error).mean(),
        "charbonnier": np.sqrt(error**2 + 1e-6).mean(),
        "mse": squares.mean(),
    }
    assert expected.keys() == LOSSES.keys()
    for name, value in expected.items():
        found = objectives.total_loss(OUTPUT, CLEAN, objective(loss=name))
        assert float(found) == pytest.approx(value, rel=1e-4), name


def test_ssim_is_scikit_images_away_from_the_edges():
    for i, found in enumerate(objectives.ssim(OUTPUT, CLEAN)):
        _, full = structural_similarity(
            CLEAN[i, ..., 0],
            OUTPUT[i, ..., 0],
            data_range=1,
            gaussian_weights=True,
            use_sample_covariance=False,
            full=True,
        )
        assert float(found) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-4)


def test_further_terms_add_their_weight_and_vanish_for_a_perfect_result():
    plain = float(objectives.total_loss(OUTPUT, CLEAN, objective(loss="l1")))
    for term in ("ssim", "spectrum"):
        for weight in (0.5, 1.0):
            more = objectives.total_loss(OUTPUT, CLEAN, objective(loss="l1", **{term: weight}))
            assert float(more) > plain
        added = float(more) - plain
        half = float(objectives.total_loss(OUTPUT, CLEAN, objective(loss="l1", **{term: 0.5})))
        assert half - plain == pytest.approx(added / 2, rel=1e-3)
        perfect = objectives.total_loss(CLEAN, CLEAN, objective(loss="l1", **{term: 1.0}))
        assert float(perfect) == pytest.approx(0, abs=1e-6)


def test_the_spectrum_term_sees_blur_and_not_a_shift():
    shifted = np.roll(CLEAN, 3, axis=1)
    assert float(objectives.spectrum_difference(shifted, CLEAN)) < 1e-3
    blurred = (CLEAN + np.roll(CLEAN, 1, axis=1)) / 2
    assert float(objectives.spectrum_difference(blurred, CLEAN)) > 0.05


def test_gradients_are_finite_where_nothing_is_wrong():
    def total(x):
        whats = (objective(loss=name, ssim=0.1, spectrum=0.1) for name in LOSSES)
        return jnp.stack([objectives.total_loss(x, CLEAN, what) for what in whats])

    slopes = jax.jit(jax.jacrev(total))(CLEAN)
    assert np.isfinite(slopes).all()


def test_views_are_parts_of_the_image_in_one_of_eight_turns():
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    views = jax.jit(
        lambda key: objectives.random_views(
            jnp.tile(jnp.asarray(image), (200, 1, 1, 1)), key, objective(patch=6)
        )
    )(jax.random.key(0))
    assert views.shape == (200, 6, 6, 1) and views.dtype == jnp.uint8
    parts = {
        objectives.turned(image[:, i : i + 6, j : j + 6], n).tobytes(): n
        for i in range(3)
        for j in range(3)
        for n in range(8)
    }
    found = [parts[np.asarray(view).tobytes()] for view in views]
    assert set(found) == set(range(8)) and len({view.tobytes() for view in np.asarray(views)}) > 50


def test_mirror_and_none_leave_the_image_upright():
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    images = jnp.tile(image, (50, 1, 1, 1))
    seen = objectives.random_views(images, jax.random.key(0), objective(augment="mirror"))
    assert {np.asarray(x).tobytes() for x in seen} == {
        np.asarray(x).tobytes() for x in (image[0], image[0, :, ::-1])
    }
    same = objectives.random_views(images, jax.random.key(0), objective(augment="none"))
    np.testing.assert_array_equal(same, images)


def test_every_turn_is_taken_back():
    for number in range(8):
        there = objectives.turned(jnp.asarray(CLEAN), number)
        np.testing.assert_array_equal(objectives.turned(there, number, back=True), CLEAN)


def test_an_ensemble_does_not_ask_how_the_image_is_turned():
    model = models.create("unet", width=4, blocks=(1,))
    params = model.init(jax.random.key(0), CLEAN)["params"]
    params = jax.tree.map(lambda x: x + 0.1 * jnp.cos(jnp.arange(x.size).reshape(x.shape)), params)
    one, eight = (jax.jit(objectives.make_apply(model, ensemble)) for ensemble in ("none", "turns"))
    levels = jnp.zeros(3)
    turned = np.ascontiguousarray(objectives.turned(CLEAN, 5))
    there = objectives.turned(eight(params, {}, turned, levels), 5, back=True)
    np.testing.assert_allclose(there, eight(params, {}, CLEAN, levels), atol=1e-5)
    alone = objectives.turned(one(params, {}, turned, levels), 5, back=True)
    assert not np.allclose(alone, one(params, {}, CLEAN, levels), atol=1e-4)
