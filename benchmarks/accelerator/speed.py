"""Speed and memory of each training step, as `launch.py` compiles it, by type and batch size."""

import dataclasses
import time
from typing import Any, NamedTuple

from benchmarks import ours, ours_dip  # first: it sets the allocator before JAX is imported

# ruff: noqa: E402, I001
import jax

from benchmarks import scaling_on_paper
from benchmarks.accelerator.parts import Emit, Row, Settings, reason
from benchmarks.compare import repeated
from covidjax.training import sharding, steps


class Case(NamedTuple):
    """A network at a size; `batches` a device, the one that matters most first."""

    network: str
    size: int
    dtype: str
    batches: tuple[int, ...]


# What matters most first: the time may end before the list does.
CASES = (
    Case("resnet50", 224, "bfloat16", (128, 256, 64)),
    Case("cnn", 64, "float32", (64, 512)),
    Case("resnet50", 224, "float32", (128,)),
    Case("resnet18", 224, "bfloat16", (256, 64)),
    Case("unet", 128, "bfloat16", (32, 128)),
    Case("resnet18", 224, "float32", (64,)),
    Case("unet", 128, "float32", (32,)),
    Case("cnn", 64, "bfloat16", (64, 512)),
    Case("dncnn", 64, "bfloat16", (64,)),
    Case("dncnn", 64, "float32", (64,)),
)
DIP = ((128, 256), (32, 256))  # widths, pixels a side
TINY = (
    Case("cnn", 16, "float32", (8,)),
    Case("cnn", 16, "bfloat16", (8,)),
    Case("unet", 16, "bfloat16", (2,)),
)
TINY_DIP = ((8, 64),)


def measure(settings: Settings, emit: Emit) -> None:
    """A row for each network, type and batch size; one that does not fit says so."""
    ours.start()
    cases, dips = (TINY, TINY_DIP) if settings.dry_run else (CASES, DIP)
    for case in cases:
        emit(attempt(case, case.batches[0], 1))
    for width, size in dips:
        emit(attempt_dip(width, size))
    if jax.device_count() > 1:
        emit(attempt(cases[0], cases[0].batches[0], jax.device_count()))
    for case in cases:
        for batch in case.batches[1:]:
            emit(attempt(case, batch, 1))


def attempt(case: Case, batch: int, devices: int) -> Row:
    """The row of `step`, or one that says why there is none."""
    try:
        return step(case, batch, devices)
    except Exception as error:  # out of memory, most of all; the other rows are wanted all the same
        name = f"{case.network}, {case.size} px"
        return {"name": name, "dtype": case.dtype, "batch": batch, "failed": reason(error)}


def attempt_dip(width: int, size: int) -> Row:
    """The row of `dip`, or one that says why there is none."""
    try:
        return dip(width, size)
    except Exception as error:  # as above
        return {"name": f"dip, {size} px, width {width}", "failed": reason(error)}


def step(case: Case, batch: int, devices: int) -> Row:
    """Measures the step of a case, of `batch` images a device."""
    before = peak_bytes()
    per_dispatch = steps.steps_per_dispatch(0, sharding.make_mesh(jax.devices()[:devices]))
    images = batch * devices
    training = ours.Training(case.network, images, case.size, case.dtype, per_dispatch, devices)
    began = time.perf_counter()
    compiled = training.step.lower(training.state, training.batch, training.key).compile()
    took = time.perf_counter() - began
    training.step = compiled
    rate = repeated(training.run, images * per_dispatch)()
    counted = scaling_on_paper.count_model(training.model, case.size)
    return {
        "name": f"{case.network}, {case.size} px",
        "dtype": case.dtype,
        "batch": batch,
        "devices": devices,
        "images/s": rate,
        "ms a step": 1e3 * images / rate,
        "TFLOP/s": rate * counted.flops / 1e12,
        "program, GiB": program_bytes(compiled) / 2**30,
        **risen(before),
        "compiled in, s": took,
        "_counted": dataclasses.asdict(counted),
    }


def dip(width: int, size: int) -> Row:
    """Measures chunks of Deep Image Prior's steps."""
    before, began = peak_bytes(), time.perf_counter()
    fitting = ours_dip.Fitting(width, size)
    fitting.run(ours_dip.CHUNK)
    took = time.perf_counter() - began
    rate = repeated(lambda times: _chunks(fitting, times), ours_dip.CHUNK)()
    return {
        "name": f"dip, {size} px, width {width}",
        "dtype": "float32",
        "batch": 1,
        "devices": 1,
        "images/s": rate,
        "ms a step": 1e3 / rate,
        **risen(before),
        "compiled in, s": took,
    }


def _chunks(fitting: ours_dip.Fitting, times: int) -> None:
    for _ in range(times):
        fitting.run(ours_dip.CHUNK)


def program_bytes(compiled: Any) -> int:
    """What a compiled program holds on a device: arguments, results and what lies between."""
    found = compiled.memory_analysis()
    sizes = found.argument_size_in_bytes, found.output_size_in_bytes, found.temp_size_in_bytes
    return sum(sizes) - found.alias_size_in_bytes


def risen(before: int) -> Row:
    """The process's peak where this row has raised it: it is not known of a smaller one."""
    return {"device peak, GiB": peak_bytes() / 2**30} if peak_bytes() > before else {}


def peak_bytes() -> int:
    """The most memory that the first device has held in this process; 0: it does not tell."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
