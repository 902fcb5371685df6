"""Batches out of the pixel cache, as grain pipelines over batch numbers.

The pipeline's elements are numbers of batches: the order of the examples is computed and the array
sliced once a batch, which is several times faster than passing single images (or single indices)
through the stages. Everything is a pure function of the seed and the batch's number, so an iterator
resumes exactly from `get_state` (a count), and every process computes the same global batch and
takes its own part.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import grain
import numpy as np
from numpy.typing import NDArray

Batch = dict[str, NDArray[Any]]

# Two threads cut the next batches while the device works. The buffer counts batches: a few are
# enough, and grain's default of 500 would hold gigabytes.
READ_OPTIONS = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)


def train_batches(
    images: NDArray[np.uint8],
    rows: NDArray[np.integer],
    labels: NDArray[np.integer],
    weights: NDArray[np.floating],
    *,
    batch_size: int,
    seed: int,
    balanced: bool,
    process_index: int,
    process_count: int,
) -> grain.DatasetIterator:
    """Endless shuffled training batches.

    Args:
      images: uint8 [m, height, width], the pixel cache (a memmap is read as it is needed).
      rows: int [n], the rows of `images` to train on.
      labels: int [n], class of each, 0 or more.
      weights: float [n], weight of each in the loss.
      batch_size: examples of the global batch, a multiple of `process_count`, at most n.
      seed: 0 or more; the order of the examples depends on it alone.
      balanced: False: each epoch shuffles all examples anew, and drops those that do not fill a
        last batch. True: the classes that occur take turns, so that a batch has equally many of
        each (give or take one); within a class every example comes once before any comes again.
      process_index, process_count: which part of each global batch to yield.

    Returns:
      An iterator of {"images": uint8 [b, height, width, 1], "labels": int32 [b], "weights": float32
      [b]} with b = batch_size / process_count. `get_state` and `set_state` resume it exactly, also
      as an item of an orbax checkpoint (grain.checkpoint.CheckpointSave and CheckpointRestore).

    Raises:
      ValueError: sizes that do not fit each other; the message has the numbers.
    """
    rows, labels = _check(images, rows, labels)
    weights = np.asarray(weights, np.float32)
    if weights.shape != rows.shape:
        raise ValueError(f"{len(rows)} rows but weights of shape {list(weights.shape)}")
    if labels.min() < 0:
        raise ValueError(f"{(labels < 0).sum()} of {len(labels)} training labels are negative")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    local = _local_slice(batch_size, process_index, process_count)
    if batch_size > len(rows):
        raise ValueError(
            f"batch_size {batch_size} is larger than the {len(rows)} training examples"
        )
    if balanced:
        members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        lengths = [len(member) for member in members]
    else:
        members = [np.arange(len(rows))]
        lengths = [len(rows) // batch_size * batch_size]
    positions = _shuffled(members, lengths, batch_size, seed)
    cut = _Cut(images, rows, {"labels": labels, "weights": weights}, local)
    steps = grain.MapDataset.range(sys.maxsize).map(positions).map(cut)
    return iter(steps.to_iter_dataset(READ_OPTIONS))


class _Cut:
    """Positions of a global batch -> this process's part of it, copied out of the cache."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.int64],
        columns: dict[str, NDArray[Any]],
        local: slice,
    ) -> None:
        self.images = np.asarray(images)  # a plain view: memmap's own indexing is slower
        self.rows, self.columns, self.local = rows, columns, local

    def __call__(self, positions: NDArray[np.int64]) -> Batch:
        positions = positions[self.local]
        batch: Batch = {name: column[positions] for name, column in self.columns.items()}
        batch["images"] = np.take(self.images, self.rows[positions], axis=0)[..., np.newaxis]
        return batch


def _shuffled(
    members: list[NDArray[np.int64]], lengths: list[int], batch_size: int, seed: int
) -> Callable[[int], NDArray[np.int64]]:
    """The function step -> positions [batch_size] in which the classes take turns.

    Each class is an endless sequence of cycles: its `members` in a new random order each time, cut
    to its `lengths`. With one class that is plain shuffling, a cycle being an epoch.
    """
    turns = len(members)

    @functools.lru_cache(maxsize=4 * turns)
    def cycle(turn: int, number: int) -> NDArray[np.int64]:
        generator = np.random.default_rng([seed, turn, number])
        return generator.permutation(members[turn])[: lengths[turn]]

    def draw(turn: int, first: int, count: int) -> NDArray[np.int64]:
        number, offset = divmod(first, lengths[turn])
        last = (first + count - 1) // lengths[turn]
        cycles = [cycle(turn, n) for n in range(number, last + 1)]
        return np.concatenate(cycles)[offset : offset + count]

    def positions(step: int) -> NDArray[np.int64]:
        start = step * batch_size
        batch = np.empty(batch_size, np.int64)
        for turn in range(turns):
            slot = (turn - start) % turns  # the first place in this batch where it is its turn
            count = len(range(slot, batch_size, turns))
            if count:
                batch[slot::turns] = draw(turn, (start + slot) // turns, count)
        if turns > 1:  # or a strided part of the batch would hold one class alone
            np.random.default_rng([seed, turns, step]).shuffle(batch)
        return batch

    return positions


def _check(
    images: NDArray[np.uint8], rows: NDArray[np.integer], labels: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    rows, labels = np.asarray(rows), np.asarray(labels)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 [n, height, width], got {images.dtype} {list(images.shape)}"
        )
    if rows.ndim != 1 or rows.shape != labels.shape:
        raise ValueError(f"rows {list(rows.shape)} and labels {list(labels.shape)} differ in shape")
    if len(rows) == 0:
        raise ValueError("no examples: rows is empty")
    if rows.min() < 0 or rows.max() >= len(images):
        raise ValueError(
            f"rows run from {rows.min()} to {rows.max()}, but there are {len(images)} images"
        )
    return rows.astype(np.int64), labels.astype(np.int32)


def _local_slice(batch_size: int, process_index: int, process_count: int) -> slice:
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    if not 0 <= process_index < process_count:
        raise ValueError(f"process_index {process_index} is not below {process_count} processes")
    if batch_size % process_count:
        raise ValueError(f"batch_size {batch_size} is not divisible by {process_count} processes")
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)
