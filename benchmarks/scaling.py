"""How our speed changes with batch, image size, data set size and number of devices."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from benchmarks.compare import Result, in_turns, progress
from benchmarks.inputs import pixels
from benchmarks.settings import Settings
from benchmarks.worker import Worker

BATCH, SIZE = 32, 64  # of configs/cnn.py; the base, from which one thing changes at a time
BATCHES = (8, 64, 128)
SIZES = (32, 128, 224)
DEVICES = (2, 4, 8)
DATA = (1, 4, 16)  # times IMAGES
IMAGES = 500


def scaling(settings: Settings) -> Iterator[Result]:
    """Images a second of the CNN's train step, and of the input; no rival."""
    base = _step("base", settings)
    yield dataclasses.replace(base, name=f"scaling/batch/{BATCH}")
    for batch in BATCHES:
        yield _step(f"batch/{batch}", settings, batch=batch)
    yield dataclasses.replace(base, name=f"scaling/size/{SIZE}")
    for size in SIZES:
        yield _step(f"size/{size}", settings, size=size)
    yield dataclasses.replace(base, name="scaling/devices/1")
    for devices in DEVICES:
        flag = f"--xla_force_host_platform_device_count={devices}"
        yield _step(f"devices/{devices}", settings, environment={"XLA_FLAGS": flag})
    for times in DATA:
        path = pixels(settings.scratch, times * IMAGES, SIZE)
        options = {"path": str(path), "batch": BATCH}
        yield _measure(f"data/{times}x", settings, "benchmarks.inputs:cut", options)


def _step(
    name: str,
    settings: Settings,
    *,
    batch: int = BATCH,
    size: int = SIZE,
    environment: dict[str, str] | None = None,
) -> Result:
    options = {"network": "cnn", "kind": "train", "batch": batch, "size": size}
    return _measure(name, settings, "benchmarks.networks:ours", options, environment)


def _measure(
    name: str,
    settings: Settings,
    target: str,
    options: dict[str, Any],
    environment: dict[str, str] | None = None,
) -> Result:
    progress(f"scaling/{name}")
    with Worker(target, options, environment) as side:
        values = in_turns(side.turn, None, min(settings.pairs, 3), settings.say)
    return Result(f"scaling/{name}", "images/s", *values)
