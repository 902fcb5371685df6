"""The compiled kernels as JAX functions with gradients; see `winograd.cc`."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from covidjax.kernels import build

PLANES = 36  # products a tile of Winograd's F(4 x 4, 3 x 3)
OUTPUTS = 4  # pixels a side of its tiles
CHANNELS = 16  # channels are multiples of the widest register's floats
# Of tiles transformed at once for a kernel's gradient: they stay in the last-level cache. More for
# many channels, where each pass over the tiles also moves the sums, of up to 36 MiB.
LEAST_BYTES, MOST_BYTES = 8 * 2**20, 32 * 2**20

Images = Float[Array, "batch height width channels"]
Kernel = Float[Array, "3 3 inputs outputs"]


def fits(inputs: int, outputs: int) -> bool:
    """Whether `conv3x3` is there for so many channels."""
    return build.in_use() and inputs % CHANNELS == 0 and outputs % CHANNELS == 0


@jax.custom_vjp
def conv3x3(images: Images, kernel: Kernel) -> Images:
    """The 3 x 3 convolution with stride 1 and one pixel of zero padding, float32, where it `fits`.

    Reverse-mode gradients equal `lax.conv_general_dilated`'s to 1e-5 relative, in the norm over the
    array; forward-mode ones are not defined.
    """
    return _convolve(images, kernel, turned=False)


def _forward(images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return conv3x3(images, kernel), (images, kernel)


def _backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    images, kernel = residuals
    return _convolve(gradient, kernel, turned=True), _kernel_gradient(images, gradient)


conv3x3.defvjp(_forward, _backward)


def _convolve(images: Array, kernel: Array, *, turned: bool) -> Array:
    """With `turned` by the kernel of the input's gradient: rotated, its channels exchanged."""
    outputs, inputs = kernel.shape[3 - turned], kernel.shape[2 + turned]
    result = jax.ShapeDtypeStruct((*images.shape[:3], outputs), jnp.float32)
    tiles = jax.ShapeDtypeStruct((PLANES, inputs, outputs), jnp.float32)
    call = jax.ffi.ffi_call("covidjax_convolve", (result, tiles), vmap_method="sequential")
    return call(images, kernel, turned=turned)[0]


def _kernel_gradient(images: Array, gradient: Array) -> Array:
    batch, height, width, inputs = images.shape
    outputs = gradient.shape[-1]
    sums = jax.ShapeDtypeStruct((PLANES, inputs, outputs), jnp.float32)
    kept = min(max(4 * sums.size * 4, LEAST_BYTES), MOST_BYTES)
    there = batch * -(-height // OUTPUTS) * -(-width // OUTPUTS)
    tiles = max(1, min(there, kept // (PLANES * (inputs + outputs) * 4)))
    # Each plane has a margin, so that planes do not all fall on the same lines of the cache.
    space = jax.ShapeDtypeStruct((PLANES, tiles * (inputs + outputs) + 2 * CHANNELS), jnp.float32)
    result = jax.ShapeDtypeStruct((3, 3, inputs, outputs), jnp.float32)
    results = (result, sums, space)
    call = jax.ffi.ffi_call("covidjax_kernel_gradient", results, vmap_method="sequential")
    return call(images, gradient, tiles=np.int64(tiles))[0]
