"""How wide an edge is after noise and denoising: the 10 to 90 % distance over synthetic edges.

The slanted-edge method of ISO 12233 and IEC 62220-1: along an edge that is a little oblique,
pixels lie at all distances from it, so that its profile (edge spread function) is sampled much
finer than the pixels. Here the edge is known, so nothing has to be fitted.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from sklearn.isotonic import isotonic_regression

from covidjax.evidence.metrics import EvaluationError
from covidjax.evidence.resampling import percentiles

Images = NDArray[np.float32]
# Of a Gaussian-blurred edge: its 10 to 90 % width in standard deviations, 2 sqrt(2) erfinv(0.8).
GAUSSIAN_WIDTH = 2.5631031310892007
BLUR = 0.6  # pixels, standard deviation of the edges as they are made: 1.54 pixels wide
LOW, HIGH = 0.35, 0.65  # gray values on both sides: a rib against the lung, about
STEP = 0.25  # pixels between the points of the profile
SLANTS = (3.0, 12.0)  # degrees off the rows or columns


class Edges(NamedTuple):
    """Synthetic edges.

    Attributes:
      images: float32 [n, size, size], LOW on one side and HIGH on the other.
      distances: float [n, size, size], of each pixel's center from the edge in pixels, positive on
        the bright side.
    """

    images: Images
    distances: NDArray[np.float64]


def slanted_edges(count: int, size: int, seed: int = 0, blur: float = BLUR) -> Edges:
    """`count` edges through about the middle, slants and directions drawn from `seed`."""
    rng = np.random.default_rng(seed)
    places = np.arange(size) - (size - 1) / 2
    distances = np.empty((count, size, size))
    for number in range(count):
        slant = np.deg2rad(rng.uniform(*SLANTS) * rng.choice([-1, 1]))
        angle = slant + rng.integers(4) * np.pi / 2
        offset = rng.uniform(-1, 1)
        distances[number] = (
            np.cos(angle) * places[None, :] + np.sin(angle) * places[:, None] - offset
        )
    shape = (1 + erf(distances / (np.sqrt(2) * blur))) / 2
    return Edges((LOW + (HIGH - LOW) * shape).astype(np.float32), distances)


def edge_width_with_interval(
    images: NDArray[np.floating],
    distances: NDArray[np.float64],
    *,
    samples: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Pixels between 10 and 90 % of the step, of the mean profile of all images.

    The profile is made monotone (isotonic regression) before it is read, so that noise that is
    left does not cross the levels twice; 0 and 100 % are the means of its outer quarters, so a
    denoiser that lowers the contrast is not called sharp for it.

    Args:
      images: float [n, height, width].
      distances: of `slanted_edges`.
      samples, seed: of the resampling.

    Returns:
      {"value": pixels, nan where there is no step; "ci95": over resampled edges or None; "n"}.
    """
    sums, counts = _profile_sums(images, distances)
    value = _width(sums.sum(axis=0), counts.sum(axis=0))
    found: dict[str, Any] = {"value": value, "ci95": None, "n": len(sums)}
    if len(sums) > 1 and np.isfinite(value):
        rng = np.random.default_rng(seed)
        draws = np.empty(samples)
        for sample in range(samples):
            rows = rng.integers(0, len(sums), len(sums))
            draws[sample] = _width(sums[rows].sum(axis=0), counts[rows].sum(axis=0))
        found["ci95"] = percentiles(draws) if np.isfinite(draws).any() else None
    return found


def _profile_sums(
    images: NDArray[np.floating], distances: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of values and number of pixels in each bin of distance, [n, bins] both."""
    if images.shape != distances.shape or images.ndim != 3:
        raise EvaluationError(
            f"images {list(images.shape)} and distances {list(distances.shape)} must be "
            "[n, height, width] both"
        )
    # As far as every edge reaches within its image, less the border, where filters see no picture.
    reach = max(2.0, min(images.shape[1:]) / 2 - 4)
    bins = 2 * int(reach / STEP)
    place = np.floor(distances / STEP).astype(int) + bins // 2
    sums, counts = np.zeros((len(images), bins)), np.zeros((len(images), bins))
    for number, (image, where) in enumerate(zip(images, place, strict=True)):
        inside = (where >= 0) & (where < bins)
        sums[number] = np.bincount(
            where[inside], weights=image[inside].astype(np.float64), minlength=bins
        )
        counts[number] = np.bincount(where[inside], minlength=bins)
    return sums, counts


def _width(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    full = counts > 0
    places = ((np.arange(len(sums)) + 0.5 - len(sums) / 2) * STEP)[full]
    raw = sums[full] / counts[full]
    quarter = max(1, len(raw) // 4)
    low, high = raw[:quarter].mean(), raw[-quarter:].mean()
    if high - low < 1e-6:
        return float("nan")
    profile: NDArray[np.float64] = np.asarray(
        isotonic_regression(raw, sample_weight=counts[full]), np.float64
    )
    share = (profile - low) / (high - low)
    return _crossing(places, share, 0.9) - _crossing(places, share, 0.1)


def _crossing(places: NDArray[np.floating], share: NDArray[np.floating], level: float) -> float:
    """Where the rising profile reaches the level, linear between its points."""
    after = int(np.searchsorted(share, level))
    if after == 0 or after == len(share):
        return float("nan")
    before = after - 1
    part = (level - share[before]) / (share[after] - share[before])
    return float(places[before] + part * (places[after] - places[before]))
