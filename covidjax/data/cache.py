"""The pixel cache: every image decoded and preprocessed once, in one memory-mapped uint8 array.

`NAME.npy` holds the pixels, `NAME.json`, written after it, their size and checksums. The name has a
hash of all that decides the pixels: the dataset, the order of its examples, the options, and the
version of this code. A cache that does not agree with its JSON is made again.
"""

import concurrent.futures
import errno
import hashlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from covidjax import locking
from covidjax.data import preprocess, source, table
from covidjax.images import reading
from tfds_coronahack import decoding
from tfds_coronahack.threads import in_turn

CACHE_VERSION = 2  # raise it when preprocessing changes pixels
# JPEGs are decoded at reduced scale, but to no less than twice the wanted size: that takes 10 %
# more time than once the size, and leaves no softness that would tell the original resolution
# (measured at 224 px: variance of the Laplacian 0.995 of full decoding's, against 0.78).
DECODE_SCALE = 2
CHUNK = 8  # images a task; few, so that all threads end at about the same time
READ = 4 * CHUNK  # images read at once: array_record starts threads for every read


class CacheError(ValueError):
    """The pixel cache cannot be made; the message says why and what to do."""


def load_cache(
    prepared: Path,
    fingerprint: str,
    size: int,
    equalize: str,
    resize: str,
    *,
    progress: bool = True,
) -> NDArray[np.uint8]:
    """The images of a prepared dataset, read-only and memory-mapped; made on the first call.

    Safe against interruption (a half-made cache is never seen) and against several processes at
    once (one makes it, the others wait).

    Args:
      prepared: the versioned folder of the dataset.
      fingerprint: of the dataset, from its build report.
      size, equalize, resize: see `preprocess.prepare_image`.
      progress: show a progress bar on stderr while it is made.

    Returns:
      uint8 [n, size, size], in the order of `table.read_table(prepared)`.

    Raises:
      ValueError: an option is not valid.
      CacheError: an image cannot be decoded, or there is no room or no permission to write.
      table.DamagedError: the prepared dataset cannot be read.
    """
    preprocess.check_options(size, equalize, resize)
    examples = table.read_table(prepared)
    decisive = [CACHE_VERSION, fingerprint, table.order_key(examples), size, equalize, resize]
    key = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]
    folder = source.cache_root() / "pixels" / fingerprint[:16]
    path = folder / f"{size}px-{resize}-{equalize}-{key}.npy"
    shape = (len(examples), size, size)
    if (images := _open(path, shape)) is not None:
        return images
    try:
        with locking.exclusive(path.with_suffix(".lock"), f"the {size} px cache"):
            if (images := _open(path, shape)) is not None:  # made while we waited
                return images
            _check_room(folder, math.prod(shape))
            _build(path, prepared, shape, equalize, resize, progress)
    except OSError as error:
        raise CacheError(
            f"cannot write the pixel cache {path} ({math.prod(shape) / 1e6:,.0f} MB): "
            f"{error.strerror or error}.\nSet COVIDJAX_CACHE to a folder with room."
        ) from error
    if (images := _open(path, shape)) is None:
        raise CacheError(f"the pixel cache {path} changed while it was written; run again")
    return images


def _open(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    """Opens a complete cache; None where there is none, or where it is damaged."""
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        if path.stat().st_size != record["bytes"]:
            return None
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        if images.shape != shape or images.dtype != np.uint8 or not images.flags.c_contiguous:
            return None
        # 4 GB/s from memory, and the training reads it all anyway: so damage never goes unseen.
        whole = zlib.crc32(images) == record["crc32"]
    except (OSError, EOFError, ValueError, TypeError, KeyError):
        return None
    return images if whole else None


def _build(
    path: Path,
    prepared: Path,
    shape: tuple[int, int, int],
    equalize: str,
    resize: str,
    progress: bool,
) -> None:
    """Writes NAME.npy, then NAME.json."""
    checksum, failures = 0, []
    path.with_suffix(".json").unlink(missing_ok=True)
    # Written, not mapped: on a full disk a write fails with an error, a mapped page with SIGBUS.
    with locking.temporary(path) as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        decoded = _decode_all(prepared, shape[1], equalize, resize)
        with tqdm(
            total=shape[0], desc=f"Decoding to {shape[1]} px", unit=" images", disable=not progress
        ) as bar:
            for pixels, failed in decoded:
                failures.extend(failed)
                block = pixels.tobytes()
                file.write(block)
                checksum = zlib.crc32(block, checksum)
                bar.update(len(pixels))
        if failures:
            raise CacheError(_failure_text(prepared, failures))
        size = file.tell()
    with locking.temporary(path.with_suffix(".json")) as file:
        file.write(json.dumps({"bytes": size, "shape": shape, "crc32": checksum}).encode())


def _decode_all(
    prepared: Path, size: int, equalize: str, resize: str
) -> Iterator[tuple[NDArray[np.uint8], list[str]]]:
    """Yields the pixels of each chunk, uint8 [k, size, size], with what failed, in order."""

    def decode(examples: Sequence[dict[str, Any]]) -> tuple[NDArray[np.uint8], list[str]]:
        pixels = np.zeros((len(examples), size, size), np.uint8)
        failures = []
        for image, example in zip(pixels, examples, strict=True):
            try:
                gray = decoding.decode_gray(example["image"], min_side=DECODE_SCALE * size)
                image[:] = preprocess.prepare_image(gray, size, equalize, resize)
            except Exception as error:  # whatever is wrong with one image is that image's alone
                failures.append(f"{example['image/name'].decode()}: {reading.reason(error)}")
        return pixels, failures

    # Records are read here and decoded by the threads (Pillow and OpenCV release the GIL), a few
    # chunks ahead of the one that is waited for.
    chunks = (
        examples[start : start + CHUNK]
        for examples in table.read_examples(prepared, READ)
        for start in range(0, len(examples), CHUNK)
    )
    with concurrent.futures.ThreadPoolExecutor(_cores()) as workers:
        yield from in_turn(workers, decode, chunks, 2 * _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_room(folder: Path, bytes_needed: int) -> None:
    """Raises OSError at once where the disk has no room, rather than after minutes of decoding."""
    free = shutil.disk_usage(folder).free
    if free < bytes_needed:
        raise OSError(errno.ENOSPC, f"only {free / 1e6:,.0f} MB are free")


def _failure_text(prepared: Path, failures: Sequence[str]) -> str:
    shown = "\n".join(f"  {failure}" for failure in failures[:5])
    more = f"\n  and {len(failures) - 5} more" if len(failures) > 5 else ""
    return (
        f"{len(failures)} images of the prepared dataset cannot be decoded:\n{shown}{more}\n"
        f"They could when it was built, so it is damaged: remove {prepared} and run again."
    )
