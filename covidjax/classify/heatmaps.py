"""Grad-CAM of a finished run's predictions, as pictures beside the images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import trained
from covidjax.classify.figures import saliency_sheets as saliency_plots
from covidjax.evidence import saliency
from tfds_coronahack.paths import readable

MOST_PIXELS = 512  # a side of a picture


def make_explain(
    run: trained.Trained,
) -> Callable[[NDArray[np.uint8], int], NDArray[np.float32]]:
    """(uint8 [size, size], class) -> Grad-CAM [size, size], the mean over the networks.

    Each network's map is scaled to a maximum of 1 first, so that all have the same say.
    """
    compiled = saliency.compile_gradcam(
        classify_check.create_model(run.config), mirror=run.config.mirror
    )

    def explain(image: NDArray[np.uint8], shown: int) -> NDArray[np.float32]:
        batch, target = jnp.asarray(image[None, :, :, None]), jnp.array([shown])
        maps = [np.asarray(compiled(part, batch, target)[0]) for part in run.networks.values()]
        scaled = np.mean([one / max(float(one.max()), 1e-12) for one in maps], axis=0)
        return saliency.enlarge(scaled[None], run.config.data.size)[0]

    return explain


def write(
    run: trained.Trained,
    path: Path,
    row: dict[str, Any],
    gray: NDArray[np.uint8],
    heat: NDArray[np.float32],
    shown: int,
) -> None:
    """The image as read, reduced to MOST_PIXELS, beside itself with the map over it."""
    if run.config.data.resize == "pad":
        height, width = (side / max(gray.shape) * len(heat) for side in gray.shape)
        top, left = round((len(heat) - height) / 2), round((len(heat) - width) / 2)
        heat = heat[top : len(heat) - top, left : len(heat) - left]
    cut = "" if run.threshold is None else f", threshold {run.threshold:.3f}"
    share = row["probabilities"][shown]
    saliency_plots.write_overlay(
        path,
        saliency_plots.Example(
            _reduced(gray), heat, f"Grad-CAM for {run.classes[shown]}, lines at 50 and 80 %"
        ),
        title=f"{readable(path.name.removesuffix('.png'))}: called {row['call']}\n"
        f"p({run.classes[shown]}) = {share:.3f}{cut}",
        note=run.verdict,
        phantom=run.phantom,
    )


def _reduced(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if max(gray.shape) <= MOST_PIXELS:
        return gray
    scale = MOST_PIXELS / max(gray.shape)
    height, width = (max(1, round(side * scale)) for side in gray.shape)
    return np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
