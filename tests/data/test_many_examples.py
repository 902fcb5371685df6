"""A hundred thousand images, from the archive to the train step: memory does not grow with them.

    pytest -m slow tests/data/test_many_examples.py -s

Four minutes on two busy cores. A build's peak was 327 MB for 10,000 images and 404 MB for 100,000;
training took 549 MB after a third of the steps and at their end.
"""

import csv
import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

import tfds_coronahack
from covidjax import models
from covidjax.classify import loss as objective
from covidjax.data import batches, cache
from covidjax.training import loop, optimizer, sharding, state
from covidjax.training.steps import compile_train_step

FEW, MANY = 10_000, 100_000
SIZE = 28
# Name, row, hashes and place of an image, and its encoded bytes on their way into the shards (TFDS
# sorts up to 1 GB of them in memory). The thumbnails alone would be 4,096 more.
BYTES_AN_IMAGE = 3000
HEADER = ("", "X_ray_image_name", "Label", "Dataset_type", "Label_2_Virus_category")


def write_many(path: Path, count: int) -> Path:
    """An archive of random pictures of 28 x 28."""
    draw = np.random.default_rng(0)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow((*HEADER, "Label_1_Virus_category"))
    with zipfile.ZipFile(path, "w") as file:
        for i in range(count):
            sick, split = i % 2, "TEST" if i % 10 == 0 else "TRAIN"
            name = f"person{i}_virus_1.png" if sick else f"IM-{i}-0001.png"
            label = ("Pnemonia", split, "", "Virus") if sick else ("Normal", split, "", "")
            rows.writerow((i, name, *label))
            picture = draw.integers(0, 120, (SIZE, SIZE), np.uint8)
            picture[: SIZE // 2] += np.uint8(100 * sick)
            file.writestr(f"{split.lower()}/{name}", cv2.imencode(".png", picture)[1].tobytes())
        file.writestr("Chest_xray_Corona_Metadata.csv", text.getvalue())
    return path


def peak_of_a_build(archive: Path, data_dir: Path) -> int:
    """Bytes, of a process of its own."""
    command = [sys.executable, "-m", "tfds_coronahack", f"--archive={archive}"]
    folder = Path(tfds_coronahack.__file__).parents[1]
    process = subprocess.Popen(
        [*command, f"--data_dir={data_dir}"], cwd=folder, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def own_bytes() -> int:
    """Memory that no file can give again: a mapped file's pages are the system's to take back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def train_epoch(training: Iterator[batches.Batch], steps: int) -> tuple[int, int]:
    """Our own memory after a third of the steps of a small network, and after all."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    model = models.create("cnn", num_classes=2, widths=(16,), convs=1, dropout=0.0)
    tx = optimizer.create("adamw", learning_rate=1e-2, steps=steps)
    now = state.create(model, tx, (SIZE, SIZE, 1), jax.random.key(0), mesh)
    loss_fn = objective.make_loss(model, 2, 0.0, None)
    step = compile_train_step(mesh, loss_fn=loss_fn, optimizer=tx, ema_decay=0.9)
    early = 0
    for number in range(steps):
        loop.settle(now)  # as `loop.fit` does: steps that queue have buffers each
        batch = sharding.to_device(next(training), mesh)
        now, metrics = step(now, batch, jax.random.key(1))
        if number == steps // 3:  # once the heap has what it needs
            early = own_bytes()
    assert float(metrics["loss"]) < 0.6  # it has learned what the pictures show
    return early, own_bytes()


@pytest.mark.slow
def test_a_hundred_thousand_images_are_built_cached_and_trained_on_in_little_memory(
    tmp_path: Path,
) -> None:
    peaks, began = {}, time.perf_counter()

    def tell(what: str) -> None:
        print(f"{time.perf_counter() - began:5.0f} s  {what}", flush=True)

    for count in (FEW, MANY):
        archive = write_many(tmp_path / f"{count}.zip", count)
        tell(f"{count:,} images written")
        peaks[count] = peak_of_a_build(archive, tmp_path / str(count))
        tell(f"{count:,} images built, peak {peaks[count] / 1e6:.0f} MB")
    assert (peaks[MANY] - peaks[FEW]) / (MANY - FEW) < BYTES_AN_IMAGE, peaks

    prepared = tfds_coronahack.prepared_dir(tmp_path / str(MANY))
    assert prepared is not None
    fingerprint = tfds_coronahack.read_report(prepared)["fingerprint"]
    images = cache.load_cache(prepared, fingerprint, SIZE, "none", "squash", progress=False)
    assert images.shape == (MANY, SIZE, SIZE)
    tell("pixel cache made")
    rows = np.arange(MANY)
    training = batches.train_batches(
        images,
        rows,
        (images[:, : SIZE // 2].mean((1, 2)) > 100).astype(np.int32),
        np.ones(MANY, np.float32),
        batch_size=200,
        seed=0,
        balanced=False,
        process_index=0,
        process_count=1,
    )
    early, late = train_epoch(training, MANY // 200)
    tell(f"each trained on once: {early / 1e6:.0f} MB after a third, {late / 1e6:.0f} at the end")
    assert late - early < 20e6
