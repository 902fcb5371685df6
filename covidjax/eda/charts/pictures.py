"""A few images by their row, decoded for a person to look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from covidjax.data import preprocess, table
from covidjax.data.cache import DECODE_SCALE
from tfds_coronahack import decoding


def read_rows(prepared: Path, rows: Sequence[int]) -> dict[int, bytes]:
    """The encoded bytes of some rows of the table."""
    builder = tfds.builder_from_directory(prepared)
    found: dict[int, bytes] = {}
    start = 0
    for split in table.SPLITS:
        if split not in builder.info.splits:
            continue
        decoders = {"image": tfds.decode.SkipDecoding()}
        examples = builder.as_data_source(split, decoders=decoders)
        wanted = sorted({int(row) for row in rows if start <= row < start + len(examples)})
        for first in range(0, len(wanted), 32):
            part = wanted[first : first + 32]
            read = examples.__getitems__([row - start for row in part])
            found |= {row: example["image"] for row, example in zip(part, read, strict=True)}
        start += len(examples)
    return found


def thumbnails(
    prepared: Path, rows: Sequence[int], side: int, resize: str = "pad"
) -> dict[int, NDArray[np.uint8]]:
    """Some rows as uint8 [side, side], with their proportions kept on black."""
    data = read_rows(prepared, rows)
    return {row: thumbnail(encoded, side, resize) for row, encoded in data.items()}


def thumbnail(data: bytes, side: int, resize: str = "pad") -> NDArray[np.uint8]:
    """An encoded image as uint8 [side, side]."""
    gray = decoding.decode_gray(data, min_side=DECODE_SCALE * side)
    return preprocess.prepare_image(gray, side, "none", resize)
