"""A run of several processes is a child of this one, so that its end can be told in one line.

Where another process of the run is lost, JAX's distributed service ends this one by SIGABRT with a
stack trace. The parent passes everything else through, and signals on; it imports no JAX.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

LOST = 75  # exit status where another process is lost: EX_TEMPFAIL of sysexits.h, "try again"
# What JAX's service writes before it ends a process.
FATAL = re.compile(rb"[EF]\d{4} [\d:.]+ +\d+ (?:coordination_service|client\.h)")
UNHEALTHY = re.compile(rb"unhealthy \(stopped sending heartbeats\):\s*([\d,\s]+)")
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def wanted(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the command line or a cluster's environment asks for several processes."""
    processes = flag(arguments, "processes")
    if processes:
        return processes != "1"
    return bool(flag(arguments, "coordinator") or cluster(environment))


def flag(arguments: Sequence[str], name: str) -> str:
    """The last value of --NAME=VALUE or --NAME VALUE, "" without."""
    value = ""
    for place, argument in enumerate(arguments):
        key, equals, text = argument.lstrip("-").partition("=")
        if key == name and argument.startswith("-"):
            value = text if equals else "".join(arguments[place + 1 : place + 2])
    return value


def cluster(environment: Mapping[str, str]) -> str:
    """The cluster whose job of several processes this is one of, "" for none.

    JAX finds out the rest; these are the variables by which it knows the clusters.
    """
    counts = {"Slurm": "SLURM_NTASKS", "Open MPI": "OMPI_COMM_WORLD_SIZE"}
    for name, variable in counts.items():
        count = environment.get(variable, "")
        if count.isdecimal() and int(count) > 1:
            return name
    if "JOB_COMPLETION_INDEX" in environment and "KUBERNETES_SERVICE_HOST" in environment:
        return "Kubernetes"
    hosts = environment.get("TPU_WORKER_HOSTNAMES") or environment.get("TPU_PROCESS_ADDRESSES", "")
    return "TPU" if "," in hosts else ""


def begin() -> None:
    """Returns in a child where several processes are wanted; the parent ends with its status."""
    if not wanted(sys.argv, os.environ):
        return
    said, says = os.pipe()
    alive, _held = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(said)
        os.close(_held)
        os.dup2(says, 2)
        sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
        os.setpgid(0, 0)  # Ctrl-C comes from the parent, once
        threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
        return
    os.close(says)
    os.close(alive)
    for number in SIGNALS:
        signal.signal(number, lambda received, _: os.kill(child, received))
    fatal = _pass_through(said)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGABRT and fatal:
        print(f"launch.py: {explained(fatal, sys.argv)}", file=sys.stderr, flush=True)
        status = LOST
    elif fatal:
        os.write(2, fatal)
    os._exit(status if status >= 0 else 128 - status)


def _end_with_parent(alive: int) -> None:
    """In the child: a parent that is gone can pass nothing on, so the run ends with it."""
    os.read(alive, 1)  # nothing is ever written: it returns when the parent's end is closed
    os._exit(128 + signal.SIGTERM)


def _pass_through(said: int) -> bytes:
    """Copies what the child says on stderr; what JAX's service says at the end is returned."""
    fatal, last = b"", b""
    while data := os.read(said, 1 << 16):
        if not fatal and (match := FATAL.search(data)):
            data, fatal = data[: match.start()], data[match.start() :]
        elif fatal:
            data, fatal = b"", fatal + data
        os.write(2, data)
        last = data[-1:] or last
    if fatal and last not in (b"", b"\n"):
        os.write(2, b"\n")  # a progress bar stands in the line
    return fatal


def explained(fatal: bytes, arguments: Sequence[str]) -> str:
    """What the service's last words mean, and what to do."""
    workdir = flag(arguments, "workdir")
    resume = (
        f"The same command with {f'--workdir={workdir}' if workdir else 'its --workdir'} resumes"
    )
    count, address = flag(arguments, "processes") or "all", flag(arguments, "coordinator")
    if match := UNHEALTHY.search(fatal):
        numbers = re.findall(rb"\d+", match[1])
        who = " and ".join(number.decode() for number in numbers)
        lost = f"process {who} is" if len(numbers) == 1 else f"processes {who} are"
        return f"{lost} lost: killed, crashed, or cut off. {resume}"
    if b"RegisterTask" in fatal and b"DEADLINE_EXCEEDED" in fatal:
        return (
            f"not all processes came together{f' at {address}' if address else ''}: {count} should "
            "have. Start each with the same command and its own --process, check the address and "
            "the firewall, or give a longer --peer_timeout=SECONDS"
        )
    if b"RegisterTask" in fatal:
        return (
            "the processes cannot be told apart: two have the same --process, or an earlier run "
            f"still uses {address or 'the coordinator'}"
        )
    if b"Failed to send RPC to coordination service" in fatal:
        return f"process 0, the coordinator, is lost or has ended: see what it said. {resume}"
    return f"another process of the run is lost: see what the others said. {resume}"
