"""Denoising of one image of any size, in overlapping tiles where it is large.

A fully convolutional network needs memory in proportion to the image; in tiles it stays bounded. A
tile is computed with a margin that is wider than what the network sees around a pixel, and the
margin is thrown away, so the result is that of the whole image at once (but for float rounding).
Tiles begin at multiples of STEP, which the network's halvings divide.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from covidjax.denoise.measures.classical import Denoise

TILE = 1024  # pixels a side, a multiple of STEP
MARGIN = 128  # pixels thrown away on each inner side, a multiple of STEP
STEP = 64  # pixels; also what sides are filled up to, so that few sizes are compiled


def denoise_image(
    denoise: Denoise, image: NDArray[np.float32], tile: int = TILE, margin: int = MARGIN
) -> NDArray[np.float32]:
    """Denoises float32 [height, width].

    Args:
      denoise: float32 [n, h, w] -> the same.
      image: of any size; it is reflected at its lower and right edge up to multiples of STEP.
      tile, margin: pixels, multiples of STEP; a tile has more than two margins.

    Raises:
      ValueError: tile and margin do not fit each other.
    """
    if tile % STEP or margin % STEP or tile <= 2 * margin:
        raise ValueError(f"tile={tile} and margin={margin} must be multiples of {STEP}, tile > 2 m")
    height, width = image.shape
    full = np.pad(image, ((0, -height % STEP), (0, -width % STEP)), mode="reflect")
    output = np.empty_like(full)
    for rows in _pieces(full.shape[0], tile, margin):
        for columns in _pieces(full.shape[1], tile, margin):
            seen = full[rows[0] : rows[1], columns[0] : columns[1]]
            found = denoise(np.ascontiguousarray(seen)[None])[0]
            top, left = rows[2] - rows[0], columns[2] - columns[0]
            kept = found[top : rows[3] - rows[0], left : columns[3] - columns[0]]
            output[rows[2] : rows[3], columns[2] : columns[3]] = kept
    return output[:height, :width]


def _pieces(side: int, tile: int, margin: int) -> Iterator[tuple[int, int, int, int]]:
    """(begin, end, kept from, kept to) of each tile along a side; all tiles equally long."""
    if side <= tile:
        yield 0, side, 0, side
        return
    kept = 0
    while kept < side:
        begin = min(max(kept - margin, 0), side - tile)
        end = begin + tile
        until = side if end == side else end - margin
        yield begin, end, kept, until
        kept = until
