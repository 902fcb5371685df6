"""Max pooling whose gradient is fast on the CPU.

XLA lowers the gradient of a max pool to select-and-scatter, which on the CPU is 10 to 60 times
slower than the forward pass. A maximum over shifted, strided slices computes the same values with a
gradient made of selects. Where several positions of a window tie, the gradient is shared among them
(select-and-scatter gives it to the first): both are subgradients.
"""

import functools
import itertools

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
    if padding:
        sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        x = jnp.pad(x, sides, constant_values=-jnp.inf)
    rows = (x.shape[1] - window) // stride + 1
    columns = (x.shape[2] - window) // stride + 1
    slices = (
        x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i, j in itertools.product(range(window), repeat=2)
    )
    return functools.reduce(jnp.maximum, slices)
