"""The parent of a process among several: when there is one, and what it makes of the end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from covidjax.cli import supervise

ROOT = Path(__file__).parents[2]
SERVICE = b"F1201 03:58:13.860368   22768 client.h:80] Terminating process because ..."
ARGUMENTS = ["launch.py", "--workdir=runs/a", "--coordinator=node0:9876", "--processes", "3"]


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ([], {}, False),
        (["--config=x", "--processes=1"], {"SLURM_NTASKS": "4"}, False),
        (["--processes=2", "--process=0"], {}, True),
        (["--processes", "2"], {}, True),
        (["--coordinator=h:1"], {}, True),
        ([], {"SLURM_NTASKS": "4"}, True),
        ([], {"SLURM_NTASKS": "1"}, False),
        ([], {"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ([], {"JOB_COMPLETION_INDEX": "0", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True),
        ([], {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),
        ([], {"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ([], {"TPU_WORKER_HOSTNAMES": "localhost"}, False),
    ],
)
def test_several_processes_are_those_of_flags_or_of_a_cluster(arguments, environment, expected):
    assert supervise.wanted(["launch.py", *arguments], environment) == expected


@pytest.mark.parametrize(
    ("fatal", "expected"),
    [
        (
            b"UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):\n1\nThe",
            "process 1 is lost: killed, crashed, or cut off. The same command with "
            "--workdir=runs/a resumes",
        ),
        (
            b"The following tasks are unhealthy (stopped sending heartbeats):\n1\n2\nThe tasks",
            "processes 1 and 2 are lost",
        ),
        (
            b"DEADLINE_EXCEEDED: Deadline Exceeded\n\nRPC: /x/RegisterTask",
            "not all processes came together at node0:9876: 3 should have.",
        ),
        (b"ABORTED: ...\n\nRPC: /x/RegisterTask", "two have the same --process"),
        (b"UNAVAILABLE: Failed to send RPC to coordination service.", "process 0, the coordinator"),
        (b"something new", "another process of the run is lost"),
    ],
)
def test_the_last_words_of_the_service_become_one_line(fatal, expected):
    line = supervise.explained(SERVICE + fatal, ARGUMENTS)
    assert expected in line and "\n" not in line


def run(tmp_path: Path, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A command that is supervised, whose child runs `code`."""
    script = tmp_path / "launch.py"
    start = f"import os, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
    script.write_text(f"{start}from covidjax.cli import supervise\nsupervise.begin()\n{code}")
    command = [sys.executable, str(script), "--processes=2", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_output_and_exit_status_pass_through(tmp_path):
    child = run(tmp_path, "print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert child.communicate(timeout=60) == (b"out\n", b"err\n") and child.returncode == 3


def test_an_abort_of_the_service_is_one_line_and_status_75(tmp_path):
    words = SERVICE.decode() + " (stopped sending heartbeats): tasks are unhealthy\\n stack trace"
    child = run(tmp_path, f"os.write(2, b'a bar\\r{words}'); os.abort()", "--workdir=w")
    _, err = child.communicate(timeout=60)
    assert child.returncode == supervise.LOST
    assert err.startswith(b"a bar\r\nlaunch.py: ") and b"stack trace" not in err
    assert b"--workdir=w resumes" in err and err.count(b"\n") == 2


def test_an_abort_of_something_else_is_passed_on(tmp_path):
    child = run(tmp_path, "os.write(2, b'what'); os.abort()")
    assert child.communicate(timeout=60)[1] == b"what"
    assert child.returncode == 128 + signal.SIGABRT


def test_a_signal_reaches_the_child_once_and_its_status_is_the_parents(tmp_path):
    code = """
import signal, time
def stop(number, _):
    print("got", number, flush=True)
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(60)
"""
    child = run(tmp_path, code)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.communicate(timeout=60)[0] == b"got 15\n" and child.returncode == 143


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path):
    child = run(tmp_path, "import time; print(os.getpid(), flush=True); time.sleep(600)")
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    child.kill()
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in _status(pid):
            break
        time.sleep(0.1)
    else:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the child is still there")


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "\nState:\tZ"
