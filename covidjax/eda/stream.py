"""One pass over a prepared dataset: features, histograms and mean images, chunk by chunk.

No more than a few chunks of images are in memory at a time, however many there are.
"""

import concurrent.futures
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from covidjax.data import preprocess, table
from covidjax.data.cache import DECODE_SCALE
from covidjax.eda import measure
from covidjax.eda.classes import CLASSES
from tfds_coronahack import decoding
from tfds_coronahack.threads import in_turn

CHUNK = 16  # images a task
READ = 64  # images read at once: array_record starts threads for every read
NAMES = (*measure.FEATURES, *measure.COLOR_FEATURES)
Examples = Sequence[dict[str, Any]]


@dataclasses.dataclass
class Sums:
    """Sums over the images of each class, exact: float64 [classes, size, size]; `n` [classes]."""

    n: NDArray[np.int64]
    first: NDArray[np.float64]  # of gray levels
    second: NDArray[np.float64]  # of their squares
    dark: NDArray[np.float64]  # of images that are dark at a position
    bright: NDArray[np.float64]

    def mean(self, which: int) -> NDArray[np.float64]:
        """The mean image of a class, in gray levels."""
        return self.first[which] / self.n[which]

    def deviation(self, which: int) -> NDArray[np.float64]:
        """The standard deviation at each position, in gray levels."""
        variance = self.second[which] / self.n[which] - self.mean(which) ** 2
        return np.sqrt(np.maximum(variance, 0))


@dataclasses.dataclass(frozen=True)
class Streamed:
    """What a pass found.

    Attributes:
      features: one row an image, columns NAMES.
      histograms: float32 [n, BINS], shares of the pixels.
      sums: over each class.
    """

    features: pd.DataFrame
    histograms: NDArray[np.float32]
    sums: Sums


def stream(
    prepared: Path, codes: NDArray[np.int64], size: int, *, progress: bool = True
) -> Streamed:
    """Measures every image of a prepared dataset.

    Args:
      prepared: its versioned folder.
      codes: class of each image, indices into CLASSES, in the order of the table.
      size: pixels a side of the copies that are measured.
      progress: show a bar on stderr.

    Raises:
      table.DamagedError: the records cannot be read.
      decoding.UnreadableImageError: an image cannot be decoded (it could when it was prepared).
    """
    return measure_all(table.read_examples(prepared, READ), codes, size, progress=progress)


def measure_all(
    batches: Iterable[Examples], codes: NDArray[np.int64], size: int, *, progress: bool = False
) -> Streamed:
    """As `stream`, of lists of examples with their encoded bytes under `image`."""
    sums = _no_sums(size)
    values = np.zeros((len(codes), len(NAMES)), np.float32)
    histograms = np.zeros((len(codes), measure.BINS), np.float32)
    done = 0
    with tqdm(
        total=len(codes), desc="Measuring images", unit=" images", disable=not progress
    ) as bar:
        for part, part_histograms, part_sums in _results(batches, codes, size):
            rows = slice(done, done + len(part))
            values[rows], histograms[rows] = part, part_histograms
            for field in dataclasses.fields(Sums):
                total = getattr(sums, field.name)
                total += getattr(part_sums, field.name)
            done += len(part)
            bar.update(len(part))
    if done < len(codes):
        raise ValueError(f"only {done} images were read, but the table has {len(codes)}")
    return Streamed(pd.DataFrame(values, columns=list(NAMES)), histograms, sums)


def _results(
    batches: Iterable[Examples], codes: NDArray[np.int64], size: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], Sums]]:
    """The results of each chunk, in order, computed by a thread a core a few chunks ahead."""
    cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
    workers = cores or 1

    def chunks() -> Iterator[tuple[Examples, NDArray[np.int64]]]:
        start = 0
        for batch in batches:
            if start + len(batch) > len(codes):
                raise ValueError(f"more images were read, but the table has {len(codes)}")
            for first in range(0, len(batch), CHUNK):
                chunk = batch[first : first + CHUNK]
                yield chunk, codes[start : start + len(chunk)]
                start += len(chunk)

    with concurrent.futures.ThreadPoolExecutor(workers) as threads:
        yield from in_turn(threads, lambda it: _measure_chunk(*it, size), chunks(), 2 * workers)


def _measure_chunk(
    examples: Examples, codes: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], Sums]:
    values = np.zeros((len(examples), len(NAMES)), np.float32)
    histograms = np.zeros((len(examples), measure.BINS), np.float32)
    sums = _no_sums(size)
    for row, (example, code) in enumerate(zip(examples, codes, strict=True)):
        data = example["image"]
        gray = decoding.decode_gray(data, min_side=DECODE_SCALE * size)
        gray = preprocess.prepare_image(gray, size, "none", "squash")
        found, counts = measure.measure(gray)
        values[row] = [*found, *measure.measure_color(data)]
        histograms[row] = counts.reshape(measure.BINS, -1).sum(axis=1) / counts.sum()
        sums.n[code] += 1
        sums.first[code] += gray
        sums.second[code] += np.square(gray, dtype=np.float32)
        sums.dark[code] += gray <= measure.DARK
        sums.bright[code] += gray >= measure.BRIGHT
    return values, histograms, sums


def _no_sums(size: int) -> Sums:
    shape = (len(CLASSES), size, size)
    zeros = [np.zeros(shape) for _ in range(4)]
    return Sums(np.zeros(len(CLASSES), np.int64), *zeros)
