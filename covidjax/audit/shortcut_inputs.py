"""What the shortcut audit looks at instead of the lungs: a few pixels, or facts of the file.

The pixels are the run's own, as the network sees them: equalized where the run equalizes, so that
the audit tells what the network could use and not what was lost before it. The price: CLAHE looks
at tiles of an eighth of a side, so a border that was equalized still knows how bright its
neighborhood is, and a histogram of equalized pixels tells texture more than exposure.
"""

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.images import thorax

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]

# Letters are still read at 64 px, and more pixels only take time.
LARGEST = 64
FRAME = 0.1  # of a side, the border's width
CORNER = 1 / 6  # of a side
THUMBNAIL = 8  # pixels a side
BINS = 32


def shrink(images: Pixels, rows: NDArray[np.int64]) -> Pixels:
    """`images[rows]`, [n, s, s], averaged over area to at most 64 pixels a side, one at a time."""
    if images.shape[1] <= LARGEST:
        return images[rows]
    side = (LARGEST, LARGEST)
    return np.stack([cv2.resize(images[row], side, interpolation=cv2.INTER_AREA) for row in rows])


def border(images: Pixels) -> Features:
    """The outer frame, a tenth of a side wide: float32 [n, d], 0 to 255."""
    side = images.shape[1]
    width = max(1, round(FRAME * side))
    mask = np.ones((side, side), bool)
    mask[width:-width, width:-width] = False
    return _at(images, mask)


def lungs_blacked_out(images: Pixels) -> Features:
    """All but a center ellipse that covers both lungs: float32 [n, d], 0 to 255."""
    return _at(images, ~thorax.ellipse(images.shape[1]))


def corner_patches(images: Pixels) -> Features:
    """The four corners, each a sixth of a side wide and high: float32 [n, d], 0 to 255."""
    side = images.shape[1]
    width = max(1, round(CORNER * side))
    edge = np.zeros(side, bool)
    edge[:width] = edge[-width:] = True
    return _at(images, edge[:, None] & edge[None, :])


def thumbnail(images: Pixels) -> Features:
    """Means over an 8 x 8 grid: float32 [n, 64], 0 to 255."""
    side = (THUMBNAIL, THUMBNAIL)
    small = [cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(small).reshape(len(images), -1).astype(np.float32)


def histogram(images: Pixels) -> Features:
    """Share of the pixels in each of 32 ranges of gray: float32 [n, 32], 0 to 1."""
    bins = images.reshape(len(images), -1) // (256 // BINS)
    counts = [np.bincount(row, minlength=BINS) for row in bins]
    return (np.stack(counts) / bins.shape[1]).astype(np.float32)


def file_facts(table: pd.DataFrame) -> Features:
    """Height, width, aspect ratio, bytes a pixel, and each mode as 0 or 1: float32 [n, d].

    Args:
      table: of `covidjax.data.table.read_table`; the facts are the original file's.
    """
    height, width = table["height"].to_numpy(float), table["width"].to_numpy(float)
    modes = [table["mode"] == mode for mode in sorted(set(table["mode"]))]
    facts = [height, width, width / height, table["bytes"] / (height * width), *modes]
    return np.stack(facts, axis=1).astype(np.float32)


def _at(images: Pixels, mask: NDArray[np.bool_]) -> Features:
    return images[:, mask].astype(np.float32)
