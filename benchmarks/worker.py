"""A process of its own for each side.

Two runtimes in one process would share its memory, its allocator and its cores' time: threads that
spin for work slow the other side down. So each side is set up in its own process, and waits there
until the parent asks it for a turn.

    python -m benchmarks.worker MODULE:FUNCTION '{"option": value, ...}'

calls the function, which returns a `Side`; answers on stdout with one JSON line when it is ready,
and with one for each line on stdin.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from benchmarks.compare import Turn

ROOT = Path(__file__).resolve().parent.parent
# What is measured is the CPU, also where there is an accelerator.
CPU_ONLY = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}

# What lets a worker have the devices that its parent has.
ANY_DEVICE = {name: os.environ.get(name) for name in ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES")}


class Side(NamedTuple):
    """One side, set up and warm: measures once when called; `note` says what it turned out to be.

    `note` is for the table: the variant that was the fastest, for example.
    """

    turn: Turn
    note: str = ""


class WorkerError(RuntimeError):
    """A side failed; the message has the last line of what it said."""


class Worker:
    """A side in its own process; a context manager.

    Attributes:
      note: the side's.

    Raises:
      WorkerError: on entering and on a turn, where the side fails.
    """

    def __init__(
        self,
        target: str,
        options: Mapping[str, Any],
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        """`target` is MODULE:FUNCTION, called with `options`.

        `environment` is added to ours, or taken out of it where it says None.
        """
        self.target = target
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  closed in __exit__
        variables = {**os.environ, **CPU_ONLY, **(environment or {})}
        command = [sys.executable, "-m", "benchmarks.worker", target, json.dumps(options)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={name: value for name, value in variables.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.note = ""

    def __enter__(self) -> "Worker":
        try:
            self.note = self._answer()["note"]
        except BaseException:
            self._end(patience=0.0)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Broken off, it may be in the midst of something long.
        self._end(patience=10.0 if kind is None else 0.0)

    def turn(self) -> float:
        """Measures once."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # its answer, or the lack of it, says why
            self.process.stdin.write("turn\n")
            self.process.stdin.flush()
        return self._answer()["value"]

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip().splitlines()
            reason = said[-1] if said else f"exit status {self.process.returncode}"
            raise WorkerError(f"{self.target} failed: {reason}")
        return json.loads(line)

    def _end(self, patience: float) -> None:
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # which ends its loop
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def serve(target: str, options: Mapping[str, Any]) -> None:
    """The worker's part: sets the side up, then answers until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    module, _, function = target.partition(":")
    side: Side = getattr(importlib.import_module(module), function)(**options)
    print(json.dumps({"note": side.note}), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps({"value": side.turn()}), file=answers, flush=True)


if __name__ == "__main__":
    # Under its real name, so that what the sides import is this module's twin and not a third one.
    serve(sys.argv[1], json.loads(sys.argv[2]))
