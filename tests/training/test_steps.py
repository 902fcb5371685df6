"""The train step: it learns, averages, keeps its types, and gives its buffers up."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from covidjax.classify import loss as objective
from covidjax.training import sharding, steps
from covidjax.training.state import TrainState


def linear_loss(params, batch_stats, batch, key):
    """Logistic regression on whether the upper half is the brighter one; adds up what it saw."""
    pixels = batch["images"].astype(jnp.float32) / 255
    half = pixels.shape[1] // 2
    feature = 10 * (pixels[:, :half].mean((1, 2, 3)) - pixels[:, half:].mean((1, 2, 3)))
    losses = optax.sigmoid_binary_cross_entropy(
        params["slope"] * feature + params["offset"], batch["labels"]
    )
    noise = jax.random.uniform(key)
    return jnp.mean(losses), ({"noise": noise}, {"seen": batch_stats["seen"] + 1})


def linear_state(tx: optax.GradientTransformation) -> TrainState:
    params = {"slope": jnp.asarray(-1.0), "offset": jnp.asarray(0.5)}
    stats = {"seen": jnp.asarray(0.0)}
    return TrainState(jnp.zeros((), jnp.int32), params, stats, tx.init(params), params, stats)


def run_linear(count: int, decay: float = 0.99):
    tx = optax.sgd(1.0)
    state, history = linear_state(tx), []
    batch = {name: jnp.asarray(value) for name, value in tiny.first_batch().items()}
    for _ in range(count):
        state, metrics = steps.train_step(
            state, batch, tiny.KEY, loss_fn=linear_loss, optimizer=tx, ema_decay=decay
        )
        history.append((state, {name: float(value) for name, value in metrics.items()}))
    return history


@pytest.fixture(scope="module")
def history():
    return run_linear(12)


def test_the_step_learns_without_being_compiled(history):
    losses = [metrics["loss"] for _, metrics in history]
    assert losses[0] > 1 and losses[-1] < 0.3 * losses[0]
    assert history[-1][0].params["slope"] > 0


def test_every_step_counts_one_and_carries_the_statistics_on(history):
    assert [int(state.step) for state, _ in history] == list(range(1, 13))
    assert history[-1][0].step.dtype == jnp.int32
    assert [float(state.batch_stats["seen"]) for state, _ in history] == list(range(1, 13))


def test_the_key_of_a_step_is_folded_from_the_runs_key_and_the_step(history):
    expected = [float(jax.random.uniform(jax.random.fold_in(tiny.KEY, i))) for i in range(12)]
    np.testing.assert_allclose([metrics["noise"] for _, metrics in history], expected)


@pytest.mark.parametrize("decay", [0.99, 0.15])
def test_the_averages_follow_their_formula(decay):
    average, seen = -1.0, 0.0
    for number, (state, _) in enumerate(run_linear(5, decay)):
        share = min(decay, (1 + number) / (10 + number))
        average = share * average + (1 - share) * float(state.params["slope"])
        seen = share * seen + (1 - share) * (number + 1)
        np.testing.assert_allclose(state.ema_params["slope"], average, rtol=1e-5)
        np.testing.assert_allclose(state.ema_batch_stats["seen"], seen, rtol=1e-5)


def test_the_gradient_norm_is_before_the_optimizer(history):
    start = linear_state(optax.sgd(1.0))
    batch = {name: jnp.asarray(value) for name, value in tiny.first_batch().items()}
    gradients = jax.grad(lambda params: linear_loss(params, start.batch_stats, batch, tiny.KEY)[0])(
        start.params
    )
    expected = np.sqrt(sum(float(g) ** 2 for g in jax.tree.leaves(gradients)))
    np.testing.assert_allclose(history[0][1]["gradient_norm"], expected, rtol=1e-5)


def test_the_compiled_step_learns_the_pictures_without_compiling_again(start, step_fn):
    mesh, stream, state = tiny.one_device(), tiny.make_batches(), start()
    before, accuracies = step_fn._cache_size(), []
    for _ in range(30):
        state, metrics = step_fn(state, sharding.to_device(next(stream), mesh), tiny.KEY)
        accuracies.append(float(metrics["accuracy"]))
    assert step_fn._cache_size() - before <= 1
    assert set(metrics) == {"loss", "gradient_norm", "accuracy"}
    assert np.mean(accuracies[:3]) < 0.8 < 0.9 < np.mean(accuracies[-5:])


def test_the_state_given_to_the_compiled_step_is_given_up(start, step_fn):
    mesh, state = tiny.one_device(), start()
    batch = sharding.to_device(tiny.first_batch(), mesh)
    after, _ = step_fn(state, batch, tiny.KEY)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((after, batch)))
    with pytest.raises(RuntimeError, match="deleted"):
        np.asarray(state.step)


def aliased_parameters(text: str) -> set[int]:
    """Numbers of the parameters whose buffers the outputs of a compiled program take over."""
    start = text.index("input_output_alias={") + len("input_output_alias=")
    depth = 0
    for end in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            break
    return {int(number) for number in re.findall(r": \((\d+), ", text[start : end + 1])}


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("several", [False, True])
def test_the_compiled_program_writes_every_leaf_of_the_state_in_place(devices, several):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    step = tiny.compiled_step(mesh, several=several)
    batch = tiny.first_batch()
    placed = (
        sharding.several_to_device([batch, batch], mesh)
        if several
        else sharding.to_device(batch, mesh)
    )
    state = jax.eval_shape(lambda: tiny.fresh(mesh))
    leaves = jax.tree.leaves(state)
    compiled = step.lower(state, placed, tiny.KEY).compile()
    # The state's leaves are the first parameters, and none may be optimized away.
    assert aliased_parameters(compiled.as_text()) == set(range(len(leaves)))
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    assert compiled.memory_analysis().alias_size_in_bytes >= held


def test_several_steps_at_once_take_the_steps_that_single_ones_take(start, step_fn, several_fn):
    mesh, stream, one = tiny.one_device(), tiny.make_batches(), start()
    batches = [next(stream) for _ in range(3)]
    rows = []
    for batch in batches:
        one, metrics = step_fn(one, sharding.to_device(batch, mesh), tiny.KEY)
        rows.append(metrics)
    many, columns = several_fn(start(), sharding.several_to_device(batches, mesh), tiny.KEY)
    assert many.step == one.step == 3
    for name, column in columns.items():
        np.testing.assert_allclose(column, [row[name] for row in rows], rtol=1e-4, err_msg=name)
    for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_cpus_get_one_step_a_dispatch_unless_asked():
    mesh = tiny.one_device()
    assert steps.steps_per_dispatch(0, mesh) == 1
    assert steps.steps_per_dispatch(5, mesh) == 5


def test_a_bfloat16_network_keeps_statistics_parameters_and_moments_in_float32(start):
    model = tiny.make_model("bfloat16")
    loss_fn = objective.make_loss(model, 2, 0.1, tiny.MILD)

    def step(state, batch, key):
        return steps.train_step(
            state, batch, key, loss_fn=loss_fn, optimizer=tiny.make_optimizer(), ema_decay=0.9
        )

    before, batch = start(), tiny.first_batch()
    assert "bf16" in str(jax.make_jaxpr(step)(before, batch, tiny.KEY))
    after, metrics = jax.eval_shape(step, before, batch, tiny.KEY)
    types = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (before, after)]
    assert types[0] == types[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(metrics)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("devices", [1, 8])
def test_predictions_come_back_whole_and_in_order(devices):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    predict = steps.compile_predict(mesh, lambda p, s, images: p * images[:, 0, 0] + s)
    images = np.arange(16, dtype=np.float32).reshape(16, 1, 1, 1)
    batch = sharding.to_device({"images": images}, mesh)["images"]
    found = predict(jnp.asarray(2.0), jnp.asarray(1.0), batch)
    assert found.sharding.is_fully_replicated and len(found.sharding.device_set) == devices
    np.testing.assert_array_equal(found[:, 0], 2 * np.arange(16) + 1)
