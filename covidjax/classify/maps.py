"""Maps of where a classifier looks, one a tested image: Grad-CAM and occlusion."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import loss as objective
from covidjax.evidence import saliency
from covidjax.training.chunks import in_chunks

CHUNK = 32  # images a call, of one shape so that it is compiled once
WINDOW, STRIDE = 1 / 4, 1 / 8  # of a side: the square that covers, and its steps
FLOOR = 1e-6  # of a probability, before its log-odds

Maps = dict[int, NDArray[np.float32]]  # row of `tested` -> [size, size]


def images(tested: Mapping[str, Any], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The pixels [n, size, size] of some tested images."""
    return np.asarray(tested["images"][np.asarray(tested["rows"])[rows]])


def explain(config: ml_collections.ConfigDict) -> saliency.Explain:
    """Grad-CAM of the config's network, compiled."""
    return saliency.compile_gradcam(classify_check.create_model(config), mirror=config.mirror)


def gradcams(
    explain: saliency.Explain,
    members: Sequence[Any],
    tested: Mapping[str, Any],
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> Maps:
    """Each the mean of the scaled maps of the networks that tested the image."""

    def mean_map(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        pixels = images(tested, rows[positions])
        wanted = jnp.asarray(targets[rows[positions]])
        scaled = []
        for variables in members:
            maps = np.asarray(explain(variables, jnp.asarray(pixels[..., None]), wanted))
            peaks = np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
            scaled.append(saliency.enlarge(maps / peaks, pixels.shape[1]))
        return np.stack(scaled).mean(axis=0)

    if not len(rows):
        return {}
    return dict(zip(rows.tolist(), in_chunks(mean_map, len(rows), CHUNK), strict=True))


def occlude(config: ml_collections.ConfigDict) -> Callable[..., Any]:
    """(params, batch_stats, images) -> probabilities, on one device."""
    return jax.jit(objective.make_predict(classify_check.create_model(config), config.mirror))


def occlusions(
    predict: Callable[..., Any],
    members: Sequence[Any],
    tested: Mapping[str, Any],
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> Maps:
    """What the log-odds of the class lose where a square is covered, the members averaged.

    Log-odds, as in Grad-CAM: of a probability near 0 or 1 hardly anything is seen to change.
    """

    def odds(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        def mean_output(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            batch = jnp.asarray(images[rows][..., None])
            outputs = [predict(v["params"], v["batch_stats"], batch) for v in members]
            return np.array(outputs, np.float64).mean(axis=0)

        p = np.clip(in_chunks(mean_output, len(images), CHUNK), FLOOR, 1 - FLOOR)
        return np.log(p) - np.log1p(-p)

    found: Maps = {}
    for row in rows.tolist():
        image = images(tested, np.array([row]))[0]
        window, stride = (max(1, round(share * len(image))) for share in (WINDOW, STRIDE))
        falls = saliency.occlusion(odds, image, int(targets[row]), window=window, stride=stride)
        found[row] = np.asarray(
            cv2.blur(falls, (stride, stride)), np.float32
        )  # else lines run along the squares
    return found
