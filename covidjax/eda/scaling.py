"""Squash against pad at several sizes: what each does to the picture, and to a classifier."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.audit.source_probe import linear_model
from covidjax.data import preprocess
from covidjax.data.cache import DECODE_SCALE
from covidjax.eda.charts.pictures import read_rows
from covidjax.eda.normalization import interval_columns
from covidjax.evidence.aurocs import auroc_estimates
from tfds_coronahack import decoding

SIZES = (64, 128, 224, 320)
COMPONENTS = 64
READ = 64
STRIP = 8192  # pixels whose products are summed at once


def sample(
    labels: NDArray[np.int32], part: NDArray[np.int64], most: int, seed: int
) -> NDArray[np.int64]:
    """Up to `most` rows of `part`, as many of each class as there are, drawn by seed, ascending."""
    rng = np.random.default_rng(seed)
    chosen = []
    for label in (0, 1):
        rows = part[labels[part] == label]
        chosen.append(rng.permutation(rows)[: most // 2])
    return np.sort(np.concatenate(chosen))


def effects(
    prepared: Path,
    table: pd.DataFrame,
    labels: NDArray[np.int32],
    parts: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    most: int,
    seed: int,
    tell: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """One line a size and way of resizing, over a balanced sample of TRAIN.

    Args:
      parts: rows to fit on and to score; up to 2/3 of `most` and 1/3 of it are taken.
      seed: draws the sample.
    """
    fitted = sample(labels, parts[0], 2 * most // 3, seed)
    scored = sample(labels, parts[1], most // 3, seed)
    rows = np.concatenate([fitted, scored])
    made = _resized(prepared, rows)
    probabilities, lines = {}, []
    for (size, resize), images in made.items():
        tell(f"scaling: {resize} at {size} px")
        scores = _component_scores(images, len(fitted))
        model = linear_model().fit(scores[: len(fitted)], labels[fitted])
        probabilities[f"{resize}/{size}"] = model.predict_proba(scores[len(fitted) :])
        lines.append({"size (px)": size, "resize": resize} | _facts(images, table.iloc[rows], size))
        lines[-1]["padding (%)" if resize == "squash" else "stretched by (%)"] = 0.0
    groups = table["group"].to_numpy()[scored]
    found = auroc_estimates(labels[scored], probabilities, groups)
    for line in lines:
        figure = found[f"{line['resize']}/{line['size (px)']}"].row(len(scored))
        line |= interval_columns(figure)
    return pd.DataFrame(lines)


def _resized(prepared: Path, rows: NDArray[np.int64]) -> dict[tuple[int, str], NDArray[np.uint8]]:
    """Every row at every size both ways, each file decoded once."""
    made = {
        (size, resize): np.zeros((len(rows), size, size), np.uint8)
        for size in SIZES
        for resize in preprocess.RESIZE
    }
    for start in range(0, len(rows), READ):
        part = rows[start : start + READ]
        data = read_rows(prepared, part.tolist())
        for place, row in enumerate(part, start):
            gray = decoding.decode_gray(data[int(row)], min_side=DECODE_SCALE * max(SIZES))
            for (size, resize), images in made.items():
                images[place] = preprocess.prepare_image(gray, size, "none", resize)
    return made


def _component_scores(images: NDArray[np.uint8], fitted: int) -> NDArray[np.float64]:
    """Scores [n, k] on the components of the first `fitted` images, of the products of images.

    The pixels' covariance would have 10^10 entries at 320 px; the images' products give the same
    components (Turk and Pentland 1991).
    """
    flat = images.reshape(len(images), -1)
    products = np.zeros((len(flat), fitted))
    for start in range(0, flat.shape[1], STRIP):
        part = flat[:, start : start + STRIP].astype(np.float32) / 255
        part -= part[:fitted].mean(axis=0)
        products += part @ part[:fitted].T
    values, vectors = np.linalg.eigh(products[:fitted])
    order = np.argsort(values)[::-1][: min(COMPONENTS, fitted - 1)]
    return products @ vectors[:, order] / np.sqrt(np.maximum(values[order], 1e-9))


def _facts(images: NDArray[np.uint8], table: pd.DataFrame, size: int) -> dict[str, float]:
    height, width = table["height"].to_numpy(float), table["width"].to_numpy(float)
    ratio = np.minimum(height, width) / np.maximum(height, width)
    sharpness = [cv2.Laplacian(image, cv2.CV_64F).var() for image in images]
    return {
        "padding (%)": 100 * float(np.mean(1 - ratio)),
        "stretched by (%)": 100 * float(np.median(1 / ratio - 1)),
        "enlarged images (%)": 100 * float(np.mean(np.minimum(height, width) < size)),
        "sharpness (log10)": float(np.mean(np.log10(np.array(sharpness) + 1))),
    }
