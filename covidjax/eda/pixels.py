"""Principal components of small images, read in chunks of the memory-mapped pixel cache."""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

CHUNK = 512
SIDE = 32  # pixels a side that components are computed on


@dataclasses.dataclass(frozen=True)
class Components:
    """mean [d], axes [k, d] (orthonormal), variances [k]."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    variances: NDArray[np.float32]
    explained: NDArray[np.float32]  # share of the whole variance, each


def shrunk(images: NDArray[np.uint8], rows: NDArray[np.int64], side: int = SIDE) -> NDArray:
    """`images[rows]` averaged over area to float32 [k, side * side], 0 to 1."""
    if images.shape[1] <= side:
        return images[rows].reshape(len(rows), -1).astype(np.float32) / 255
    small = np.stack(
        [cv2.resize(images[r], (side, side), None, 0, 0, cv2.INTER_AREA) for r in rows]
    )
    return small.reshape(len(rows), -1).astype(np.float32) / 255


def chunks(images: NDArray[np.uint8], side: int = SIDE) -> Iterator[tuple[slice, NDArray]]:
    """All images, shrunk, a few hundred at a time."""
    for start in range(0, len(images), CHUNK):
        rows = slice(start, min(start + CHUNK, len(images)))
        yield rows, shrunk(images, np.arange(rows.start, rows.stop), side)


def fit(images: NDArray[np.uint8], k: int, side: int = SIDE) -> Components:
    """The k leading components of all images, of their covariance matrix, summed up in chunks."""
    d = min(side, images.shape[1]) ** 2
    total, squares = np.zeros(d), np.zeros((d, d))
    for _, part in chunks(images, side):
        total += part.sum(axis=0, dtype=np.float64)
        squares += part.T @ part
    mean = total / len(images)
    covariance = squares / len(images) - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1][: min(k, len(images) - 1, d)]
    axes = vectors[:, order].T
    # A component's sign is arbitrary; this fixes it.
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    variances = np.maximum(values[order], 0)
    return Components(
        mean.astype(np.float32),
        axes.astype(np.float32),
        variances.astype(np.float32),
        (variances / max(float(np.trace(covariance)), 1e-12)).astype(np.float32),
    )


def project(
    images: NDArray[np.uint8], components: Components, side: int = SIDE
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores float32 [n, k], and the error of the picture rebuilt from them, root mean square."""
    scores = np.zeros((len(images), len(components.axes)), np.float32)
    errors = np.zeros(len(images), np.float32)
    for rows, part in chunks(images, side):
        centred = part - components.mean
        scores[rows] = centred @ components.axes.T
        errors[rows] = np.sqrt(np.mean((centred - scores[rows] @ components.axes) ** 2, axis=1))
    return scores, errors
