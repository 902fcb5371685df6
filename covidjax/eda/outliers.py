"""Outliers found three ways, each with its reason in words."""

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.eda.measure import FEATURES

# Counts and shares that are 0 for most images would make every other value an outlier.
_LEFT_OUT = ("letters", "bars", "bright_share", "dark_share", "corners_dark")
MOST = 8.0  # robust standard deviations that one feature may add
BLOCK = 256
REFERENCE = 10_000  # images among which neighbors are looked for


@dataclasses.dataclass(frozen=True)
class Found:
    """One way of looking: a score for each image, larger is odder, and the oddest with reasons."""

    way: str
    what: str
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]
    reasons: tuple[str, ...]


def find(
    features: pd.DataFrame,
    errors: NDArray[np.float32],
    scores: NDArray[np.float32],
    groups: NDArray[np.str_],
    images: list[str],
    *,
    most: int = 24,
) -> list[Found]:
    """The `most` oddest images in each of three ways.

    Args:
      features: columns of `measure.FEATURES`.
      errors: float [n], of pictures rebuilt from principal components.
      scores: float [n, k], principal components, in which neighbors are looked for.
      groups: [n]; a neighbor of the same group does not count (it may be the same picture).
      images: [n] names.
    """
    deviations = robust_deviations(features)
    distance = np.sqrt(np.mean(np.minimum(np.abs(deviations), MOST) ** 2, axis=1))
    rows = _largest(distance, most)
    by_feature = Found(
        "features",
        "distance of the image's features from the medians, in robust standard deviations",
        distance.astype(np.float32),
        rows,
        tuple(_feature_reason(deviations[row], features.columns) for row in rows),
    )
    rows = _largest(errors, most)
    usual = float(np.median(errors))
    by_error = Found(
        "reconstruction",
        "error of the picture rebuilt from a few principal components",
        errors,
        rows,
        tuple(
            f"rebuilding it errs by {255 * errors[row]:.0f} gray levels, {errors[row] / usual:.1f} "
            "times the median"
            for row in rows
        ),
    )
    nearest, which = nearest_neighbors(scores, groups)
    rows = _largest(nearest, most)
    usual = float(np.median(nearest))
    by_neighbor = Found(
        "neighbor",
        "distance to the nearest picture of another group, in principal components",
        nearest,
        rows,
        tuple(
            f"the most similar other picture, {images[which[row]]}, is {nearest[row] / usual:.1f} "
            "times the median distance away"
            for row in rows
        ),
    )
    return [by_feature, by_error, by_neighbor]


def robust_deviations(features: pd.DataFrame) -> NDArray[np.float64]:
    """(value - median) / (1.4826 median absolute deviation), 0 for features left out."""
    values = features.to_numpy(np.float64)
    center = np.median(values, axis=0)
    spread = 1.4826 * np.median(np.abs(values - center), axis=0)
    left_out = [name in _LEFT_OUT or name not in FEATURES for name in features.columns]
    spread[left_out | (spread < 1e-9)] = np.inf
    return (values - center) / spread


def nearest_neighbors(
    scores: NDArray[np.float32], groups: NDArray[np.str_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Distance to the nearest point of another group, and which it is; in blocks of rows."""
    reference = np.arange(len(scores))
    if len(scores) > REFERENCE:
        reference = np.linspace(0, len(scores) - 1, REFERENCE).astype(np.int64)
    codes = np.unique(groups, return_inverse=True)[1]
    others = scores[reference]
    norms = (others**2).sum(axis=1)
    nearest = np.zeros(len(scores), np.float32)
    which = np.zeros(len(scores), np.int64)
    for start in range(0, len(scores), BLOCK):
        part = scores[start : start + BLOCK]
        squared = (part**2).sum(axis=1)[:, None] + norms - 2 * part @ others.T
        squared[codes[start : start + BLOCK, None] == codes[reference]] = np.inf
        place = squared.argmin(axis=1)
        nearest[start : start + BLOCK] = np.sqrt(
            np.maximum(squared[np.arange(len(part)), place], 0)
        )
        which[start : start + BLOCK] = reference[place]
    return nearest, which


def as_table(found: list[Found], table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """The oddest images of all ways."""
    lines = []
    for way in found:
        for rank, (row, reason) in enumerate(zip(way.rows, way.reasons, strict=True), 1):
            lines.append(
                {
                    "way": way.way,
                    "rank": rank,
                    "image": table["image"].iloc[row],
                    "class": classes[row],
                    "score": float(way.scores[row]),
                    "reason": reason,
                }
            )
    return pd.DataFrame(lines)


def _largest(values: NDArray, most: int) -> NDArray[np.int64]:
    return np.argsort(-values, kind="stable")[:most].astype(np.int64)


def _feature_reason(deviations: NDArray[np.float64], names: pd.Index) -> str:
    top = np.argsort(-np.abs(deviations), kind="stable")[:3]
    parts = [
        f"{names[i].replace('_', ' ')} {'high' if deviations[i] > 0 else 'low'} "
        f"({deviations[i]:+.1f} SD)"
        for i in top
        if abs(deviations[i]) > 1
    ]
    return ", ".join(parts) or "no single feature stands out"
