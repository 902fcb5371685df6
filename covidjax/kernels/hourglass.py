"""Layers of an hourglass network for one image at a time: reflecting convolutions, normalization.

On the CPU they are `winograd.cc`, `patches.cc`, `norm.cc`, `merge.cc`, `mix.cc`, `project.cc`,
`skip.cc` and `perturb.cc` where those are in use (see `native.py`), elsewhere array operations; the
two agree to rounding. Gradients are reverse-mode.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from covidjax.kernels import build, native

EPSILON = 1e-5  # added to variances, as PyTorch has it
SLOPE = 0.2  # of LeakyReLU below 0
FEW = 4  # columns of a product that has a kernel of its own: floats of the smallest register

Images = Float[Array, "batch height width channels"]
Channels = Float[Array, " channels"]


def conv(
    images: Images, kernel: Float[Array, "side side inputs outputs"], stride: int = 1
) -> Images:
    """The convolution with (side - 1) / 2 pixels of reflection (PyTorch's "reflect") around it.

    Args:
      images: of more than (side - 1) / 2 pixels a side.
      kernel: of odd side.
      stride: of both sides.
    """
    pad = kernel.shape[0] // 2
    if kernel.shape[0] == 1 and stride == 1 and kernel.shape[-1] % native.LANES:
        compiled = build.in_use() and images.dtype == jnp.float32
        few = kernel.shape[-1] <= FEW and kernel.shape[-2] % native.LANES == 0
        return (_few if compiled and few else jnp.matmul)(images, kernel[0, 0])
    strides, pads = (stride, stride), ((pad, pad), (pad, pad))
    found = native.conv(images, kernel, strides, pads, mirror=pad > 0)
    if found is not None:
        return found
    if pad:
        images = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    return lax.conv_general_dilated(
        images, kernel, strides, "VALID", dimension_numbers=native.LAYOUT
    )


def norm_act(x: Images, scale: Channels, bias: Channels) -> Images:
    """BatchNorm over each image by itself, then LeakyReLU."""
    if build.in_use() and x.dtype == jnp.float32:
        return _norm(x, scale, bias)
    z = _normalize(x, scale, bias)
    return jnp.where(z > 0, z, SLOPE * z)


def norm_act_dot(
    x: Images, scale: Channels, bias: Channels, matrix: Float[Array, "channels outputs"]
) -> Images:
    """What `norm_act` gives, times a matrix: the 1 x 1 convolution behind it."""
    inputs, outputs = matrix.shape
    fits = inputs % native.LANES == 0 and (outputs == 1 or outputs % native.LANES == 0)
    if build.in_use() and x.dtype == jnp.float32 and fits:
        return _norm_dot(x, scale, bias, matrix)
    return norm_act(x, scale, bias) @ matrix


def merge(
    deep: Float[Array, "batch half_height half_width deeper"],
    skip: Float[Array, "batch height width beside"],
    scale: Channels,
    bias: Channels,
) -> Images:
    """BatchNorm, over each image by itself, of the skip beside `deep` at twice its size."""
    if build.in_use() and deep.dtype == jnp.float32:
        return _merge(deep, skip, scale, bias)
    return _normalize(jnp.concatenate([skip, enlarge(deep)], axis=-1), scale, bias)


def perturb(images: Images, key: PRNGKeyArray, deviation: float) -> Images:
    """With normal noise added; no gradient. Compiled and plain noise differ in their numbers."""
    if build.in_use() and images.dtype == jnp.float32:
        words = jax.random.bits(key, (2,))
        call = native.ffi_call("perturb", images.shape)
        return call(images, words, deviation=np.float32(deviation))[0]
    return images + deviation * jax.random.normal(key, images.shape, images.dtype)


def enlarge(images: Images) -> Images:
    """Bilinear, to twice the size: PyTorch's Upsample with align_corners=False."""
    for axis in (1, 2):
        size = images.shape[axis]
        first, last = (lax.slice_in_dim(images, at, at + 1, axis=axis) for at in (0, size - 1))
        inner = partial(lax.slice_in_dim, images, axis=axis)
        before = jnp.concatenate([first, inner(0, size - 1)], axis)
        after = jnp.concatenate([inner(1, size), last], axis)
        pairs = jnp.stack([0.75 * images + 0.25 * before, 0.75 * images + 0.25 * after], axis + 1)
        images = pairs.reshape(*images.shape[:axis], 2 * size, *images.shape[axis + 1 :])
    return images


def _normalize(x: Array, scale: Array, bias: Array) -> Array:
    mean = jnp.mean(x, (1, 2), keepdims=True)
    variance = jnp.mean((x - mean) ** 2, (1, 2), keepdims=True)
    return (x - mean) * (scale * lax.rsqrt(variance + EPSILON)) + bias


@jax.custom_vjp
def _few(x: Array, matrix: Array) -> Array:
    """A product with at most FEW columns."""
    return native.ffi_call("few_forward", (*x.shape[:-1], matrix.shape[1]))(x, matrix)[0]


def _few_forward(x: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return _few(x, matrix), (x, matrix)


def _few_backward(residuals: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, matrix = residuals
    d_x = native.ffi_call("few_input_gradient", x.shape)(dy, matrix)[0]
    return d_x, native.ffi_call("few_kernel_gradient", matrix.shape)(x, dy)[0]


_few.defvjp(_few_forward, _few_backward)


@jax.custom_vjp
def _norm(x: Array, scale: Array, bias: Array) -> Array:
    return _norm_forward(x, scale, bias)[0]


def _norm_forward(x: Array, scale: Array, bias: Array) -> tuple[Array, tuple[Array, ...]]:
    call = native.ffi_call("norm_forward", x.shape, *[(x.shape[0], x.shape[-1])] * 2)
    y, mean, inverse = call(x, scale, bias, epsilon=np.float32(EPSILON), slope=np.float32(SLOPE))
    return y, (x, scale, bias, mean, inverse)


def _norm_backward(residuals: tuple[Array, ...], dy: Array) -> tuple[Array, ...]:
    x, *others = residuals
    call = native.ffi_call("norm_backward", x.shape, x.shape[-1:], x.shape[-1:])
    return tuple(call(x, dy, *others, slope=np.float32(SLOPE)))


_norm.defvjp(_norm_forward, _norm_backward)


@jax.custom_vjp
def _norm_dot(x: Array, scale: Array, bias: Array, matrix: Array) -> Array:
    return _norm_dot_forward(x, scale, bias, matrix)[0]


def _norm_dot_forward(
    x: Array, scale: Array, bias: Array, matrix: Array
) -> tuple[Array, tuple[Array, ...]]:
    shapes = [(*x.shape[:3], matrix.shape[1]), *[(x.shape[0], x.shape[-1])] * 2]
    y, *moments = native.ffi_call(f"{_dot_kernel(matrix)}_forward", *shapes)(
        x, scale, bias, matrix, epsilon=np.float32(EPSILON), slope=np.float32(SLOPE)
    )
    return y, (x, scale, bias, matrix, *moments)


def _norm_dot_backward(residuals: tuple[Array, ...], dy: Array) -> tuple[Array, ...]:
    x, scale, bias, matrix, *moments = residuals
    shapes = [each.shape for each in (x, scale, bias, matrix)]
    call = native.ffi_call(f"{_dot_kernel(matrix)}_backward", *shapes)
    return tuple(call(x, dy, scale, bias, matrix, *moments, slope=np.float32(SLOPE)))


def _dot_kernel(matrix: Array) -> str:
    return "project" if matrix.shape[1] == 1 else "mix"


_norm_dot.defvjp(_norm_dot_forward, _norm_dot_backward)


@jax.custom_vjp
def _merge(deep: Array, skip: Array, scale: Array, bias: Array) -> Array:
    return _merge_forward(deep, skip, scale, bias)[0]


def _merge_forward(
    deep: Array, skip: Array, scale: Array, bias: Array
) -> tuple[Array, tuple[Array, ...]]:
    channels = scale.shape[0]
    shapes = [(*skip.shape[:3], channels), *[(skip.shape[0], channels)] * 2]
    y, *moments = native.ffi_call("merge_forward", *shapes)(
        deep, skip, scale, bias, epsilon=np.float32(EPSILON)
    )
    return y, (deep, skip, scale, *moments)


def _merge_backward(residuals: tuple[Array, ...], dy: Array) -> tuple[Array, ...]:
    deep, skip, scale, *moments = residuals
    call = native.ffi_call("merge_backward", deep.shape, skip.shape, scale.shape, scale.shape)
    return tuple(call(deep, skip, dy, scale, *moments))


_merge.defvjp(_merge_forward, _merge_backward)
