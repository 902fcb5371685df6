"""The classical denoisers that a network is compared with, each tuned on validation images.

Median and Gaussian come from SciPy, total variation, non-local means and wavelets from
scikit-image, BM3D from the authors' `bm3d`; the last two packages are the extra `denoise`. `bm3d`
(through its binary part, `bm4d`) is licensed for non-commercial use only.

Every denoiser is a function (noisy [h, w], sigma, noise, level, **parameters) -> [h, w] of one
image; sigma is the standard deviation of that noise on the tuning images, so the grids below are in
shares of it, and fit every kind of noise.
"""

import functools
import importlib.util
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from covidjax.data.noise import Noise
from covidjax.denoise.measures import anscombe
from covidjax.denoise.measures.image_quality import psnr

Image = NDArray[np.floating]  # [height, width]
Images = NDArray[np.float32]  # [n, height, width]
Denoise = Callable[[Images], Images]


WAVELET = "sym4"


class Method(NamedTuple):
    """A denoiser and what is tried on validation.

    Attributes:
      denoise: the function.
      grid: parameter -> values; all combinations are tried.
      packages: what it imports beyond the project's own dependencies.
    """

    denoise: Callable[..., Image]
    grid: Mapping[str, Sequence[Any]]
    packages: tuple[str, ...] = ()


class Tuned(NamedTuple):
    """A denoiser for one kind and level of noise.

    Attributes:
      parameters: the best of the grid.
      psnr: dB, the mean over the validation images, which chose it.
      tried: combinations.
      denoise: images float32 [n, h, w] -> the same, clipped to [0, 1].
    """

    parameters: dict[str, Any]
    psnr: float
    tried: int
    denoise: Denoise


def noisy(image: Image, sigma: float, noise: Noise, level: float) -> Image:
    """The input as it is."""
    return image


def gaussian(image: Image, sigma: float, noise: Noise, level: float, *, pixels: float) -> Image:
    """Gaussian blur of that standard deviation."""
    return np.asarray(ndimage.gaussian_filter(image, pixels))


def median(image: Image, sigma: float, noise: Noise, level: float, *, size: int) -> Image:
    """The median of size x size pixels."""
    return np.asarray(ndimage.median_filter(image, size))


def total_variation(
    image: Image, sigma: float, noise: Noise, level: float, *, weight: float
) -> Image:
    """Rudin, Osher and Fatemi 1992 by Chambolle's 2004 algorithm; `weight` is a share of sigma."""
    from skimage.restoration import denoise_tv_chambolle

    return np.asarray(denoise_tv_chambolle(image, weight=weight * sigma, max_num_iter=200))


def nl_means(
    image: Image, sigma: float, noise: Noise, level: float, *, h: float, patch: int
) -> Image:
    """Buades, Coll and Morel 2005, in its fast form; `h` is a share of sigma."""
    from skimage.restoration import denoise_nl_means

    found = denoise_nl_means(
        image, patch_size=patch, patch_distance=11, h=h * sigma, sigma=sigma, fast_mode=True
    )
    return np.asarray(found)


def wavelet(
    image: Image, sigma: float, noise: Noise, level: float, *, rule: str, factor: float
) -> Image:
    """Soft thresholds on symlets: BayesShrink (Chang 2000) or VisuShrink (Donoho 1994).

    All levels that the image has room for: scikit-image's own choice is one level at 128 pixels,
    which leaves the noise's coarse part.
    """
    import pywt
    from skimage.restoration import denoise_wavelet

    found = denoise_wavelet(
        image,
        sigma=factor * sigma,
        wavelet=WAVELET,
        method=rule,
        mode="soft",
        wavelet_levels=max(1, pywt.dwt_max_level(min(image.shape), WAVELET)),
        rescale_sigma=False,
    )
    return np.asarray(found)


def bm3d(
    image: Image,
    sigma: float,
    noise: Noise,
    level: float,
    *,
    factor: float,
    transform: str,
    exact: bool = True,
) -> Image:
    """BM3D (Dabov 2007; Makinen 2020), profile `np`; `factor` multiplies the noise it is told.

    With transform="anscombe", for low doses, it works on the exposures I = dose N0 exp(-D v), whose
    noise is Poisson-Gaussian: they are stabilised (`anscombe`), denoised, brought back without
    bias, and their logarithm is taken again.

    Without `exact` the package leaves out the variances of 2020 (nf = 0), which are made for noise
    that is correlated. For white noise that is several times faster and hardly worse, so this is
    the version to be fast against.
    """
    import bm3d as package
    from bm3d.profiles import BM3DProfile

    profile = BM3DProfile()
    if not exact:
        profile.nf = 0
    if transform == "none":
        return np.asarray(package.bm3d(image, factor * sigma, profile))
    full = level * noise.photons
    stable = anscombe.forward(full * np.exp(-noise.absorption * image), noise.electronic)
    low, high = float(stable.min()), float(stable.max())
    spread = max(high - low, 1e-6)  # BM3D's other constants are for images in [0, 1]
    found = np.asarray(package.bm3d((stable - low) / spread, factor / spread, profile))
    counts = np.maximum(anscombe.inverse(found * spread + low, noise.electronic), 1e-6)
    return np.asarray(-np.log(counts / full) / noise.absorption)


