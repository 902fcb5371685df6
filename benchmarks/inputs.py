"""The input: full-size files to pixels, and pixels to batches."""

import importlib.util
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.compare import Result, in_turns, progress, repeated
from benchmarks.machine import cores
from benchmarks.settings import Settings
from benchmarks.worker import Side, Worker
from covidjax.training import allocator

SIZE = 224
BATCH = 32
CACHED = 4096  # images
LOADER_WORKERS = 2


def input_full_size(settings: Settings) -> Iterator[Result]:
    """Full-size JPEG files decoded and resized to 224 px."""
    from benchmarks import films

    progress("input_full_size: making the films and preparing the dataset")
    dataset = films.prepared(settings.archive, settings.scratch)
    paths = films.files(dataset, settings.scratch / "files")
    ours = {"prepared": str(dataset.path), "fingerprint": dataset.fingerprint, "images": len(paths)}
    ours |= {"folder": str(settings.scratch / "cache")}
    files = {"paths": [str(path) for path in paths]}
    yield from _against(
        "input_full_size",
        ("decode", ours),
        {
            "": ("torch_files", files | {"draft": False}),
            "_draft": ("torch_files", files | {"draft": True}),
            "_tfdata": ("tf_files", files),
        },
        settings,
    )


def input_cached(settings: Settings) -> Iterator[Result]:
    """Shuffled batches of 32 out of the pixel cache at 224 px."""
    progress(f"input_cached: {CACHED:,} images of {SIZE} px")
    path = pixels(settings.scratch, CACHED, SIZE)
    options = {"path": str(path)}
    yield from _against(
        "input_cached",
        ("cut", options),
        {"": ("torch_pixels", options), "_tfdata": ("tf_pixels", options)},
        settings,
    )


def _against(
    name: str,
    ours: tuple[str, dict],
    rivals: dict[str, tuple[str, dict]],
    settings: Settings,
) -> Iterator[Result]:
    """Our side against each rival, TensorFlow's where it is installed."""
    for ending, (target, options) in rivals.items():
        if target.startswith("tf_") and importlib.util.find_spec("tensorflow") is None:
            continue
        with (
            Worker(f"benchmarks.inputs:{ours[0]}", ours[1]) as first,
            Worker(f"benchmarks.inputs:{target}", options) as second,
        ):
            progress(f"  against {second.note}")
            values = in_turns(first.turn, second.turn, settings.pairs, settings.say)
        yield Result(name + ending, "images/s", *values, against=second.note)


def pixels(folder: Path, count: int, size: int) -> Path:
    """A file of random pixels, uint8 [count, size, size], made once; it stays in memory's pages."""
    path = folder / f"{count}-{size}.npy"
    if not path.exists():
        random = np.random.default_rng(0)
        np.save(path, random.integers(0, 256, (count, size, size), np.uint8))
    return path


# --- the sides, each for a worker -----------------------------------------------------------------


def decode(prepared: str, fingerprint: str, images: int, folder: str) -> Side:
    """Our pixel cache made anew each time, without equalization, which the rivals do not do."""
    allocator.keep_blocks()  # as launch.py
    os.environ["COVIDJAX_CACHE"] = folder
    from covidjax.data import cache

    def run(times: int) -> None:
        for _ in range(times):
            shutil.rmtree(Path(folder) / "pixels", ignore_errors=True)
            cache.load_cache(Path(prepared), fingerprint, SIZE, "none", "squash", progress=False)

    return Side(repeated(run, images))


def cut(path: str, batch: int = BATCH) -> Side:
    """Our training batches out of a pixel cache."""
    allocator.keep_blocks()  # as launch.py
    from covidjax.data.batches import train_batches

    images = np.load(path, mmap_mode="r")
    rows = np.arange(len(images))
    iterator = train_batches(
        images,
        rows,
        np.zeros(len(rows), np.int32),
        np.ones(len(rows), np.float32),
        batch_size=batch,
        seed=0,
        balanced=False,
        process_index=0,
        process_count=1,
    )
    epoch = len(images) // batch

    def run(times: int) -> None:
        for _ in itertools.islice(iterator, times * epoch):
            pass

    return Side(repeated(run, epoch * batch))


def torch_files(paths: Sequence[str], draft: bool) -> Side:
    """DataLoader with Pillow, in full or with the decoder's own reduced scale."""
    from benchmarks import torch_inputs

    run = torch_inputs.read_files(paths, SIZE, draft, BATCH, LOADER_WORKERS)
    how = "Pillow's draft mode" if draft else "Pillow"
    return Side(repeated(run, len(paths)), f"torch DataLoader, {LOADER_WORKERS} workers, {how}")


def torch_pixels(path: str) -> Side:
    """DataLoader over the same file."""
    from benchmarks import torch_inputs

    run, note = torch_inputs.read_pixels(path, BATCH, LOADER_WORKERS)
    count = len(np.load(path, mmap_mode="r"))
    return Side(repeated(run, count // BATCH * BATCH), f"torch DataLoader, {note}")


def tf_files(paths: Sequence[str]) -> Side:
    """tf.data with TensorFlow's own decoder."""
    import tensorflow as tf

    def decode(path):  # noqa: ANN001, ANN202  TensorFlow's types are not installed
        gray = tf.io.decode_jpeg(tf.io.read_file(path), channels=1)
        return tf.image.resize(gray, (SIZE, SIZE), antialias=True) / 255.0

    dataset = tf.data.Dataset.from_tensor_slices(list(paths))
    dataset = dataset.map(decode, num_parallel_calls=cores()).batch(BATCH).prefetch(2)
    return Side(repeated(_epochs(dataset), len(paths)), "tf.data")


def tf_pixels(path: str) -> Side:
    """tf.data over the same pixels."""
    import tensorflow as tf

    images = np.load(path, mmap_mode="r")
    order = tf.data.Dataset.range(len(images)).shuffle(len(images)).batch(BATCH, True)
    take = lambda rows: tf.numpy_function(lambda i: images[i], [rows], tf.uint8)  # noqa: E731
    dataset = order.map(take, num_parallel_calls=cores()).prefetch(2)
    return Side(repeated(_epochs(dataset), len(images) // BATCH * BATCH), "tf.data")


def _epochs(dataset: object) -> Callable[[int], None]:
    def run(times: int) -> None:
        for _ in range(times):
            for _ in dataset:  # type: ignore[attr-defined]
                pass

    return run
