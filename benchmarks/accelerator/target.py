"""Seconds from the start of `launch.py` until validation reaches an AUROC."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.accelerator.parts import ROOT, Emit, Row, Settings

AUROC = 0.97
# The dry run's is reached by chance: it shows that the part works.
TINY_AUROC = 0.0
TINY = (
    "--config.data.size=28",
    "--config.phantom.images=120",
    "--config.phantom.size=48",
    "--config.epochs=2",
    "--config.batch_size=16",
)
WAIT = 0.05  # seconds between two looks at the run's figures


def measure(settings: Settings, emit: Emit) -> None:
    """One row: what was reached, and when. The run is stopped there, before it looks at TEST."""
    folder = Path(settings.folder) / "target"
    command = [sys.executable, "launch.py", f"--workdir={folder}"]
    if settings.archive:
        command += ["--config=configs/cnn.py:task=pneumonia"]
        command += [f"--config.data.archive={settings.archive}"]
    else:
        # Its pneumonia task has too few images for its validation, which imitates a shift.
        command += ["--config=configs/cnn.py:task=covid,data=phantom,fold=0"]
    command += TINY if settings.dry_run else ()
    wanted = TINY_AUROC if settings.dry_run else AUROC
    what = "pneumonia, archive" if settings.archive else "covid, PHANTOM"
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr, stdin=subprocess.DEVNULL) as run:
        try:
            best, first = follow(run, folder / "metrics.jsonl", wanted, began)
        finally:
            run.kill()
    row: Row = {"name": f"{what}, cnn, 64 px", "AUROC on validation": best}
    if best < wanted:
        emit(row | {"failed": f"the run ended below {wanted}"})
    else:
        emit(row | {"first figures after, s": first, "s": time.monotonic() - began})


def follow(
    run: subprocess.Popen[bytes], path: Path, wanted: float, began: float
) -> tuple[float, float]:
    """The best AUROC until it is at least `wanted` or the run ends, and when training began.

    Raises:
      ValueError: the run ended without a figure.
    """
    best, first = -1.0, 0.0
    while True:
        ended = run.poll() is not None
        rows = read_rows(path)
        if rows and not first:
            first = time.monotonic() - began
        best = max((row["auroc"] for row in rows if row["split"] == "validation"), default=best)
        if best >= wanted or (ended and best >= 0):
            return best, first
        if ended:
            raise ValueError(f"launch.py ended with {run.returncode}, before its first figure")
        time.sleep(WAIT)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The lines that a run has written so far; its last one may be half of one."""
    if not path.exists():
        return []
    *lines, _ = path.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines]
