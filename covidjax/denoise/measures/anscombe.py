"""Variance stabilisation of Poisson-Gaussian counts, for denoisers made for white noise.

y = p + n with p ~ Poisson(x), n ~ N(0, sigma^2): the generalized Anscombe transform gives y a
standard deviation of about 1 whatever x is. Its algebraic inverse is biased; `inverse` is the
closed-form approximation of the exact unbiased one.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def forward(counts: NDArray[np.floating], sigma: float) -> Array:
    """2 sqrt(max(y + 3/8 + sigma^2, 0)).

    Murtagh, Starck and Bijaoui 1995, "Image restoration with noise suppression using a
    multiresolution support"; gain 1, offset 0.
    """
    return 2 * np.sqrt(np.maximum(np.asarray(counts, np.float64) + 3 / 8 + sigma**2, 0))


def inverse(values: NDArray[np.floating], sigma: float) -> Array:
    """The expected counts x whose transform has the mean D: at least 0.

    D^2 / 4 + sqrt(3/2) / (4 D) - 11 / (8 D^2) + 5 sqrt(3/2) / (8 D^3) - 1/8 - sigma^2, Makitalo and
    Foi 2013, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian
    noise" (doi:10.1109/TIP.2012.2202675). Below 2 sqrt(3/8), the transform of no counts and no
    Gaussian noise, the formula means nothing and the counts are 0.
    """
    d = np.maximum(np.asarray(values, np.float64), 2 * np.sqrt(3 / 8))
    root = np.sqrt(3 / 2)
    found = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8 - sigma**2
    return np.maximum(found, 0)
