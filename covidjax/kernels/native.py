"""The compiled kernels as JAX functions with gradients: `winograd.cc` and `patches.cc`.

All are float32; reverse-mode gradients equal `lax.conv_general_dilated`'s to 1e-5 relative, in the
norm over the array; forward-mode ones are not defined.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from covidjax.kernels import build

LANES = 16  # floats of the widest register: output channels are multiples of it
LAYOUT = ("NHWC", "HWIO", "NHWC")
PLANES = 36  # products a tile of Winograd's F(4 x 4, 3 x 3)
OUTPUTS = 4  # pixels a side of its tiles
# Of tiles transformed at once for a kernel's gradient: they stay in the last-level cache. More for
# many channels, where each pass over the tiles also moves the sums, of up to 36 MiB.
LEAST_BYTES, MOST_BYTES = 4 * 2**20, 32 * 2**20
SMALLEST = 3  # pixels a side: below, a tile of 4 x 4 saves nothing
PATCHES_BYTES = 2 * 2**20  # of patches laid out at once for a kernel's gradient

Images = Float[Array, "batch height width channels"]
Kernel = Float[Array, "rows columns inputs outputs"]
# Strides; padding above, below, left, right; whether it is the image's reflection.
Window = tuple[int, ...]


def conv(
    images: Images,
    kernel: Kernel,
    strides: tuple[int, int],
    pads: tuple[tuple[int, int], ...],
    *,
    mirror: bool = False,
) -> Images | None:
    """The convolution by the kernel that is fastest for its shape; None where there is none.

    Beyond the edge are zeros, or with `mirror` the image's reflection.
    """
    inputs, outputs = kernel.shape[2:]
    if not build.in_use() or images.dtype != jnp.float32 or outputs % LANES:
        return None
    same = kernel.shape[:2] == (3, 3) and strides == (1, 1) and pads == ((1, 1), (1, 1))
    if same and (mirror or inputs % LANES == 0) and max(images.shape[1:3]) >= SMALLEST:
        return conv3x3(images, kernel, mirror)
    return conv_patches(images, kernel, (*strides, *pads[0], *pads[1], int(mirror)))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv3x3(
    images: Images, kernel: Float[Array, "3 3 inputs outputs"], mirror: bool = False
) -> Images:
    """The 3 x 3 convolution with stride 1 and one pixel of padding, by Winograd's algorithm.

    Outputs are a multiple of LANES. Beyond the edge are zeros, or with `mirror` the image reflected
    at its outermost pixels, of which it then has two a side at least.
    """
    return _convolve(images, kernel, mirror, turned=False)


def _forward(images: Array, kernel: Array, mirror: bool) -> tuple[Array, tuple[Array, Array]]:
    return conv3x3(images, kernel, mirror), (images, kernel)


def _backward(mirror: bool, residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    images, kernel = residuals
    d_images = _convolve(gradient, kernel, mirror, turned=True)
    return d_images, _kernel_gradient(images, gradient, mirror)


conv3x3.defvjp(_forward, _backward)


def _convolve(images: Array, kernel: Array, mirror: bool, *, turned: bool) -> Array:
    """With `turned` by the kernel of the input's gradient: rotated, its channels exchanged."""
    outputs, inputs = kernel.shape[3 - turned], kernel.shape[2 + turned]
    shapes = [(*images.shape[:3], outputs), (PLANES, inputs, _filled(outputs))]
    call = ffi_call("winograd_forward", *shapes)
    return call(images, kernel, turned=turned, mirror=mirror)[0]


def _kernel_gradient(images: Array, gradient: Array, mirror: bool) -> Array:
    batch, height, width, inputs = images.shape
    outputs = gradient.shape[-1]
    kept = min(max(4 * PLANES * inputs * outputs * 4, LEAST_BYTES), MOST_BYTES)
    there = batch * -(-height // OUTPUTS) * -(-width // OUTPUTS)
    row = _filled(inputs) + outputs
    tiles = max(1, min(there, kept // (PLANES * row * 4)))
    # Each plane has a margin, so that planes do not all fall on the same lines of the cache.
    space = (PLANES, tiles * row + 2 * LANES)
    shapes = [(3, 3, inputs, outputs), (PLANES, inputs, outputs), space]
    call = ffi_call("winograd_kernel_gradient", *shapes)
    return call(images, gradient, tiles=np.int64(tiles), mirror=mirror)[0]


def _filled(channels: int) -> int:
    return -(-channels // LANES) * LANES


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_patches(images: Images, kernel: Kernel, window: Window) -> Images:
    """Any convolution whose outputs are a multiple of LANES, as a product with patches.

    A seventh number in `window` that is not 0 reflects the image beyond its edge, instead of zeros.
    """
    rows, columns = (
        (size + sum(pads) - taps) // stride + 1
        for size, taps, stride, pads in zip(
            images.shape[1:3], kernel.shape[:2], window[:2], (window[2:4], window[4:6]), strict=True
        )
    )
    call = ffi_call("patches_forward", (images.shape[0], rows, columns, kernel.shape[-1]))
    return call(images, kernel, window=_corner(window))[0]


def _patches_forward(
    images: Array, kernel: Array, window: Window
) -> tuple[Array, tuple[Array, Array]]:
    return conv_patches(images, kernel, window), (images, kernel)


def _patches_backward(
    window: Window, residuals: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    images, kernel = residuals
    depth, outputs = kernel.size // kernel.shape[-1], kernel.shape[-1]
    places = min(gradient.size // outputs, max(1, PATCHES_BYTES // (4 * depth)))
    call = ffi_call("patches_kernel_gradient", kernel.shape, (places, depth))
    d_kernel = call(images, gradient, window=_corner(window))[0]
    return _patches_input_gradient(images, kernel, gradient, window), d_kernel


def _patches_input_gradient(images: Array, kernel: Array, gradient: Array, window: Window) -> Array:
    turned = kernel.reshape(-1, kernel.shape[-1]).T
    if (
        window[:6] == (1, 1, 0, 0, 0, 0)
        and kernel.shape[:2] == (1, 1)
        and turned.shape[1] % LANES == 0
    ):
        return conv_patches(gradient, turned[None, None], window)
    if turned.shape[1] % LANES == 0:
        call = ffi_call("patches_input_gradient", images.shape)
        return call(gradient, kernel, turned, window=_corner(window))[0]

    def plain(x: Array) -> Array:
        pads = [(window[2], window[3]), (window[4], window[5])]
        if any(window[6:]):
            x, pads = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="reflect"), [(0, 0), (0, 0)]
        return lax.conv_general_dilated(x, kernel, window[:2], pads, dimension_numbers=LAYOUT)

    return jax.linear_transpose(plain, images)(gradient)[0]


conv_patches.defvjp(_patches_forward, _patches_backward)


def ffi_call(name: str, *shapes: tuple[int, ...]) -> Callable[..., Any]:
    """The kernel of that name, whose results are float32 of those shapes."""
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.ffi.ffi_call(f"covidjax_{name}", results, vmap_method="sequential")


def _corner(window: Window) -> np.ndarray:
    """What the kernels want: strides, padding above and to the left, whether it reflects."""
    return np.array([*window[:2], window[2], window[4], *(window[6:] or (0,))], np.int64)
