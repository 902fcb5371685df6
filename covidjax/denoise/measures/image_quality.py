"""How near a picture is to the clean one: PSNR, SSIM, MS-SSIM and GMSD, one number an image.

All take float [n, height, width] with values in [0, 1], 1 being the peak, and compare image by
image. Two conventions that figures from elsewhere may not share: the caller clips to [0, 1] first
(a picture is clipped when it is shown), and a mean over images is the mean of their decibels, not
the decibels of their mean error.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from covidjax.evidence.metrics import EvaluationError

Images = NDArray[np.floating]
Values = NDArray[np.float64]  # [n], one an image

WINDOW = 11  # pixels a side of SSIM's Gaussian window, whose standard deviation is WINDOW_SIGMA
WINDOW_SIGMA = 1.5
# (K L)^2 of Wang 2004 for a peak L of 1.
C1, C2 = 0.01**2, 0.03**2
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang 2003, finest scale first
GMSD_C = 170 / 255**2  # Xue 2014, for gray levels of 255


def psnr(clean: Images, other: Images) -> Values:
    """Peak signal-to-noise ratio in dB, 10 log10(1 / mean squared error); inf for equal images."""
    a, b = _checked(clean, other)
    errors = np.mean((a - b) ** 2, axis=(1, 2))
    with np.errstate(divide="ignore"):
        return -10 * np.log10(errors)


def ssim(clean: Images, other: Images) -> Values:
    """Structural similarity, 1 for equal images.

    Wang, Bovik, Sheikh and Simoncelli 2004 (doi:10.1109/TIP.2003.819861): Gaussian window of 11
    pixels and standard deviation 1.5, K1 = 0.01, K2 = 0.03, mean over the places where the window
    lies inside the image.

    Raises:
      EvaluationError: images smaller than the window.
    """
    luminance, contrast = _similarity_maps(*_checked(clean, other))
    return np.asarray(np.mean(luminance * contrast, axis=(1, 2)))


def ms_ssim(clean: Images, other: Images) -> Values:
    """Multi-scale structural similarity, 1 for equal images.

    Wang, Simoncelli and Bovik 2003 (doi:10.1109/ACSSC.2003.1292216): contrast and structure at all
    scales, luminance at the coarsest, each to the power of its weight. From scale to scale images
    are averaged over 2 x 2 pixels. Five scales need 161 pixels a side (see `scales`); smaller
    images have as many as the window fits into, with the first weights divided by their sum. Such
    figures are comparable among images of one size only. A negative term counts as 0.

    Raises:
      EvaluationError: images smaller than the window.
    """
    a, b = _checked(clean, other)
    count = scales(*a.shape[1:])
    weights = np.array(SCALE_WEIGHTS[:count]) / sum(SCALE_WEIGHTS[:count])
    product = np.ones(len(a))
    for scale, weight in enumerate(weights):
        luminance, contrast = _similarity_maps(a, b)
        last = scale == count - 1
        term = np.mean(luminance * contrast if last else contrast, axis=(1, 2))
        product *= np.maximum(term, 0) ** weight
        if not last:
            a, b = _halved(a), _halved(b)
    return product


def scales(height: int, width: int) -> int:
    """How many scales `ms_ssim` has for images of that size: 5 from 161 pixels, 4 from 81, ...

    The rule is that of Wang's window: 11 pixels must fit into the image as often halved.
    """
    side = min(height, width)
    count = 0
    while count < len(SCALE_WEIGHTS) and side > (WINDOW - 1) * 2**count:
        count += 1
    return count


def gmsd(clean: Images, other: Images) -> Values:
    """Gradient magnitude similarity deviation, 0 for equal images; larger is worse.

    Xue, Zhang, Mou and Bovik 2014 (doi:10.1109/TIP.2013.2293423): images averaged over 2 x 2
    pixels, Prewitt gradients, similarity with c = 170 of 255^2, standard deviation over the image
    without its one-pixel border.
    """
    a, b = (_gradient(_halved(images)) for images in _checked(clean, other))
    similarity = (2 * a * b + GMSD_C) / (a**2 + b**2 + GMSD_C)
    return np.asarray(np.std(similarity, axis=(1, 2)))


# What `results.json` calls them; where it is good to be small, the sign in LARGER_IS_BETTER tells.
QUALITY: dict[str, Callable[[Images, Images], Values]] = {
    "psnr": psnr,
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "gmsd": gmsd,
}
LARGER_IS_BETTER = {"psnr": True, "ssim": True, "ms_ssim": True, "gmsd": False}


def qualities(clean: Images, other: Images, chunk: int = 32) -> dict[str, Values]:
    """All of QUALITY, {figure: [n]}, computed for `chunk` images at a time to save memory."""
    starts = range(0, len(clean), chunk)
    return {
        name: np.concatenate(
            [measure(clean[i : i + chunk], other[i : i + chunk]) for i in starts] or [np.zeros(0)]
        )
        for name, measure in QUALITY.items()
    }


def _checked(clean: Images, other: Images) -> tuple[Values, Values]:
    a, b = np.asarray(clean, np.float64), np.asarray(other, np.float64)
    if a.ndim != 3 or a.shape != b.shape:
        raise EvaluationError(
            f"images must be [n, height, width] both, not {list(a.shape)} and {list(b.shape)}"
        )
    return a, b


def _similarity_maps(a: Values, b: Values) -> tuple[Values, Values]:
    """Luminance, and contrast times structure, where the window lies inside the image."""
    if min(a.shape[1:]) < WINDOW:
        raise EvaluationError(
            f"SSIM needs images of {WINDOW} pixels a side at least, not {a.shape[2]} x {a.shape[1]}"
        )
    mean_a, mean_b = _windowed(a), _windowed(b)
    product = mean_a * mean_b
    squares = mean_a**2 + mean_b**2
    covariance = _windowed(a * b) - product
    variances = _windowed(a**2 + b**2) - squares
    return (
        (2 * product + C1) / (squares + C1),
        (2 * covariance + C2) / (variances + C2),
    )


def _windowed(images: Values) -> Values:
    """The Gaussian mean around every pixel whose window lies inside."""
    reach = WINDOW // 2
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / WINDOW_SIGMA) ** 2)
    taps /= taps.sum()
    rows = ndimage.correlate1d(images, taps, axis=1)[:, reach:-reach]
    return np.asarray(ndimage.correlate1d(rows, taps, axis=2)[:, :, reach:-reach])


def _halved(images: Values) -> Values:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    n, height, width = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    return np.asarray(even.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4)))


def _gradient(images: Values) -> Values:
    """Prewitt's gradient magnitude (kernels divided by 3), without the border of one pixel."""
    mean, slope = np.ones(3) / 3, np.array([1.0, 0.0, -1.0])
    parts = [
        ndimage.correlate1d(ndimage.correlate1d(images, mean, axis=one), slope, axis=other)
        for one, other in ((1, 2), (2, 1))
    ]
    return np.asarray(np.hypot(*parts)[:, 1:-1, 1:-1])
