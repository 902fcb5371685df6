"""The network of a finished denoising run, as a function of images of any size."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.classify import trained
from covidjax.data.noise import NOISES, Noise
from covidjax.denoise import check as denoise_check
from covidjax.denoise import loss as denoise_objective
from covidjax.runs import folder as runs
from covidjax.runs.folder import RunError, Variables
from covidjax.runs.prepared import load_kernels
from covidjax.training.chunks import in_chunks

Floats = NDArray[np.float32]
CHUNK_PIXELS = 16 * 128 * 128  # denoised at once


@dataclasses.dataclass(frozen=True)
class Denoiser:
    """A denoiser; called with images it denoises them.

    Attributes:
      name: of the network: unet, dncnn, bottleneck.
      config: of its run, resolved.
      phantom: trained on synthetic images.
      noise: that it was trained on, with levels from `config.noise.low` to `.high`.
      variables: `params` and `batch_stats`, on the first device.
      apply: (params, batch_stats, noisy, scaled levels) -> denoised, compiled for each size.
    """

    name: str
    config: ml_collections.ConfigDict
    phantom: bool
    noise: Noise
    variables: Variables
    apply: Callable[..., jax.Array]

    def __call__(self, images: Floats, levels: NDArray[np.floating] | None = None) -> Floats:
        """Float32 [n, height, width] clipped to [0, 1], of any n and size.

        Args:
          images: noisy, in [0, 1] or about it; better not clipped.
          levels: [n], for a network with a noise map; default estimated from the images.
        """
        images = np.asarray(images, np.float32)
        if images.ndim != 3:
            raise ValueError(f"images must be [n, height, width], got {list(images.shape)}")
        if levels is None and self.config.model.get("noise_map"):
            levels = estimated_levels(images)
        given = np.zeros(len(images)) if levels is None else np.asarray(levels)
        scaled = (given / NOISES[self.noise.kind].high).astype(np.float32)
        if not len(images):
            return images.copy()

        def denoised(rows: NDArray[np.int64]) -> Floats:
            params, stats = self.variables["params"], self.variables["batch_stats"]
            output = self.apply(params, stats, images[rows, :, :, None], scaled[rows])
            return np.clip(np.asarray(output)[..., 0], 0, 1)

        size = min(len(images), max(1, CHUNK_PIXELS // images[0].size))
        return in_chunks(denoised, len(images), size)


def load_denoiser(folder: Path | str) -> Denoiser:
    """The denoiser of a finished run; ~ in its path is somebody's home folder.

    Raises:
      RunError: no such folder, no finished denoising run in it, or damaged checkpoints.
    """
    run = runs.read(folder, "denoise")
    try:
        model = denoise_check.create_model(run.config)
        return create(run.config, trained.restore(run, "", model), phantom=run.phantom)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{run.folder}: config.json is damaged, or of another version: "
            f"{type(error).__name__} {error}"
        ) from error


def create(config: ml_collections.ConfigDict, variables: Variables, *, phantom: bool) -> Denoiser:
    """The denoiser of a config's network with these weights."""
    load_kernels(config)
    model = denoise_check.create_model(config)
    return Denoiser(
        config.model.name,
        config,
        phantom,
        denoise_check.create_noise(config),
        variables,
        jax.jit(denoise_objective.make_apply(model, config.ensemble)),
    )


def estimated_levels(images: Floats) -> NDArray[np.float64]:
    """Standard deviation, of 255, of each image's white noise.

    The median of the finest diagonal Haar coefficients over 0.6745: Donoho and Johnstone 1994,
    doi:10.1093/biomet/81.3.425.
    """
    height, width = (side // 2 * 2 for side in images.shape[1:])
    x = images[:, :height, :width]
    diagonal = x[:, ::2, ::2] - x[:, 1::2, ::2] - x[:, ::2, 1::2] + x[:, 1::2, 1::2]
    return np.median(np.abs(diagonal), axis=(1, 2)) / 2 / 0.6745 * 255
