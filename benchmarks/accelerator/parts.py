"""The parts of a session on an accelerator, each run in a process that has a time limit.

    python -m benchmarks.accelerator.parts TARGET SETTINGS

is such a process: it calls the part and writes each of its rows as a JSON line.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# In a dry run nearly all of the time goes into compiling.
QUICK = "--xla_backend_optimization_level=0"
# One line of a table: "name", and then its cells; or "name" and "failed", the reason.
Row = dict[str, Any]
Emit = Callable[[Row], None]


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of the session.

    Attributes:
      name: in the tables and for --only.
      target: MODULE:FUNCTION; takes `Settings` and a function
        that is called with each row.
      share: of the session's time. What a part leaves of its own goes to those behind it.
      about: one line for --help and the heading of its table.
    """

    name: str
    target: str
    share: float
    about: str


PARTS = (
    Part(
        "devices",
        "benchmarks.accelerator.devices:measure",
        0.10,
        "devices, versions, matrix and memory speed",
    ),
    Part(
        "checks",
        "benchmarks.accelerator.checks:measure",
        0.26,
        "pytest -m accelerator: right on this device",
    ),
    Part(
        "steps",
        "benchmarks.accelerator.speed:measure",
        0.24,
        "speed and memory of each training step",
    ),
    Part(
        "pytorch",
        "benchmarks.accelerator.rival:measure",
        0.16,
        "training steps in turns with PyTorch's",
    ),
    Part(
        "input",
        "benchmarks.accelerator.pipeline:measure",
        0.08,
        "time that the device waits for input",
    ),
    Part(
        "target",
        "benchmarks.accelerator.target:measure",
        0.08,
        "from the start of launch.py to an AUROC of 0.97",
    ),
    Part(
        "choices",
        "benchmarks.accelerator.choices:measure",
        0.08,
        "steps a dispatch, and XLA's flags",
    ),
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every part is told.

    Attributes:
      dry_run: sizes that a CPU computes in seconds.
      archive: CoronaHack's zip or folder; "": the phantom.
      folder: for what parts write, their logs among it.
    """

    dry_run: bool
    archive: str
    folder: str


def run(part: Part, settings: Settings, seconds: float) -> Iterator[Row]:
    """The part's rows as they come, ended after some seconds; a failure is a row too."""
    log = Path(settings.folder) / f"{part.name}.log"
    command = [sys.executable, "-m", "benchmarks.accelerator.parts", part.target]
    environment = dict(os.environ)
    if settings.dry_run:
        environment["XLA_FLAGS"] = f"{QUICK} {environment.get('XLA_FLAGS', '')}"
    out_of_time = threading.Event()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, json.dumps(dataclasses.asdict(settings))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # so that its own processes end with it
        )

        def end() -> None:
            out_of_time.set()
            _kill(process)

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            assert process.stdout
            for line in process.stdout:
                yield json.loads(line)
            status = process.wait()
        finally:
            timer.cancel()
            _kill(process)
            process.wait()
    if out_of_time.is_set():
        yield {"name": part.name, "failed": f"stopped after {seconds:.0f} s, its share of the time"}
    elif status:
        yield {"name": part.name, "failed": _last_line(log) or f"exit status {status}"}


def reason(error: Exception) -> str:
    """The first line of an error, for a row."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]


def _kill(process: subprocess.Popen[str]) -> None:
    """Ends a process and those that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return f"{lines[-1].strip()[:200]} ({log.name})" if lines else ""


def serve(target: str, settings: Settings) -> None:
    """The process's part: calls the target and writes its rows to what was stdout."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no row
    module, _, function = target.partition(":")
    measure = getattr(importlib.import_module(module), function)
    measure(settings, lambda row: print(json.dumps(row), file=answers, flush=True))


if __name__ == "__main__":
    serve(sys.argv[1], Settings(**json.loads(sys.argv[2])))
