"""Processes of a run for the tests: started by forking.py, watched, and killed at the end."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TINY = [
    "--config=configs/cnn.py:data=phantom",
    "--config.phantom.images=200",
    "--config.phantom.size=64",
    "--config.data.size=32",
    "--config.fold=0",
    "--config.folds=2",
    "--config.batch_size=16",
    "--config.validation_fraction=0.3",
    "--config.bootstrap_samples=20",
    "--config.log_every=1",
    "--config.mirror=False",
    "--config.model.widths=(8,)",
    "--config.model.convs=1",
    "--config.model.kernels=plain",
    "--config.audit=False",
    "--config.saliency=False",
]


class Process:
    """One process of a run; `wait` gives its exit status."""

    def __init__(self, ask: Callable[..., Any], pid: int, out: Path, err: Path) -> None:
        self.ask, self.pid, self.files = ask, pid, (out, err)
        self.status: int | None = None

    def wait(self, seconds: float) -> int:
        """Fails the test where it takes longer."""
        if self.status is None:
            self.status = self.ask({"wait": self.pid, "seconds": seconds})
        if self.status is None:
            self.send(signal.SIGUSR1)
            time.sleep(0.5)
        assert self.status is not None, f"still running after {seconds} s:\n{self.err}"
        return self.status

    @property
    def out(self) -> str:
        return self.files[0].read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self.files[1].read_text(encoding="utf-8")

    def send(self, number: int, *, child: bool = False) -> None:
        """To the command, or to its child, which is the run itself (`cli/supervise.py`)."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        os.kill(int(children[0]) if child else self.pid, number)


def beginner(ask: Callable[..., Any], folder: Path) -> Iterator[Callable[..., list[Process]]]:
    begun: list[Process] = []

    def start(
        *arguments: str,
        processes: int = 2,
        devices: int = 4,
        only: Sequence[int] | None = None,
        most_bytes: dict[int, int] | None = None,
        each: dict[int, list[str]] | None = None,
        tiny: bool = True,
    ) -> list[Process]:
        port = free_port()
        made = []
        for number in range(processes) if only is None else only:
            out, err = (folder / f"{len(begun)}.{kind}" for kind in ("out", "err"))
            place = [f"--coordinator=localhost:{port}", f"--processes={processes}"]
            place += [f"--process={number}", *(each or {}).get(number, [])]
            request = {
                "argv": [*(TINY if tiny else []), *arguments, *(place if processes > 1 else [])],
                "env": {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"},
                "out": str(out),
                "err": str(err),
                "most_bytes": (most_bytes or {}).get(number, 0),
            }
            made.append(Process(ask, ask(request), out, err))
            begun.append(made[-1])
        return made

    yield start
    for process in begun:
        if process.status is None:
            process.send(signal.SIGKILL)
            process.wait(10)


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def lines(folder: Path, split: str = "train") -> dict[int, dict[str, Any]]:
    """The last line of each step in metrics.jsonl."""
    try:
        text = (folder / "metrics.jsonl").read_text()
    except FileNotFoundError:
        return {}
    rows = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    return {row["step"]: row for row in rows if row["split"] == split}


def until(condition: Callable[[], Any], processes: Sequence[Process], seconds: float = 600) -> None:
    """Waits; fails the test where a process ends before, or it takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        for process in processes:
            status = process.ask({"wait": process.pid, "seconds": 0})
            if status is not None:
                process.status = status
                pytest.fail(f"ended with {status}:\n{process.err}")
        assert time.monotonic() < end, f"not within {seconds} s:\n{processes[0].err}"
        time.sleep(0.05)
