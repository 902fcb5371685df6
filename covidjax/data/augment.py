"""Augmentation and normalization on the device: pure functions of an image batch and a key.

The official TEST part differs from TRAIN in framing and exposure, so the defaults are strong: a
network that only sees TRAIN's framing learns it.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

Images = Float[Array, "batch height width 1"]


@dataclass(frozen=True)
class Augmentation:
    """Half-widths of the ranges that every image draws from, uniformly; 0 switches one off.

    Attributes:
      rotation: degrees.
      scale: of the logarithm of the zoom (0.2: from 0.82 to 1.22).
      stretch: of the logarithm of height against width, half of it each way.
      shift: of the side length.
      flip: probability of a left-right mirror.
      gamma: of the logarithm of the exponent of a tone curve.
      contrast: of the logarithm of the factor around mid-gray.
      brightness: of the offset, images being in [0, 1].
      shading: amplitude of a smooth random gain over the radiograph.
      blur: largest share of a 3 x 3 binomial blur mixed in (negative draws sharpen).
      noise: largest standard deviation of white noise.
      erase: largest side, as a share of the image's, of one erased rectangle.
    """

    rotation: float = 15.0
    scale: float = 0.2
    stretch: float = 0.15
    shift: float = 0.08
    flip: float = 0.5
    gamma: float = 0.4
    contrast: float = 0.3
    brightness: float = 0.15
    shading: float = 0.2
    blur: float = 0.8
    noise: float = 0.05
    erase: float = 0.3


def to_float(images: UInt8[Array, "batch height width 1"]) -> Images:
    """uint8 in 0..255 to float32 in [0, 1]."""
    return images.astype(jnp.float32) / 255.0


def normalize(images: Images) -> Images:
    """Zero mean and unit variance over each image: radiograph exposure carries no diagnosis."""
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    variance = jnp.var(images, axis=(1, 2, 3), keepdims=True)
    return (images - mean) * jax.lax.rsqrt(variance + 1e-4)


def augment(images: Images, key: PRNGKeyArray, strength: Augmentation) -> Images:
    """Random geometry, then random image, then an erased rectangle; an own draw for every image.

    Args:
      images: float32 in [0, 1].
      key: one key for the batch.
      strength: the ranges.

    Returns:
      Images of the same shape; values may leave [0, 1] a little.
    """
    geometry, film, rectangle = jax.random.split(key, 3)
    images = warp(images, affine_matrices(geometry, images.shape[0], strength))
    images = vary_film(images, film, strength)
    return erase(images, rectangle, strength.erase)


def affine_matrices(
    key: PRNGKeyArray, count: int, strength: Augmentation
) -> Float[Array, "count 2 3"]:
    """Random maps from output to input positions, both in [-1, 1] from edge to edge."""
    draws = jax.random.uniform(key, (6, count), minval=-1.0, maxval=1.0)
    angle = draws[0] * jnp.deg2rad(strength.rotation)
    zoom = jnp.exp(draws[1] * strength.scale)
    stretch = jnp.exp(draws[2] * strength.stretch / 2)
    mirror = jnp.where(draws[3] < 2 * strength.flip - 1, -1.0, 1.0)
    shift = 2 * strength.shift * draws[4:6]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    rows = jnp.stack([cos * zoom * stretch, -sin * zoom * mirror, shift[0]], axis=-1)
    columns = jnp.stack([sin * zoom, cos * zoom / stretch * mirror, shift[1]], axis=-1)
    return jnp.stack([rows, columns], axis=1)


def warp(images: Images, matrices: Float[Array, "batch 2 3"]) -> Images:
    """Bilinear resampling by affine maps; positions outside repeat the nearest edge."""
    batch, height, width, _ = images.shape
    rows = jnp.linspace(-1.0, 1.0, height)[:, None]
    columns = jnp.linspace(-1.0, 1.0, width)[None, :]
    source = (
        matrices[:, :, 0, None, None] * rows
        + matrices[:, :, 1, None, None] * columns
        + matrices[:, :, 2, None, None]
    )
    y = jnp.clip((source[:, 0] + 1) * (height - 1) / 2, 0, height - 1)
    x = jnp.clip((source[:, 1] + 1) * (width - 1) / 2, 0, width - 1)
    top = jnp.minimum(y.astype(jnp.int32), height - 2)
    left = jnp.minimum(x.astype(jnp.int32), width - 2)
    down, right = y - top, x - left
    pixels = images.reshape(batch, height * width)

    def at(row: Array, column: Array) -> Array:
        index = (row * width + column).reshape(batch, -1)
        return jnp.take_along_axis(pixels, index, axis=1).reshape(batch, height, width)

    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return (upper * (1 - down) + lower * down)[..., None]


def vary_film(images: Images, key: PRNGKeyArray, strength: Augmentation) -> Images:
    """Tone curve, contrast, brightness, shading, blur or sharpening, and noise."""
    batch = images.shape[0]
    scalars, field, grain = jax.random.split(key, 3)
    draws = jax.random.uniform(scalars, (5, batch, 1, 1, 1), minval=-1.0, maxval=1.0)
    images = jnp.clip(images, 1e-3, 1.0) ** jnp.exp(draws[0] * strength.gamma)
    images = (images - 0.5) * jnp.exp(draws[1] * strength.contrast) + 0.5
    images = images + draws[2] * strength.brightness
    coarse = jax.random.uniform(field, (batch, 3, 3, 1), minval=-1.0, maxval=1.0)
    images = images * (1 + strength.shading * jax.image.resize(coarse, images.shape, "linear"))
    images = images + draws[3] * strength.blur * (binomial_blur(images) - images)
    noise = jax.random.normal(grain, images.shape)
    return images + jnp.abs(draws[4]) * strength.noise * noise


def binomial_blur(images: Images) -> Images:
    """The 3 x 3 kernel (1, 2, 1) x (1, 2, 1) / 16, edges repeated."""
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


def erase(images: Images, key: PRNGKeyArray, largest: float) -> Images:
    """One rectangle an image set to that image's mean (Zhong et al. 2020, random erasing)."""
    batch, height, width, _ = images.shape
    draws = jax.random.uniform(key, (4, batch, 1, 1))
    rows = jnp.linspace(0.0, 1.0, height)[None, :, None]
    columns = jnp.linspace(0.0, 1.0, width)[None, None, :]
    inside = (jnp.abs(rows - draws[0]) < draws[2] * largest / 2) & (
        jnp.abs(columns - draws[1]) < draws[3] * largest / 2
    )
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return jnp.where(inside[..., None], mean, images)
