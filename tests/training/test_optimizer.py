"""Schedules, weight decay, clipping and accumulation do what their docstrings say."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from covidjax.training import optimizer, steps
from covidjax.training.state import TrainState

ZERO = {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}
ONE = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}


def rates(learning_rate: float, warmup: float, updates: int, at) -> np.ndarray:
    schedule = optimizer.schedule(learning_rate, warmup, updates)
    return np.array([float(schedule(step)) for step in at])


def test_the_rate_rises_linearly_to_the_peak_and_falls_as_a_cosine_to_a_hundredth():
    found = rates(0.5, 0.2, 100, range(101))
    np.testing.assert_allclose(found[:21], np.linspace(0.005, 0.5, 21), rtol=1e-5)
    angle = np.pi * np.arange(81) / 80
    expected = 0.005 + (0.5 - 0.005) * (1 + np.cos(angle)) / 2
    np.testing.assert_allclose(found[20:], expected, rtol=1e-4)
    np.testing.assert_allclose(rates(0.5, 0.2, 100, [150]), 0.005, rtol=1e-5)


def test_without_warm_up_the_rate_starts_at_the_peak():
    np.testing.assert_allclose(rates(0.5, 0.0, 10, [0]), 0.5)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("updates", [0, 1, 2, 3, 7])
def test_short_runs_have_rates_too(warmup, updates):
    found = rates(0.5, warmup, updates, range(max(updates, 1)))
    assert (found > 0).all() and (found <= 0.5).all()


def apply(tx, params, gradients, count: int = 1):
    state = tx.init(params)
    for _ in range(count):
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_shrinks_kernels_and_neither_biases_nor_scales(name):
    tx = optimizer.create(name, learning_rate=0.1, steps=10, warmup=0.0, weight_decay=0.5)
    after = apply(tx, ONE, ZERO)
    np.testing.assert_allclose(after["kernel"], 1 - 0.1 * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(after["bias"], 1)


def test_the_mask_is_true_for_kernels_alone():
    params = {"conv": jnp.zeros((3, 3, 1, 4)), "dense": {"kernel": jnp.zeros((2, 2))}}
    params["bn"] = {"scale": jnp.zeros(4), "bias": jnp.zeros(4), "temperature": jnp.zeros(())}
    none = {"scale": False, "bias": False, "temperature": False}
    assert optimizer.decayed(params) == {"conv": True, "dense": {"kernel": True}, "bn": none}


def test_sgd_has_nesterovs_momentum():
    tx = optimizer.create("sgd", learning_rate=0.1, steps=10**6, warmup=0.0, momentum=0.5)
    after = apply(tx, ZERO, ONE, count=3)
    # Traces 1, 1.5, 1.75; Nesterov takes gradient + 0.5 * trace.
    np.testing.assert_allclose(after["bias"], -0.1 * (1.5 + 1.75 + 1.875), rtol=1e-4)


def test_clipping_bounds_the_global_norm_and_leaves_smaller_gradients_alone():
    options = dict(learning_rate=1.0, steps=10**6, warmup=0.0, momentum=0.0)
    gradients = jax.tree.map(lambda leaf: 3 * leaf, ONE)  # norm 3 * sqrt(8)
    bounded = apply(optimizer.create("sgd", clip=0.5, **options), ZERO, gradients)
    np.testing.assert_allclose(optax.tree.norm(bounded), 0.5, rtol=1e-5)
    for clip in (0.0, 100.0):
        free = apply(optimizer.create("sgd", clip=clip, **options), ZERO, gradients)
        np.testing.assert_allclose(free["kernel"], -3, rtol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_accumulating_k_batches_equals_one_of_k_times_the_size(name):
    draw = np.random.default_rng(0)
    inputs, targets = draw.normal(size=(24, 3)).astype(np.float32), draw.normal(size=(24, 2))
    weights = draw.random(24).astype(np.float32)

    def loss_fn(params, batch_stats, batch, key):
        outputs = jnp.tanh(batch["inputs"] @ params["kernel"]) + params["bias"]
        errors = jnp.mean((outputs - batch["targets"]) ** 2, axis=1)
        return jnp.mean(batch["weights"] * errors), ({}, batch_stats)

    def train(size: int, accumulate: int):
        options = dict(learning_rate=0.1, warmup=0.3, weight_decay=0.1, clip=0.2)
        tx = optimizer.create(name, steps=24 // size, accumulate=accumulate, **options)
        params = jax.tree.map(lambda leaf: leaf + 0.3, ZERO)
        state = TrainState(jnp.zeros((), jnp.int32), params, {}, tx.init(params), params, {})
        step = jax.jit(
            lambda state, batch: steps.train_step(
                state, batch, jax.random.key(0), loss_fn=loss_fn, optimizer=tx, ema_decay=0.9
            )
        )
        seen = []
        for first in range(0, 24, size):
            part = slice(first, first + size)
            batch = {"inputs": inputs[part], "targets": targets[part], "weights": weights[part]}
            state, _ = step(state, batch)
            seen.append(state.params)
        return seen

    small, large = train(2, 3), train(6, 1)
    for update in range(4):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            small[3 * update + 2],
            large[update],
        )
    # Between updates nothing moves.
    jax.tree.map(np.testing.assert_array_equal, small[3], small[2])
    assert np.abs(large[3]["kernel"] - large[0]["kernel"]).max() > 0.01


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_comes_last_scales_the_whole_update_and_counts_updates(accumulate):
    options = dict(learning_rate=0.1, steps=10**6, warmup=0.0, weight_decay=0.5, momentum=0.0)
    halved = optax.scale_by_schedule(lambda count: jnp.where(count < 2, 0.5, 1.0))
    found, plain = (
        apply(optimizer.create("sgd", accumulate=accumulate, last=last, **options), ONE, ONE, count)
        for last, count in ((halved, 2 * accumulate), (None, accumulate))
    )
    # Kernels: 1 - 0.1 * 0.5 * (1 + 0.5 * kernel), twice; against one whole update.
    once = 1 - 0.05 * 1.5
    np.testing.assert_allclose(found["kernel"], once - 0.05 * (1 + 0.5 * once), rtol=1e-5)
    np.testing.assert_allclose(plain["kernel"], 1 - 0.15, rtol=1e-5)
    np.testing.assert_allclose(found["bias"], plain["bias"], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adam"}, "optimizer.name='adam': known are adamw, sgd"),
        ({"warmup": 1.0}, r"optimizer.warmup must be in \[0, 1\), got 1.0"),
        ({"warmup": -0.1}, "got -0.1"),
        ({"accumulate": 0}, "accumulate must be at least 1.*got 0, "),
        ({"learning_rate": 0.0}, "learning_rate positive.*got 1, 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate positive.*got 1, nan"),
        ({"weight_decay": -1.0}, "weight_decay.*not negative.*-1.0"),
        ({"clip": -2.0}, "clip not negative.*-2.0"),
    ],
)
def test_numbers_out_of_range_are_refused_and_named(options, message):
    settings = {"name": "sgd", "learning_rate": 0.1, "steps": 10} | options
    with pytest.raises(ValueError, match=message):
        optimizer.create(**settings)
