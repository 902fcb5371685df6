"""The sliced max pool gives XLA's values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax.models.pooling import max_pool

SHAPES = [(2, 2, 0), (3, 2, 1), (2, 1, 0), (3, 3, 1)]
KERNELS = ("auto", "plain")


def distinct(shape: tuple[int, ...], seed: int = 0) -> jax.Array:
    """No two values alike; negative ones among them, so that padding with 0 would show."""
    values = np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape)
    return jnp.asarray(values - values.max() - 1, jnp.float32)


def pooled(x: jax.Array, arguments: tuple[int, ...], kernels: str) -> jax.Array:
    return max_pool(x, *arguments, kernels=kernels)


def both(x: jax.Array, *arguments: int):
    """Values and input gradients under random weights: of the slices, and of XLA's pooling."""

    @jax.jit
    def run(x: jax.Array):
        results = []
        for kernels in KERNELS:
            pool = partial(pooled, arguments=arguments, kernels=kernels)
            y, pull = jax.vjp(pool, x)
            weights = np.random.default_rng(1).normal(size=y.shape)
            results.append((y, pull(jnp.asarray(weights, y.dtype))[0]))
        return results

    return run(x)


@pytest.mark.parametrize(("window", "stride", "padding"), SHAPES)
def test_values_and_gradients_equal_xlas(window, stride, padding):
    x = distinct((2, 7, 8, 3))
    (values, gradients), (expected, expected_gradients) = both(x, window, stride, padding)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(gradients, expected_gradients, rtol=1e-6, atol=1e-6)


def test_the_slices_are_what_runs_on_the_cpu():
    """Else the comparison above would be of XLA with itself."""
    pools = {kernels: partial(max_pool, kernels=kernels) for kernels in KERNELS}
    text = {k: str(jax.make_jaxpr(pool)(distinct((1, 4, 4, 1)))) for k, pool in pools.items()}
    assert "reduce_window" in text["plain"] and "reduce_window" not in text["auto"]


@pytest.mark.parametrize(("window", "stride", "padding"), SHAPES)
def test_tied_positions_share_the_gradient_which_is_neither_lost_nor_doubled(
    window, stride, padding
):
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 8, 8, 3)), jnp.float32)
    (values, gradients), (expected, expected_gradients) = both(x, window, stride, padding)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(gradients.sum(), expected_gradients.sum(), rtol=1e-4)
    # Each window is alone in a 2 x 2 pool: its maxima get all of its gradient, the others none.
    if (window, stride) == (2, 2):
        cells = gradients.reshape(2, 4, 2, 4, 2, 3).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4)
        want = expected_gradients.reshape(2, 4, 2, 4, 2, 3).transpose(0, 1, 3, 5, 2, 4)
        np.testing.assert_allclose(cells.sum(1), want.reshape(-1, 4).sum(1), atol=1e-6)
        inputs = x.reshape(2, 4, 2, 4, 2, 3).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4)
        below = inputs < inputs.max(1, keepdims=True)
        assert below.any()
        np.testing.assert_array_equal(cells[below], 0)


def test_a_flat_window_gives_every_position_a_share():
    gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.zeros((1, 2, 2, 1)))
    assert (gradient > 0).all()
    np.testing.assert_allclose(gradient.sum(), 1)


def test_bfloat16_stays_bfloat16():
    x = distinct((1, 6, 6, 2)).astype(jnp.bfloat16)
    (values, gradients), (expected, _) = both(x, 3, 2, 1)
    assert values.dtype == gradients.dtype == jnp.bfloat16
    np.testing.assert_array_equal(values, expected)


def test_unknown_kernels_are_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="kernels='fast': known are auto, plain"):
        max_pool(jnp.zeros((1, 2, 2, 1)), kernels="fast")
