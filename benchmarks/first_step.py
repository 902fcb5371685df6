"""From the start of a process to the end of its first train step."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.compare import Result, in_turns, progress
from benchmarks.settings import Settings, torch_installed
from benchmarks.worker import CPU_ONLY, ROOT, Side, Worker, WorkerError

LIMIT_SECONDS = 300.0


def first_step(settings: Settings) -> Iterator[Result]:
    """`launch.py --config=configs/cnn.py`: seconds to the end of its first step.

    Data and pixel cache are there. Cold: with an empty compilation cache. The rival's process
    imports PyTorch and takes one eager step of the same network on random images.
    """
    progress("first_step: a first run, which prepares the data")
    cache = settings.scratch / "first_step"
    seconds_of_launch(cache)

    def cold() -> float:
        shutil.rmtree(cache / "xla")
        return seconds_of_launch(cache)

    theirs = seconds_of_torch if torch_installed() else None
    against = "torch, eager, no data" if theirs else ""
    for name, ours in (("cold", cold), ("warm", lambda: seconds_of_launch(cache))):
        progress(f"first_step_{name}")
        values = in_turns(ours, theirs, settings.pairs, settings.say)
        yield Result(f"first_step_{name}", "s", *values, against=against, less_is_better=True)


def seconds_of_launch(cache: Path) -> float:
    """Runs launch.py until its record has the first step, and ends it.

    Raises:
      WorkerError: it ended by itself, or took more than five minutes.
    """
    with (
        tempfile.TemporaryDirectory(dir=cache.parent) as folder,
        tempfile.TemporaryFile() as errors,
    ):
        command = [sys.executable, "launch.py", "--config=configs/cnn.py:data=phantom"]
        command += ["--config.log_every=1", "--config.quiet", f"--workdir={folder}/run"]
        environment = {**os.environ, **CPU_ONLY, "COVIDJAX_CACHE": str(cache)}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # which would go before ours
        record = Path(folder) / "run" / "metrics.jsonl"
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            while not (record.exists() and record.stat().st_size):
                if process.poll() is not None or time.perf_counter() - start > LIMIT_SECONDS:
                    errors.seek(0)
                    said = errors.read().decode(errors="replace").strip().splitlines()
                    raise WorkerError(f"launch.py took no step: {said[-1] if said else 'silent'}")
                time.sleep(0.01)
            seconds = time.perf_counter() - start
        finally:
            process.kill()
            process.wait()
        line = json.loads(record.read_text("utf-8").splitlines()[0])
    if line["step"] != 1:
        raise WorkerError(f"the record of launch.py begins with step {line['step']}")
    return seconds


def seconds_of_torch() -> float:
    """Starts a process and waits until it says that its first step is done."""
    start = time.perf_counter()
    with Worker("benchmarks.first_step:theirs", {}):
        return time.perf_counter() - start


def theirs() -> Side:
    """One eager step of the same network, for a worker."""
    from benchmarks import torch_steps

    torch_steps.start(keep=False)
    torch_steps.train_step("cnn", 32, 64, "channels_last", False)(1)
    return Side(time.perf_counter)
