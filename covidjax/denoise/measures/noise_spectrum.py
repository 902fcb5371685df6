"""The noise power spectrum of what is left after denoising, averaged over directions.

As IEC 62220-1 defines it: NPS(u, v) = dx dy / (Nx Ny) <|DFT(residual)|^2>. With pixels as the unit
of length and images in [0, 1], its unit is pixel^2 (times gray value squared), frequencies are in
cycles a pixel, and its integral over all frequencies is the residual's variance: white noise of
standard deviation s has s^2 everywhere. A denoiser that blurs leaves a residual at high
frequencies that looks like the picture's own detail; one that leaves noise, at low ones.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from covidjax.evidence.metrics import EvaluationError

BINS = 32  # from 0 to NYQUIST
NYQUIST = 0.5  # cycles a pixel


class Spectrum(NamedTuple):
    """A radial average.

    Attributes:
      frequencies: float [b], the mean of each bin's, cycles a pixel, ascending.
      power: float [b], pixel^2 for images in [0, 1].
    """

    frequencies: NDArray[np.float64]
    power: NDArray[np.float64]


def radial_spectrum(residuals: NDArray[np.floating], bins: int = BINS) -> Spectrum:
    """The spectrum of residuals (denoised minus clean) float [n, height, width], mean over n.

    Each image's mean is taken off first (IEC 62220-1 fits a surface, for uneven exposure, which
    residuals do not have); frequency 0 is left out. Frequencies above NYQUIST, the corners of the
    square, are left out, and so are bins without a frequency (small images).

    Raises:
      EvaluationError: no images.
    """
    parts = np.asarray(residuals, np.float64)
    if parts.ndim != 3 or 0 in parts.shape:
        raise EvaluationError(f"residuals must be [n, height, width], not {list(parts.shape)}")
    height, width = parts.shape[1:]
    total = np.zeros((height, width))
    for part in parts:  # one by one: the transforms of all would take many times their memory
        total += np.abs(np.fft.fft2(part - part.mean())) ** 2
    plane = total / (len(parts) * height * width)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    inside = (radius > 0) & (radius <= NYQUIST)
    place = np.minimum((radius[inside] / NYQUIST * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    full = counts > 0

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(place, weights=values[inside], minlength=bins)
        return np.asarray(sums[full] / counts[full])

    return Spectrum(mean(radius), mean(plane))
