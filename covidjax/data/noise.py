"""Noise models on the device: pure functions of clean images, a level for each, and a key.

Clean images are in [0, 1], where 1 is what absorbed most (bone). Noisy ones are not clipped: what a
clipped value was cannot be known any more, and a denoiser's mean would be biased at both ends.

Each image has its own level and a key of its own, folded from the batch's key and the image's
number: its noise does not depend on what else is in the batch.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

Images = Float[Array, "batch height width channels"]
Image = Float[Array, "height width channels"]


class Kind(NamedTuple):
    """What the level of a kind of noise means.

    Attributes:
      unit: of the level.
      low, high: the range that blind training draws from.
      tested: levels to evaluate at.
      logarithmic: draw the level's logarithm uniformly.
    """

    unit: str
    low: float
    high: float
    tested: tuple[float, ...]
    logarithmic: bool = False


NOISES = {
    "gaussian": Kind("standard deviation, of 255", 5.0, 55.0, (15.0, 25.0, 50.0)),
    "low_dose": Kind("share of the full dose", 0.05, 1.0, (0.5, 0.2, 0.1), logarithmic=True),
    "speckle": Kind("standard deviation as a share of the value", 0.05, 0.5, (0.1, 0.2, 0.4)),
    "salt_and_pepper": Kind("share of dead pixels", 0.01, 0.3, (0.02, 0.1, 0.2)),
    "grid": Kind("amplitude of the lines, of 255", 5.0, 40.0, (10.0, 20.0, 40.0)),
}
GRID_PERIODS = (2.5, 8.0)  # pixels from line to line, drawn for each image
BLUR_REACH = 3  # standard deviations of the blur, to both sides


@dataclasses.dataclass(frozen=True)
class Noise:
    """A kind of noise, whose level is drawn or given apart, and what the detector adds to it.

    Attributes:
      kind: of NOISES.
      blur: standard deviation, in pixels, of the detector's blur, which correlates the main noise
        and leaves its variance as it is; 0 for none.
      dead: share of dead pixels (half of them 0, half 1) besides the main kind.
      grid: amplitude, of 255, of grid lines besides the main kind.
      absorption: D of low_dose: the logarithm of how much more light meets the detector where an
        image is 0 than where it is 1.
      photons: N0 of low_dose: a pixel's photons where an image is 0, at the full dose.
      electronic: sigma_e of low_dose: standard deviation of the electronics, in photons.

    Raises:
      ValueError: an unknown kind, or a number outside its range.
    """

    kind: str = "gaussian"
    blur: float = 0.0
    dead: float = 0.0
    grid: float = 0.0
    absorption: float = 3.0
    photons: float = 3000.0
    electronic: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in NOISES:
            raise ValueError(f"noise kind {self.kind!r} is unknown: known are {', '.join(NOISES)}")
        for name in ("blur", "grid", "electronic"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"noise.{name} must be at least 0, got {getattr(self, name)}")
        for name in ("absorption", "photons"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"noise.{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.dead < 1:
            raise ValueError(f"noise.dead must be in [0, 1), got {self.dead}")


def add_noise(
    images: Images,
    levels: Float[Array, " batch"],
    key: PRNGKeyArray,
    noise: Noise,
    examples: Int[Array, " batch"] | None = None,
) -> Images:
    """The noisy images, not clipped.

    Args:
      images: float32 in [0, 1].
      levels: of each image, in the unit of `NOISES[noise.kind]`.
      key: one for all; an image's own is `fold_in(key, its number)`.
      noise: what to add.
      examples: numbers of the images, for example of their rows; default 0, 1, 2, ...
    """
    numbers = jnp.arange(images.shape[0]) if examples is None else examples
    levels = jnp.asarray(levels, jnp.float32)

    def one(image: Image, level: Array, number: Array) -> Image:
        return _add_to_one(image, level, jax.random.fold_in(key, number), noise)

    return jax.vmap(one)(images, levels, numbers)


def draw_levels(
    key: PRNGKeyArray, count: int, low: float, high: float, *, logarithmic: bool = False
) -> Float[Array, " count"]:
    """Levels for blind training, uniform from low to high; fixed where the two are equal.

    With `logarithmic` their logarithm is uniform, as suits doses; low is then above 0.
    """
    if low == high:
        return jnp.full(count, low, jnp.float32)
    if logarithmic:
        drawn = jax.random.uniform(key, (count,), minval=math.log(low), maxval=math.log(high))
        return jnp.exp(drawn)
    return jax.random.uniform(key, (count,), minval=low, maxval=high)


def gaussian(image: Image, level: Array, key: PRNGKeyArray, noise: Noise) -> Image:
    """v' = v + (level / 255) n with normal n: the literature's benchmark.

    Zhang et al. 2017, "Beyond a Gaussian denoiser", doi:10.1109/TIP.2017.2662206.
    """
    del noise
    return image + level / 255 * jax.random.normal(key, image.shape)


def low_dose(image: Image, level: Array, key: PRNGKeyArray, noise: Noise) -> Image:
    """Fewer photons: I = N0 exp(-D v), y ~ Poisson(level I) + N(0, sigma_e), v' from y by its log.

    Poisson-Gaussian noise: Foi et al. 2008, doi:10.1109/TIP.2008.2001399; the simulation of a lower
    dose: Joemai et al. 2010, doi:10.1007/s00330-009-1617-x. What is drawn is the counts themselves;
    to first order in 1 / (level I) v' has the mean v and the variance (level I + sigma_e^2) /
    (level I D)^2. Where few photons arrive the logarithm bends both: with the defaults, at a tenth
    of the dose and v = 0.9 (20 photons), the mean is 0.013 above v and the standard deviation 10 %
    above the formula's; at half the dose 0.002 and 1 %. The files hold display values, not
    exposures, so D and N0 are assumptions.
    """
    photon_key, electronic_key = jax.random.split(key)
    expected = to_counts(image, level, noise)
    counts = jax.random.poisson(photon_key, expected).astype(jnp.float32)
    counts += noise.electronic * jax.random.normal(electronic_key, image.shape)
    return from_counts(counts, level, noise)


def to_counts(image: Array, level: Array | float, noise: Noise) -> Array:
    """Photons that are expected where the image has these values, at the dose `level`."""
    return level * noise.photons * jnp.exp(-noise.absorption * image)


def from_counts(counts: Array, level: Array | float, noise: Noise) -> Array:
    """The inverse of `to_counts`; counts below 1 count as 1."""
    return -jnp.log(jnp.maximum(counts, 1.0) / (level * noise.photons)) / noise.absorption


def speckle(image: Image, level: Array, key: PRNGKeyArray, noise: Noise) -> Image:
    """v' = v (1 + level n) with normal n: multiplicative noise.

    Lee 1980, doi:10.1109/TPAMI.1980.4766994. Radiographs have no speckle; papers on denoising
    autoencoders use it all the same.
    """
    del noise
    return image * (1 + level * jax.random.normal(key, image.shape))


def salt_and_pepper(image: Image, level: Array, key: PRNGKeyArray, noise: Noise) -> Image:
    """A share `level` of the pixels is dead: half of them 0, half 1.

    Gonzalez and Woods, "Digital Image Processing", chapter 5.2 (impulse noise).
    """
    del noise
    draw = jax.random.uniform(key, image.shape)
    return jnp.where(draw < level / 2, 0.0, jnp.where(draw < level, 1.0, image))


def grid(image: Image, level: Array, key: PRNGKeyArray, noise: Noise) -> Image:
    """v' = v + (level / 255) cos(2 pi x / period + phase): a stationary anti-scatter grid.

    A grid multiplies the exposure, so it adds to its logarithm, and occupies a narrow band of
    frequencies: Lin et al. 2006, doi:10.1007/s10278-006-0630-8. Lines run down or across;
    direction, period (GRID_PERIODS) and phase are drawn for each image. Mean 0, variance
    (level / 255)^2 / 2.
    """
    del noise
    draws = jax.random.uniform(key, (3,))
    period = GRID_PERIODS[0] + draws[0] * (GRID_PERIODS[1] - GRID_PERIODS[0])
    height, width = image.shape[:2]
    rows = jnp.broadcast_to(jnp.arange(height)[:, None], (height, width))
    columns = jnp.broadcast_to(jnp.arange(width), (height, width))
    place = jnp.where(draws[1] < 0.5, rows, columns)[..., None]
    return image + level / 255 * jnp.cos(2 * jnp.pi * (place / period + draws[2]))


FUNCTIONS = {
    "gaussian": gaussian,
    "low_dose": low_dose,
    "speckle": speckle,
    "salt_and_pepper": salt_and_pepper,
    "grid": grid,
}


def blur_kernel(deviation: float) -> Float[np.ndarray, " taps"]:
    """A Gaussian's samples whose squares sum to 1, so that white noise keeps its variance."""
    reach = math.ceil(BLUR_REACH * deviation)
    samples = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    return samples / np.sqrt(np.sum(samples**2))


def correlate(field: Image, deviation: float) -> Image:
    """White noise as a detector that blurs sees it; the field is taken as periodic.

    The point spread of scintillator and readout correlates the quanta's noise: Siewerdsen et al.
    1997, doi:10.1118/1.597919. The variance stays, so that levels can be compared.
    """
    kernel = blur_kernel(deviation)
    reach = len(kernel) // 2
    for axis in (0, 1):
        shifted = [jnp.roll(field, offset, axis) for offset in range(-reach, reach + 1)]
        field = sum(
            (float(tap) * part for tap, part in zip(kernel, shifted, strict=True)),
            start=jnp.zeros_like(field),
        )
    return field


def _add_to_one(image: Image, level: Array, key: PRNGKeyArray, noise: Noise) -> Image:
    main_key, grid_key, dead_key = jax.random.split(key, 3)
    noisy = FUNCTIONS[noise.kind](image, level, main_key, noise)
    if noise.blur:
        noisy = image + correlate(noisy - image, noise.blur)
    if noise.grid:
        noisy = grid(noisy, jnp.float32(noise.grid), grid_key, noise)
    if noise.dead:
        noisy = salt_and_pepper(noisy, jnp.float32(noise.dead), dead_key, noise)
    return noisy
