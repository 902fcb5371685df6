"""What a normalization does to the pictures, to the classes' differences, and to a classifier.

The classifier is a logistic regression on 32 x 32 px, fitted on a part of Kaggle's TRAIN and scored
on another part of it; TEST takes no part.
"""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from covidjax.audit.source_probe import linear_model
from covidjax.data import preprocess, splits
from covidjax.eda import pixels
from covidjax.evidence.aurocs import auroc_estimates

Image = NDArray[np.uint8]
FEWEST = 8  # images of each class that validate
FRACTION = 0.2  # of TRAIN that validates
MOST = 6000  # images of a part that are taken, so that memory does not grow with the archive
SPREAD = 3.0  # standard deviations to each side that z-scores show
LOW, HIGH = 1, 99  # percentiles that are stretched to black and white


def z_score(image: Image) -> Image:
    """(gray - mean) / standard deviation of the image, -3 to 3 shown as 0 to 255."""
    deviation = max(float(image.std()), 1e-6)
    scaled = (image.astype(np.float32) - float(image.mean())) / deviation
    return np.round((scaled.clip(-SPREAD, SPREAD) + SPREAD) * 255 / (2 * SPREAD)).astype(np.uint8)


def percentile_stretch(image: Image) -> Image:
    """The 1st to the 99th percentile stretched to 0 to 255, the rest cut."""
    low, high = np.percentile(image, [LOW, HIGH])
    scaled = (image.astype(np.float32) - low) / max(float(high - low), 1.0)
    return np.round(scaled.clip(0, 1) * 255).astype(np.uint8)


def _prepared(equalize: str) -> Callable[[Image], Image]:
    def apply(image: Image) -> Image:
        return preprocess.prepare_image(image, image.shape[0], equalize, "squash")

    return apply


# In the order of the figures.
METHODS: Mapping[str, Callable[[Image], Image]] = {
    "raw": _prepared("none"),
    "histogram equalised": _prepared("histogram"),
    "CLAHE": _prepared("clahe"),
    "z-score": z_score,
    "percentile stretch": percentile_stretch,
}


def validation_split(
    table: pd.DataFrame, labels: NDArray[np.int32], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Rows to fit on and rows to score, both of TRAIN, groups whole; and what parted them.

    Both ends of every series of film numbers where both parts then have both classes, for a random
    part is too easy; else a random fifth. Groups that TEST has too are in neither.
    """
    seen = set(table["group"][table["kaggle_split"] == "TEST"])
    train = (table["kaggle_split"] == "TRAIN") & ~table["group"].isin(seen)
    try:
        fold = splits.official(table, labels, validation="shifted", fraction=FRACTION, seed=seed)[0]
        if min(np.bincount(labels[fold.validation], minlength=2)) >= FEWEST:
            return fold.train, fold.validation, "both ends of every series of film numbers"
    except ValueError:  # such as a sample whose TEST has one class
        pass
    rows = np.flatnonzero(train.to_numpy() & (labels >= 0))
    held = splits.assign_folds(labels[rows], table["group"].to_numpy()[rows], 5, seed) == 0
    return rows[~held], rows[held], "a random fifth of the groups"


def effects(
    images: NDArray[np.uint8],
    table: pd.DataFrame,
    labels: NDArray[np.int32],
    parts: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    seed: int,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[pd.DataFrame, dict[str, NDArray[np.float64]]]:
    """What each of METHODS does.

    Args:
      images: uint8 [n, s, s], raw pixel cache.
      labels: 0 Normal, 1 pneumonia, -1 neither.
      parts: rows to fit on and to score.
      seed: of the drawing.

    Returns:
      One line a method, and the histograms float64 [2, 64] of the two classes in the fitted part.
    """
    fitted, scored = (at_most(part, MOST, seed) for part in parts)
    rows = np.concatenate([fitted, scored])
    position = {int(row): place for place, row in enumerate(rows)}
    inside = np.array([position[int(row)] for row in fitted])
    outside = np.array([position[int(row)] for row in scored])
    y = labels[rows]
    lines, histograms, probabilities = [], {}, {}
    for name, method in METHODS.items():
        tell(f"normalization: {name}")
        small, facts, counts = _apply(method, images, rows, y)
        histograms[name] = counts
        model = linear_model().fit(small[inside], y[inside])
        probabilities[name] = model.predict_proba(small[outside])
        brightness, contrast = facts[inside].T
        lines.append(
            {
                "normalization": name,
                "mean gray": float(brightness.mean()),
                "SD of means": float(brightness.std()),
                "SD of contrasts": float(contrast.std()),
                "AUROC of brightness": folded_auroc(y[inside], brightness),
                "AUROC of contrast": folded_auroc(y[inside], contrast),
                "class difference by position": position_difference(small[inside], y[inside]),
            }
        )
    groups = table["group"].to_numpy()[scored]
    found = auroc_estimates(labels[scored], probabilities, groups)
    for line in lines:
        figure = found[str(line["normalization"])].row(len(scored))
        line |= interval_columns(figure)
    return pd.DataFrame(lines), histograms


def at_most(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """The rows, or `most` of them drawn by seed, ascending."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def _apply(
    method: Callable[[Image], Image],
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Small copies [n, d], (mean, standard deviation) [n, 2], histograms of classes [2, 64]."""
    side = (pixels.SIDE, pixels.SIDE)
    small = np.zeros((len(rows), pixels.SIDE**2), np.float32)
    facts = np.zeros((len(rows), 2))
    counts = np.zeros((2, 64))
    for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
        image = method(np.asarray(images[row]))
        small[place] = cv2.resize(image, side, interpolation=cv2.INTER_AREA).ravel() / 255.0
        facts[place] = image.mean(), image.std()
        counts[label] += np.bincount(image.ravel() // 4, minlength=64)
    return small, facts, counts / counts.sum(axis=1, keepdims=True)


def folded_auroc(labels: NDArray[np.int32], values: NDArray) -> float:
    """How well one number tells two classes apart, whichever way: 0.5 to 1."""
    found = float(roc_auc_score(labels, values))
    return max(found, 1 - found)


def position_difference(small: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    """Mean over the positions of |difference of the class means| / pooled standard deviation."""
    one, other = small[labels == 0], small[labels == 1]
    pooled = np.sqrt((one.var(axis=0) + other.var(axis=0)) / 2)
    return float(np.mean(np.abs(one.mean(axis=0) - other.mean(axis=0)) / np.maximum(pooled, 1e-3)))


def interval_columns(figure: Mapping[str, Any]) -> dict[str, Any]:
    low, high = figure["ci95"] or (float("nan"), float("nan"))
    return {
        "validation AUROC": figure["value"],
        "95 % low": low,
        "95 % high": high,
        "n scored": figure["n"],
    }
