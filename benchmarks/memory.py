"""Peak memory of a train step, each turn in a fresh process."""

import resource
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.compare import Result, in_turns, progress
from benchmarks.settings import Settings
from benchmarks.worker import Side, Worker

NETWORK, BATCH, SIZE, STEPS = "resnet18", 16, 224, 3
FORMATS = ("contiguous", "channels_last")


def memory(settings: Settings) -> Iterator[Result]:
    """Peak resident memory of three ResNet-18 train steps at 224 px, batch 16."""
    progress(f"memory: {NETWORK}, {SIZE} px, batch {BATCH}; first once each to choose the rival")
    _peak("ours", {})  # fills the compilation cache
    peaks = {name: _peak("theirs", {"memory_format": name}) for name in FORMATS}
    best = min(peaks, key=peaks.__getitem__)
    theirs = partial(_peak, "theirs", {"memory_format": best})
    values = in_turns(partial(_peak, "ours", {}), theirs, settings.pairs, settings.say)
    note = f"torch {best}, eager"
    yield Result("memory", "MiB", *values, against=note, less_is_better=True)


def _peak(side: str, options: dict[str, str]) -> float:
    with Worker(f"benchmarks.memory:{side}", options) as worker:
        return worker.turn()


def ours() -> Side:
    """Our steps, for a worker."""
    from benchmarks import ours

    ours.start()
    ours.Training(NETWORK, BATCH, SIZE).run(STEPS)
    return Side(peak_mebibytes)


def theirs(memory_format: str) -> Side:
    """PyTorch's; without its compiler, whose own memory would count."""
    from benchmarks import torch_steps

    torch_steps.start(keep=False)
    torch_steps.train_step(NETWORK, BATCH, SIZE, memory_format, False)(STEPS)
    return Side(peak_mebibytes)


def peak_mebibytes() -> float:
    """The largest resident memory of this process so far, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)
