"""Starts processes of `launch.py` on request, importing JAX once for all: see conftest.py.

stdin: one JSON object a line, {"argv", "env", "out", "err", "most_bytes"}; stdout: the pid of the
process that runs it, and for {"wait": PID, "seconds"} its exit status, null while it runs.
"""

import faulthandler
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# What takes the seconds, that is else imported when it is needed.
import sklearn.metrics  # noqa: F401
import tensorboardX  # noqa: F401

import covidjax.classify.figures.curves
import covidjax.classify.figures.evidence_curves
import covidjax.classify.model_card
import covidjax.classify.report  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[1] / "end_to_end"))
from many_launches import run_script  # noqa: E402


def begin(request: dict[str, Any]) -> int:
    err = os.open(request["err"], os.O_RDWR | os.O_CREAT)
    if request.get("most_bytes"):  # what it says has room
        reader, writer = os.pipe()
        subprocess.Popen(["cat"], stdin=reader, stdout=err)
        os.close(reader)
        os.close(err)
        err = writer
    child = os.fork()
    if child:
        os.close(err)
        return child
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(err, 2)
    for number, name in ((0, os.devnull), (1, request["out"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    faulthandler.register(signal.SIGUSR1)  # so that a test that waits too long can say where
    os.environ.update(request["env"])
    if request.get("most_bytes"):  # as a disk that is full: no file may grow larger
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["most_bytes"],) * 2)
    run_script(request["argv"])


def wait(pid: int, seconds: float) -> int | None:
    until = time.monotonic() + seconds
    while True:
        found, state = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(state)
        if time.monotonic() > until:
            return None
        time.sleep(0.05)


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        answer = wait(asked["wait"], asked["seconds"]) if "wait" in asked else begin(asked)
        print(json.dumps(answer), flush=True)
