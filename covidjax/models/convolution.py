"""Convolutions over very small images as one matrix product.

XLA's CPU convolution takes 50 times as long as it should where a 3 x 3 kernel is larger than the
image: 564 ms for 32 images of 2 x 2 x 512, and 152 ms for the input gradient of the strided one
before it (ResNet's last stage at 64 px), against 10 ms for four times the image and as many
operations. Collecting the patches and multiplying is fast there, gradients included.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

SMALL_SIDE = 3  # of the output; from 4 on XLA's own convolution is as fast


def conv_general_dilated(
    lhs: Float[Array, "batch height width inputs"],
    rhs: Float[Array, "rows columns inputs outputs"],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **kwargs: Any,
) -> Float[Array, "batch out_height out_width outputs"]:
    """`lax.conv_general_dilated` for linen's `nn.Conv(conv_general_dilated=...)`.

    Undilated, ungrouped, NHWC convolutions to `SMALL_SIDE` or fewer rows and columns are computed
    as matrix products on the CPU; all others are left to XLA.
    """
    sides = [
        (size + sum(pad) - kernel) // stride + 1
        for size, pad, kernel, stride in zip(
            lhs.shape[1:3], padding, rhs.shape[:2], window_strides, strict=True
        )
    ]
    plain = (
        jax.default_backend() != "cpu"
        or max(sides) > SMALL_SIDE
        or kwargs.get("feature_group_count", 1) != 1
        or set(kwargs.get("lhs_dilation") or (1,)) | set(kwargs.get("rhs_dilation") or (1,)) != {1}
    )
    if plain:
        return lax.conv_general_dilated(lhs, rhs, window_strides, padding, **kwargs)
    return _as_product(lhs, rhs, window_strides, padding, sides)


def _as_product(
    images: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    sides: Sequence[int],
) -> Array:
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    rows, columns = ((side - 1) * stride + 1 for side, stride in zip(sides, strides, strict=True))
    patches = jnp.concatenate(
        [
            padded[:, i : i + rows : strides[0], j : j + columns : strides[1]]
            for i in range(kernel.shape[0])
            for j in range(kernel.shape[1])
        ],
        axis=-1,
    )
    return patches @ kernel.reshape(-1, kernel.shape[-1])
