"""Which kernel a convolution on the CPU takes; on accelerators all are XLA's.

Where the compiled kernels are in use (`native.py`: one device, float32, outputs a multiple of 16)
it is theirs: 1.5 to 5 times XLA's speed. Elsewhere, matrix products in array operations, where
XLA's CPU backend convolves more slowly than it multiplies matrices:

- 3 x 3 with stride 1: 1.5 to 2.5 times, by Winograd's algorithm (`winograd.py`);
- 1 x 1: 2 to 5 times, as the matrix product that it is;
- one input channel, as the first layer has: 2 to 3 times, gradient included;
- a kernel larger than its image (ResNet's last stages at 64 px): 50 times.

Measured on two cores, as many operations a second as XLA's own convolution.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from covidjax.kernels import native, winograd

SMALL_SIDE = 3  # of the output; from 4 on XLA's own convolution is as fast as the patches
# Inputs times outputs from which Winograd's algorithm is faster: below, its tiles cost more than
# they save.
WINOGRAD_CHANNELS = 512
LAYOUT = ("NHWC", "HWIO", "NHWC")

Images = Float[Array, "batch height width channels"]


def convolution_of(kernels: str) -> Callable[[], Callable[..., Images]] | None:
    """What `nn.Conv` takes as `conv_general_dilated_cls`: with kernels="plain" linen's default."""
    return _ours if kernels == "auto" else None


def _ours() -> Callable[..., Images]:
    return conv_general_dilated


def conv_general_dilated(
    lhs: Images,
    rhs: Float[Array, "rows columns inputs outputs"],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]] | str,
    **kwargs: Any,
) -> Images:
    """`lax.conv_general_dilated` for linen's `nn.Conv`, NHWC and HWIO."""
    kernel, strides = rhs.shape[:2], (window_strides[0], window_strides[1])
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], kernel, strides, padding)
    pads = tuple((low, high) for low, high in padding)
    sides = _sides(lhs.shape, kernel, strides, pads)
    if _plain(kwargs):
        return lax.conv_general_dilated(lhs, rhs, strides, pads, **kwargs)
    compiled = native.conv(lhs, rhs, strides, pads)
    if compiled is not None:
        return compiled
    if kernel == (1, 1) and pads == ((0, 0), (0, 0)):
        return lhs[:, :: strides[0], :: strides[1]] @ rhs[0, 0]
    exact = lhs.dtype == jnp.float32
    if lhs.shape[-1] == 1 and exact:
        return _one_channel(lhs, rhs, strides, pads)
    if max(sides) <= SMALL_SIDE:
        return _patches(lhs, kernel, strides, pads, sides) @ rhs.reshape(-1, rhs.shape[-1])
    same = kernel == (3, 3) and strides == (1, 1) and pads == ((1, 1), (1, 1))
    if exact and same and rhs.shape[2] * rhs.shape[3] >= WINOGRAD_CHANNELS:
        return winograd.conv3x3(lhs, rhs)
    return lax.conv_general_dilated(lhs, rhs, strides, pads, **kwargs)


def _plain(kwargs: dict[str, Any]) -> bool:
    """Whether only XLA's own will do: another device, grouped or dilated."""
    dilations = {*(kwargs.get("lhs_dilation") or (1,)), *(kwargs.get("rhs_dilation") or (1,))}
    return (
        jax.default_backend() != "cpu"
        or kwargs.get("feature_group_count", 1) != 1
        or dilations != {1}
    )


def _patches(
    images: Images,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    sides: Sequence[int],
) -> Float[Array, "batch out_height out_width patch"]:
    """What the kernel sees at each place, rows before columns before channels."""
    padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
    shifted = [
        padded[:, i : i + _reach(sides[0], strides[0]), j : j + _reach(sides[1], strides[1])]
        for i, j in itertools.product(range(kernel[0]), range(kernel[1]))
    ]
    return jnp.concatenate([part[:, :: strides[0], :: strides[1]] for part in shifted], axis=-1)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _one_channel(
    images: Float[Array, "batch height width 1"],
    kernel: Float[Array, "rows columns 1 outputs"],
    strides: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
) -> Images:
    """A product whose patches lie pixel after pixel, not patch after patch: long runs to copy."""
    return _one_channel_forward(images, kernel, strides, pads)[0]


def _one_channel_forward(
    images: Array, kernel: Array, strides: tuple[int, ...], pads: tuple[tuple[int, int], ...]
) -> tuple[Array, tuple[Array, Array]]:
    runs = _runs(images, kernel.shape[:2], strides, pads)
    product = jnp.einsum("bkhw,kd->bhwd", runs, kernel.reshape(-1, kernel.shape[-1]))
    return product, (images, kernel)


def _one_channel_backward(
    strides: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    residuals: tuple[Array, Array],
    gradient: Array,
) -> tuple[Array, Array]:
    images, kernel = residuals
    runs = _runs(winograd.recomputed(images, gradient), kernel.shape[:2], strides, pads)
    # One product an image, which run at once, and not one that is long and thin.
    d_kernel = jnp.einsum("bkhw,bhwd->bkd", runs, gradient).sum(axis=0)

    def plain(x: Array) -> Array:
        return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=LAYOUT)

    (d_images,) = jax.linear_transpose(plain, images)(gradient)
    return d_images, d_kernel.reshape(kernel.shape)


_one_channel.defvjp(_one_channel_forward, _one_channel_backward)


def _runs(
    images: Float[Array, "batch height width 1"],
    taps: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> Float[Array, "batch taps out_height out_width"]:
    """What each tap of the kernel meets, in rows of pixels. Phases first: no row has a stride."""
    batch = images.shape[0]
    sides = _sides(images.shape, taps, strides, pads)
    blocks = [
        -(-_reach(side, stride, tap) // stride)
        for side, stride, tap in zip(sides, strides, taps, strict=True)
    ]
    ends = [
        count * stride - size - pad[0]
        for count, stride, size, pad in zip(blocks, strides, images.shape[1:3], pads, strict=True)
    ]
    zero = jnp.zeros((), images.dtype)
    margins = [(pad[0], end, 0) for pad, end in zip(pads, ends, strict=True)]
    fitted = lax.pad(images[..., 0], zero, ((0, 0, 0), *margins))
    phases = fitted.reshape(batch, blocks[0], strides[0], blocks[1], strides[1])
    phases = lax.optimization_barrier(phases.transpose(2, 4, 0, 1, 3))
    runs = []
    for i, j in itertools.product(range(taps[0]), range(taps[1])):
        (row, a), (column, b) = divmod(i, strides[0]), divmod(j, strides[1])
        runs.append(phases[a, b, :, row : row + sides[0], column : column + sides[1]])
    return lax.optimization_barrier(jnp.stack(runs, axis=1))


def _sides(
    shape: Sequence[int],
    taps: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> list[int]:
    """Rows and columns of the result."""
    sizes = zip(shape[1:3], taps, strides, pads, strict=True)
    return [(size + sum(pad) - tap) // stride + 1 for size, tap, stride, pad in sizes]


def _reach(places: int, stride: int, taps: int = 1) -> int:
    """Pixels from the first that a kernel meets to the last, both included."""
    return (places - 1) * stride + taps
