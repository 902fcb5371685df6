"""`pytest -m accelerator`, one row a test."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accelerator.parts import ROOT, Emit, Row, Settings

# The tests of a dry run: a CPU compiles them in seconds.
TINY = "(networks and unet) or buffers or resumes"
PROCESSES = 4  # on a GPU


class Rows:
    """A plugin of pytest's that tells of each test as it ends."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One row for a test that ran, or that was skipped or broken before it did."""
        if report.when != "call" and report.outcome == "passed":
            return
        name = report.nodeid.partition("tests/accelerator/")[2]
        row: Row = {"name": name, "test": report.outcome, "s": report.duration}
        if report.outcome == "failed":
            reason = getattr(report.longrepr, "reprcrash", None)
            row["failed"] = str(reason.message if reason else report.longrepr)[:200]
        self.emit(row)

    def pytest_collectreport(self, report: Any) -> None:
        """One row for a file that could not be read."""
        if report.failed:
            last = str(report.longrepr).strip().splitlines()[-1]
            self.emit({"name": report.nodeid, "test": "failed", "failed": last[:200]})


def measure(settings: Settings, emit: Emit) -> None:
    """A row for each test, as it ends. On a GPU several processes share the work of compiling."""
    command = ["-m", "accelerator", "-q", "-p", "no:cacheprovider", str(ROOT / "tests/accelerator")]
    os.environ["COVIDJAX_TEST_ACCELERATOR"] = "1"
    if settings.dry_run:
        command += ["-k", TINY]
    elif any(Path("/dev").glob("nvidia[0-9]*")) and importlib.util.find_spec("xdist"):
        command += ["-n", str(PROCESSES)]
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    pytest.main(command, plugins=[Rows(emit)])
