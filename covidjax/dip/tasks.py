"""What is taken away from a radiograph, and given back by a Deep Image Prior.

- denoise: noise of `covidjax.data.noise` is added.
- inpaint: places are unknown; letters as they are burned into radiographs, drawn at random places
  (`letters`), or the image's own where it is white as a letter (`white`), for which no clean
  picture is known beneath.
- super: it is made smaller by a factor of 2 or 4 (Lanczos, antialiased).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from covidjax.data.noise import Noise, add_noise
from covidjax.dip.fit import Target

TASKS = ("denoise", "inpaint", "super")
FACTORS = (2, 4)
TEXTS = ("R", "L", "AP", "PA", "ERECT", "PORTABLE")
WHITE = 0.98  # from which a pixel counts as a letter's

Picture = NDArray[np.float32]  # [height, width] in [0, 1]


class Problem(NamedTuple):
    """One picture of the queue.

    Attributes:
      target: for the fit.
      given: what a reader is shown as the input, [height, width].
      counted: where a picture is compared with the clean one, bool [height, width]: everywhere, or
        for inpainting where something was missing; nowhere if the clean picture is not known there.
    """

    target: Target
    given: Picture
    counted: NDArray[np.bool_]


def measurement(task: str, size: int, factor: int = 2) -> Callable[[Array], Array]:
    """What the task leaves of pictures [batch, size, size, 1], differentiable."""
    if task != "super":
        return lambda picture: picture
    small = size // factor

    def smaller(picture: Array) -> Array:
        shape = (picture.shape[0], small, small, 1)
        return jax.image.resize(picture, shape, "lanczos3", antialias=True)

    return smaller


def make_problem(
    task: str,
    clean: Picture,
    key: Array,
    *,
    noise: Noise | None = None,
    level: float = 0.0,
    mask: str = "letters",
    factor: int = 2,
) -> Problem:
    """The task of one picture; the same key gives the same noise, letters and places.

    Args:
      task: of TASKS.
      clean: in [0, 1].
      noise, level: for denoise.
      mask: "letters" or "white", for inpaint.
      factor: of FACTORS, for super.
    """
    picture = jnp.asarray(clean)[..., None]
    everywhere = np.ones(clean.shape, bool)
    if task == "denoise":
        assert noise is not None
        noisy = add_noise(picture[None], jnp.array([level]), key, noise)[0]
        target = Target(noisy, jnp.ones_like(noisy), picture)
        return Problem(target, np.asarray(noisy)[..., 0], everywhere)
    if task == "super":
        target = known_target(clean, measurement(task, clean.shape[0], factor))
        small = np.asarray(target.measured)[..., 0]
        shown = cv2.resize(small, clean.shape, interpolation=cv2.INTER_CUBIC)
        return Problem(target, np.asarray(shown, np.float32), everywhere)
    gone = letters(clean.shape, key) if mask == "letters" else white(clean)
    known = jnp.asarray(~gone, jnp.float32)[..., None]
    given = np.where(gone, np.float32(1), clean)
    target = Target(jnp.asarray(given)[..., None], known, picture)
    return Problem(target, given, gone if mask == "letters" else np.zeros_like(gone))


def known_target(clean: Picture, measure: Callable[[Array], Array]) -> Target:
    """All that `measure` leaves of a picture, without noise; weights are learned from such."""
    picture = jnp.asarray(clean)[..., None]
    measured = measure(picture[None])[0]
    return Target(measured, jnp.ones_like(measured), picture)


def letters(shape: tuple[int, ...], key: Array) -> NDArray[np.bool_]:
    """Three markings such as "R" or "PORTABLE", of 1/16 to 1/8 of the height, somewhere."""
    random = np.random.default_rng(np.asarray(jax.random.bits(key, (2,))).tolist())
    drawn = np.zeros(shape, np.uint8)
    for _ in range(3):
        text = str(random.choice(TEXTS))
        high = shape[0] * random.uniform(1 / 16, 1 / 8)
        size = high / 21  # pixels of a capital of this face at scale 1
        thick = max(1, round(high / 8))
        (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
        left = int(random.integers(0, max(1, shape[1] - wide)))
        bottom = int(random.integers(int(high), shape[0]))
        place = (left, bottom)
        cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick)
    return drawn > 0


def white(picture: Picture) -> NDArray[np.bool_]:
    """Where a radiograph is as white as a letter, with one pixel around it."""
    return cv2.dilate((picture >= WHITE).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def check_sizes(task: str, size: int, factor: int) -> None:
    """Raises ValueError where a picture cannot be made smaller by the factor."""
    if task == "super" and (factor not in FACTORS or size % factor):
        known = ", ".join(map(str, FACTORS))
        raise ValueError(f"config.factor={factor}: known are {known}, which must divide {size}")


def clean_picture(pixels: NDArray[np.uint8], row: int) -> Picture:
    """The image in that row, in [0, 1]."""
    return pixels[row].astype(np.float32) / 255


def problem_of(
    config: ml_collections.ConfigDict, pixels: NDArray[np.uint8], row: int, key: jax.Array
) -> Problem:
    """What is asked of the image in that row."""
    return make_problem(
        config.task,
        clean_picture(pixels, row),
        key,
        noise=Noise(config.noise.kind),
        level=config.level,
        mask=config.mask,
        factor=config.factor,
    )


def named(config: Any) -> str:
    """NOISE/LEVEL of the keys of results.json: gaussian/25, letters/0, super/2."""
    if config.task == "denoise":
        return f"{config.noise.kind}/{config.level:g}"
    return f"{config.mask}/0" if config.task == "inpaint" else f"super/{config.factor}"
