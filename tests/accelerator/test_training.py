"""Training on this device: several steps at once, donated buffers, types, and resuming."""

import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from benchmarks import ours, ours_dip
from covidjax.training import sharding, signals

# Gradients of convolutions may be summed in another order each time.
SAME = {"rtol": 1e-2, "atol": 1e-3}


@pytest.fixture(scope="module")
def step_fn():
    return tiny.compiled_step(tiny.one_device())


def assert_close(one, other) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, **SAME)


def test_eight_steps_in_a_dispatch_end_where_eight_dispatches_do(step_fn):
    several_fn = tiny.compiled_step(tiny.one_device(), several=True)
    mesh, stream, one = tiny.one_device(), tiny.make_batches(), tiny.fresh(tiny.one_device())
    batches = [next(stream) for _ in range(8)]
    for batch in batches:
        one, _ = step_fn(one, sharding.to_device(batch, mesh), tiny.KEY)
    placed = sharding.several_to_device(batches, mesh)
    many, figures = several_fn(tiny.fresh(mesh), placed, tiny.KEY)
    assert int(many.step) == 8 and figures["loss"].shape == (8,)
    assert_close(many.params, one.params)


def test_a_step_takes_over_the_buffers_of_the_state_before(step_fn):
    mesh = tiny.one_device()
    before = tiny.fresh(mesh)
    places = {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(before.params)}
    after, _ = step_fn(before, sharding.to_device(tiny.first_batch(), mesh), tiny.KEY)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
    assert {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(after.params)} == places


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("network", ["cnn", "unet", "resnet18", "dncnn"])
def test_steps_of_the_shipped_configs_lower_the_loss_and_keep_float32_parameters(network, dtype):
    training = ours.Training(network, 8, 32, dtype)
    # Always the same noise, else a denoiser's loss is a matter of luck.
    before = jax.tree.map(jnp.copy, training.state)
    _, first = training.step(before, training.batch, training.key)
    training.run(20)
    frozen = training.state.replace(step=jnp.zeros_like(training.state.step))
    _, last = training.step(frozen, training.batch, training.key)
    assert last["loss"] < first["loss"]
    kinds = {leaf.dtype for leaf in jax.tree.leaves(training.state.params)}
    assert kinds == {jnp.dtype("float32")}


@pytest.mark.parametrize("network", ["cnn", "unet"])
def test_the_compiled_step_calls_none_of_the_cpus_kernels(network):
    if jax.default_backend() == "cpu":
        pytest.skip("they are the CPU's")
    training = ours.Training(network, 8, 32)
    ours.start()
    lowered = training.step.lower(training.state, training.batch, training.key)
    assert "covidjax_" not in lowered.compile().as_text()


@pytest.mark.parametrize("rule", ["emv", "wmv"])
def test_deep_image_prior_fits_in_a_scan_and_in_a_loop_alike(rule):
    losses = []
    for by_python in (False, True):
        fitting = ours_dip.Fitting(8, 64, rule, by_python)
        fitting.fit, figures = fitting.engine.run_chunk(
            fitting.fit, fitting.inputs, fitting.target, fitting.key, 20
        )
        losses.append(figures["loss"])
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(*losses, rtol=0.05)


def test_a_stopped_run_resumes_to_where_an_undisturbed_one_ends(tmp_path, step_fn):
    straight, _ = tiny.fit(tmp_path / "straight", step_fn=step_fn)
    stopping = tiny.after(6, step_fn, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(signals.StoppedError, match="saved"):
        tiny.fit(tmp_path / "resumed", step_fn=stopping)
    resumed, progress = tiny.fit(tmp_path / "resumed", step_fn=step_fn)
    assert int(resumed.step) == tiny.TOTAL and progress.best_step == tiny.TOTAL
    assert_close(resumed.params, straight.params)
