"""One point of a sweep: a command line of its own, run as a process, and what became of it."""

import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from covidjax.runs import results
from covidjax.training.signals import StoppedError

KEPT_BYTES = 4096  # of what a point says last, which has the reason where it fails


@dataclasses.dataclass(frozen=True)
class Point:
    """One run of a sweep: its folder's name, what it sets, and its command line."""

    name: str
    fields: dict[str, Any]
    command: list[str]


def state_of(point: Point, workdir: Path) -> dict[str, Any]:
    """What is known of a point: `state` is waiting, running, stopped, failed or finished.

    One that was finished by another command waits: its run decides whether it is the same.
    """
    try:
        known = json.loads(record_of(workdir, point).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"state": "waiting"}
    finished = known["state"] == "finished"
    if finished and (
        known["command"] != point.command[1:]
        or not (workdir / point.name / "results.json").exists()
    ):
        return {"state": "waiting"}
    return known


def run_point(point: Point, workdir: Path) -> None:
    """Runs a point, which may go on where it was stopped, and keeps what became of it.

    Raises:
      StoppedError: we were told to stop, and the point has saved.
    """
    began = time.time()

    def keep(state: str, status: int | None = None, error: str = "") -> None:
        known: dict[str, Any] = {"name": point.name, "state": state, "fields": point.fields}
        known |= {"command": point.command[1:], "seconds": round(time.time() - began, 1)}
        known |= {"status": status, "error": error}
        results.write_results(record_of(workdir, point), known)

    keep("running")
    # A session of its own: Ctrl-C reaches us alone, and we pass it on once.
    process = subprocess.Popen(point.command, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None
    said: list[bytes] = [b""]
    reader = threading.Thread(target=_pass_on, args=(process.stderr, said), daemon=True)
    reader.start()
    try:
        status = process.wait()
    except StoppedError as stopped:
        process.send_signal(stopped.signal)
        process.wait()
        reader.join()
        keep("stopped")
        raise StoppedError(f"stopped at {point.name}", stopped.signal) from stopped
    finally:
        if process.poll() is None:  # told to stop a second time
            process.kill()
    reader.join()
    if status in (128 + signal.SIGTERM, 128 + signal.SIGINT):  # told so by somebody else
        keep("stopped", status)
        raise StoppedError(f"stopped at {point.name}", status - 128)
    lines = said[0].decode(errors="replace").replace("\r", "\n").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    error = "" if status == 0 else (last or f"exit status {status}")
    keep("finished" if status == 0 else "failed", status, error)


def record_of(workdir: Path, point: Point) -> Path:
    """The file that says what became of a point."""
    return workdir / "points" / f"{point.name}.json"


def _pass_on(stream: IO[bytes], said: list[bytes]) -> None:
    """Shows what a point says as it says it, and keeps the end of it."""
    while block := stream.read1(65536):  # type: ignore[attr-defined]
        sys.stderr.write(block.decode(errors="replace"))
        sys.stderr.flush()
        said[0] = (said[0] + block)[-KEPT_BYTES:]
