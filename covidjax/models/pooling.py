"""Max pooling whose gradient is fast on the CPU.

XLA lowers the gradient of a max pool to select-and-scatter, which on the CPU is 10 to 60 times
slower than the forward pass. A maximum over shifted, strided slices computes the same values with a
gradient made of selects. Where several positions of a window tie, the gradient is shared among them
(select-and-scatter gives it to the first): both are subgradients.
"""

import itertools
from functools import partial, reduce

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

KERNELS = ("auto", "plain")


def max_pool(
    x: Float[Array, "batch height width channels"],
    window: int = 2,
    stride: int = 2,
    padding: int = 0,
    kernels: str = "auto",
) -> Float[Array, "batch out_height out_width channels"]:
    """Maximum over square windows.

    Args:
      x: activations.
      window, stride, padding: as in the literature's networks, the same for both sides; padded
        positions never win.
      kernels: "auto" takes the slices on the CPU and XLA's pooling elsewhere, "plain" is always
        XLA's.

    Raises:
      ValueError: for another value of `kernels`.
    """
    if kernels not in KERNELS:
        raise ValueError(f"kernels={kernels!r}: known are {', '.join(KERNELS)}")
    if kernels == "plain" or jax.default_backend() != "cpu":
        pad = ((padding, padding), (padding, padding))
        return nn.max_pool(x, (window, window), strides=(stride, stride), padding=pad)
    return _pool_slices(x, window, stride, padding)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _pool_slices(x: Array, window: int, stride: int, padding: int) -> Array:
    return reduce(jnp.maximum, _slices(x, window, stride, padding))


def _forward(x: Array, window: int, stride: int, padding: int) -> tuple[Array, tuple[Array, Array]]:
    y = _pool_slices(x, window, stride, padding)
    return y, (x, y)


def _backward(
    window: int, stride: int, padding: int, residuals: tuple[Array, Array], gradient: Array
) -> tuple[Array]:
    x, y = residuals
    slices, place = jax.vjp(lambda x: _slices(x, window, stride, padding), x)
    wins = [(part == y).astype(x.dtype) for part in slices]
    share = gradient / sum(wins)
    return place([win * share for win in wins])


_pool_slices.defvjp(_forward, _backward)


def _slices(x: Array, window: int, stride: int, padding: int) -> list[Array]:
    """For each position in a window, what stands there in all windows."""
    if padding:
        sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        x = jnp.pad(x, sides, constant_values=-jnp.inf)
    rows = (x.shape[1] - window) // stride + 1
    columns = (x.shape[2] - window) // stride + 1
    return [
        x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i, j in itertools.product(range(window), repeat=2)
    ]
