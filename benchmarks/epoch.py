"""A real epoch of `configs/cnn.py` beside the same steps on one batch that lies on the device."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.compare import Result, in_turns, progress
from benchmarks.settings import Settings
from benchmarks.worker import Side, Worker


def epoch(settings: Settings) -> Iterator[Result]:
    """An epoch of configs/cnn.py from the cache, against one batch on the device."""
    progress("epoch: preparing the data, compiling")
    options = {"archive": str(settings.archive or ""), "folder": str(settings.scratch)}
    with (
        Worker("benchmarks.epoch:side", {"kind": "real", **options}) as real,
        Worker("benchmarks.epoch:side", {"kind": "resident", **options}) as resident,
    ):
        progress(f"  {real.note}")
        values = in_turns(real.turn, resident.turn, settings.pairs, settings.say)
    yield Result("epoch", "images/s", *values, against="ours, one batch on the device")


def side(kind: str, archive: str, folder: str) -> Side:
    """One of the two, "real" or "resident", for a worker."""
    from benchmarks import epoch_sides, ours  # imports JAX, which the parent does not need

    ours.start()
    arguments = "" if archive else "data=phantom"
    measured = epoch_sides.Epoch(arguments, Path(archive) if archive else None, Path(folder))
    note = f"{measured.steps} steps of {measured.config.batch_size} images a turn"
    return Side(getattr(measured, kind), note)
