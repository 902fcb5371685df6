"""Real epochs from the pixel cache: how much of the time the device waits for its input."""

from pathlib import Path

from benchmarks import ours  # first: it sets the allocator before JAX is imported

# ruff: noqa: E402, I001
from benchmarks import epoch_sides
from benchmarks.accelerator import trace
from benchmarks.accelerator.parts import Emit, Row, Settings, reason

# Config, pixels a side, batch, type: a small network, which asks for most images a second, and the
# usual one.
CASES = (("cnn", 64, 64, "float32"), ("resnet:depth=50", 224, 128, "bfloat16"))
TINY = (("cnn", 28, 16, "float32"),)
TINY_PHANTOM = {"phantom.images": 120, "phantom.size": 48}


def measure(settings: Settings, emit: Emit) -> None:
    """A row for each network, from a trace of the training part of some epochs."""
    ours.start()
    archive = Path(settings.archive) if settings.archive else None
    arguments = "task=pneumonia" if archive else "task=pneumonia,data=phantom"
    folder = Path(settings.folder) / "epochs"
    folder.mkdir(exist_ok=True)
    for config, size, batch, dtype in TINY if settings.dry_run else CASES:
        changes = {"data.size": size, "batch_size": batch, "dtype": dtype}
        if settings.dry_run:
            changes |= TINY_PHANTOM
        row: Row = {
            "name": f"{config.partition(':')[0]}, {size} px",
            "dtype": dtype,
            "batch": batch,
        }
        try:
            epoch = epoch_sides.Epoch(arguments, archive, folder, changes, config)
            row |= {
                "steps": epoch.steps,
                "steps a dispatch": epoch.schedule.steps_per_dispatch,
                "images/s": epoch.real(),
                "one batch on the device": epoch.resident(),
            }
            row["idle"] = trace.traced(epoch.real).idle
        except Exception as error:  # what was measured and the other rows are wanted all the same
            row["failed"] = reason(error)
        emit(row)
