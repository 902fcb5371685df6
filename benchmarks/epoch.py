"""A real epoch of `configs/cnn.py` beside the same steps on one batch that lies on the device."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from benchmarks.compare import Result, in_turns, progress
from benchmarks.settings import Settings
from benchmarks.worker import Side, Worker

PROCESSES = 3


def epoch(settings: Settings) -> Iterator[Result]:
    """An epoch of configs/cnn.py from the cache, against one batch on the device.

    Both sides run one compiled program, and where a process's memory happens to lie makes more
    difference to it than what is measured. So they take turns in one process, and in several.
    """
    progress("epoch: preparing the data, compiling")
    options = {"archive": str(settings.archive or ""), "folder": str(settings.scratch)}
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(PROCESSES):
        with Worker("benchmarks.epoch:side", options) as both:
            progress(f"  process {number + 1} of {PROCESSES}: {both.note}")
            values = in_turns(both.turn, both.turn, settings.pairs, settings.say)
        ours += values[0]
        theirs += values[1]
    yield Result("epoch", "images/s", ours, theirs, against="ours, one batch on the device")


def side(archive: str, folder: str) -> Side:
    """For a worker: a turn of the real epoch, then one of the resident batch, and so on."""
    from benchmarks import epoch_sides, ours  # imports JAX, which the parent does not need

    ours.start()
    arguments = "" if archive else "data=phantom"
    measured = epoch_sides.Epoch(arguments, Path(archive) if archive else None, Path(folder))
    turns = itertools.cycle((measured.real, measured.resident))
    note = f"{measured.steps} steps of {measured.config.batch_size} images a turn"
    return Side(lambda: next(turns)(), note)