BM3D_GRID = {"factor": (0.95, 1.05, 1.15, 1.25), "transform": ("none",)}
METHODS: dict[str, Method] = {
    "noisy": Method(noisy, {}),
    "gaussian": Method(gaussian, {"pixels": (0.5, 0.7, 0.9, 1.1, 1.4, 1.8, 2.3)}),
    "median": Method(median, {"size": (3, 5, 7)}),
    "tv": Method(
        total_variation, {"weight": (0.5, 0.7, 0.9, 1.1, 1.3, 1.6)}, packages=("skimage",)
    ),
    "nl_means": Method(
        nl_means, {"h": (0.25, 0.4, 0.6, 0.8), "patch": (5, 7, 9)}, packages=("skimage",)
    ),
    "wavelet": Method(
        wavelet,
        {"rule": ("BayesShrink", "VisuShrink"), "factor": (0.4, 0.6, 0.8, 1.0, 1.2)},
        packages=("skimage", "pywt"),
    ),
    "bm3d": Method(bm3d, BM3D_GRID, ("bm3d",)),
    "bm3d_fast": Method(functools.partial(bm3d, exact=False), BM3D_GRID, ("bm3d",)),
}
# Where the noise is Poisson-Gaussian: both, and validation chooses.
LOW_DOSE_TRANSFORMS = ("anscombe", "none")


def available(names: Sequence[str]) -> tuple[list[str], str]:
    """Which of the methods can run, and one line about those that cannot; "" where all can.

    Raises:
      ValueError: an unknown method.
    """
    if unknown := [name for name in names if name not in METHODS]:
        raise ValueError(f"no method is called {unknown[0]!r}; there are {', '.join(METHODS)}")
    missing = {
        name
        for name in names
        if any(importlib.util.find_spec(package) is None for package in METHODS[name].packages)
    }
    line = ""
    if missing:
        left_out = ", ".join(name for name in names if name in missing)
        line = f'Left out, as their package is missing: {left_out} (pip install -e ".[denoise]")'
    return [name for name in names if name not in missing], line


def grid_of(name: str, noise: Noise) -> list[dict[str, Any]]:
    """All parameters to try."""
    grid = dict(METHODS[name].grid)
    if METHODS[name].grid is BM3D_GRID and noise.kind == "low_dose":
        grid["transform"] = LOW_DOSE_TRANSFORMS
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def tune(
    name: str,
    clean: Images,
    noisy_images: Images,
    noise: Noise,
    level: float,
    on_image: Callable[[], object] = lambda: None,
) -> Tuned:
    """The parameters with the best mean PSNR on these (validation) images.

    Args:
      name: of METHODS.
      clean, noisy_images: [n, h, w]; the noise's standard deviation is measured on them.
      noise, level: what was added.
      on_image: called after each image, for a progress bar.
    """
    sigma = float(np.std(noisy_images - clean))
    best: Tuned | None = None
    combinations = grid_of(name, noise)
    for parameters in combinations:
        denoise = functools.partial(
            _apply, name, sigma=sigma, noise=noise, level=level, parameters=parameters
        )
        found = []
        for one, other in zip(clean, noisy_images, strict=True):
            found.append(psnr(one[None], denoise(other[None])))
            on_image()
        mean = float(np.mean(found))
        if best is None or mean > best.psnr:
            best = Tuned(parameters, mean, len(combinations), denoise)
    assert best is not None  # every grid has one combination at least
    return best


def seconds_an_image(
    denoisers: Mapping[str, Denoise], images: Images, warm_up: int = 2
) -> dict[str, float]:
    """Median seconds that each needs for one image, in this process, on all its cores.

    One image at a time, the methods in turn for each image, so that what else the machine does
    falls on all of them alike; the first `warm_up` images are not counted (compilation, caches).
    """
    taken: dict[str, list[float]] = {name: [] for name in denoisers}
    for number in range(warm_up + len(images)):
        image = images[number % len(images)][None]
        for name, denoise in denoisers.items():
            start = time.perf_counter()
            np.asarray(denoise(image))
            if number >= warm_up:
                taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def _apply(
    name: str,
    images: Images,
    *,
    sigma: float,
    noise: Noise,
    level: float,
    parameters: Mapping[str, Any],
) -> Images:
    run = functools.partial(METHODS[name].denoise, **parameters)
    found = [run(image, sigma, noise, level) for image in np.asarray(images)]
    return np.clip(np.stack(found), 0, 1).astype(np.float32)
