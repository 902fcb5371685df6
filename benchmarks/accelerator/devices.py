"""What the accelerator is, and how fast it multiplies matrices and moves memory."""

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.extend.backend
import jax.numpy as jnp

from benchmarks import machine
from benchmarks.accelerator.parts import Emit, Row, Settings

REPEATS = 5
PRODUCTS = 20  # one after the other in a program, so that its start does not count


def measure(settings: Settings, emit: Emit) -> None:
    """The devices and versions, then the speeds that the other parts are compared with."""
    for row in describe():
        emit(row)
    side = 256 if settings.dry_run else 8192
    for dtype, precision in (
        ("bfloat16", "default"),
        ("float32", "default"),
        ("float32", "highest"),
    ):
        speed = matrix_speed(side, dtype, precision)
        name = f"matrix product {dtype}, precision {precision}"
        emit({"name": name, "size": side, "TFLOP/s": speed / 1e12})
    numbers = 2**20 if settings.dry_run else 2**28
    speed = memory_speed(numbers)
    emit({"name": "memory, read and written", "size": numbers, "GB/s": speed / 1e9})


def describe() -> Iterator[Row]:
    """One row for each kind of device, and one for the versions."""
    kinds: dict[str, list[Any]] = {}
    for device in jax.devices():
        kinds.setdefault(f"{device.device_kind} ({device.platform})", []).append(device)
    for kind, devices in kinds.items():
        limit = (devices[0].memory_stats() or {}).get("bytes_limit", 0)
        row: Row = {"name": kind, "devices": len(devices)}
        yield {**row, "memory, GiB": limit / 2**30} if limit else row
    backend = jax.extend.backend.get_backend().platform_version.replace("\n", " ")
    cpu, versions = machine.describe().splitlines()
    yield {"name": "host", "note": f"{cpu}; {platform.platform()}"}
    yield {"name": "versions", "note": f"{versions}; {backend}"}


def matrix_speed(side: int, dtype: str, precision: str) -> float:
    """Operations a second of square products of random numbers; median of some calls."""
    keys = jax.random.split(jax.random.key(0))
    # Divided, so that repeated products keep their size.
    right = (jax.random.normal(keys[0], (side, side)) / side**0.5).astype(dtype)
    left = jax.random.normal(keys[1], (side, side)).astype(dtype)

    @jax.jit
    def products(left: jax.Array, right: jax.Array) -> jax.Array:
        product = partial(jnp.dot, precision=None if precision == "default" else precision)
        return jax.lax.fori_loop(0, PRODUCTS, lambda _, x: product(x, right), left)

    return PRODUCTS * 2 * side**3 / seconds(products, left, right)


def memory_speed(numbers: int) -> float:
    """Bytes a second, read and written, of one pass over as many float32 numbers."""
    values = jax.random.normal(jax.random.key(0), (numbers,))
    return 2 * values.nbytes / seconds(jax.jit(lambda x: x + 1), values)


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Median time of some calls, after one to compile."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - began)
    return statistics.median(times)
