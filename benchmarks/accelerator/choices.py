"""What `launch.py` could choose otherwise: steps a dispatch, and flags of XLA's for GPUs."""

import os

from benchmarks.accelerator.parts import Emit, Row, Settings
from benchmarks.compare import repeated
from benchmarks.worker import ANY_DEVICE, Side, Worker, WorkerError

Case = dict[str, str | int]
DISPATCHES = (1, 8, 32)
# XLA's defaults, and what its documentation names for the speed of GPUs.
FLAGS = (
    "",
    "--xla_gpu_enable_latency_hiding_scheduler=true",
    "--xla_gpu_enable_command_buffer=",
    "--xla_gpu_enable_triton_gemm=false",
)
SMALL: Case = {"network": "cnn", "batch": 64, "size": 64, "dtype": "float32"}
LARGE: Case = {
    "network": "resnet50",
    "batch": 128,
    "size": 224,
    "dtype": "bfloat16",
    "per_dispatch": 1,
}
TINY: Case = {"network": "cnn", "batch": 8, "size": 16, "dtype": "float32"}


def measure(settings: Settings, emit: Emit) -> None:
    """A row for each number of steps a dispatch, and on GPUs one for each flag."""
    small = TINY if settings.dry_run else SMALL
    backend = ""
    for number in DISPATCHES[1:2] if settings.dry_run else DISPATCHES:
        row, seen = attempt(f"{number} steps a dispatch", {**small, "per_dispatch": number}, "")
        backend = seen or backend
        emit(row)
    if backend == "gpu":
        for flags in FLAGS:
            emit(attempt(flags or "XLA's defaults", LARGE, flags)[0])


def attempt(name: str, case: Case, flags: str) -> tuple[Row, str]:
    """Speed of a step in a process of its own, which has these flags of XLA's, and its backend."""
    network = f"{case['network']}, {case['size']} px, {case['dtype']}, batch {case['batch']}"
    row: Row = {"name": name, "step": network}
    all_flags = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    environment = {"XLA_FLAGS": all_flags, **ANY_DEVICE}
    try:
        with Worker("benchmarks.accelerator.choices:side", case, environment) as worker:
            return row | {"images/s": worker.turn()}, worker.note
    except WorkerError as error:
        return row | {"failed": str(error)[:200]}, ""


def side(network: str, batch: int, size: int, dtype: str, per_dispatch: int) -> Side:
    """Training on the first device, for a worker; the note is JAX's backend."""
    import jax  # here, for the parent would take the device's memory

    from benchmarks import ours

    ours.start()
    training = ours.Training(network, batch, size, dtype, per_dispatch, devices=1)
    return Side(repeated(training.run, batch * per_dispatch), jax.default_backend())
