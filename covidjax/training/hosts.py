"""Several processes, one run: JAX's distributed service, and the little that a run shares by it.

JAX's service knows who is lost: a process that stops sending heartbeats ends all others, within
`heartbeat` seconds, by SIGABRT. `cli/supervise.py` turns such an end into one line.
"""

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np

LONGEST_WAIT = 24 * 3600  # seconds, for the others, while the coordinator writes the results
GRACE_SECONDS = 30  # beyond the heartbeat's time, for JAX to end a process whose peer is lost

# What the caller has a message for.
EXPECTED = (ValueError, OSError, FloatingPointError)

_heartbeat: list[float] = []  # of the service, once it has been started


class PeerError(ValueError):
    """The processes of a run did not come together; the message says what to do."""


class Place(NamedTuple):
    """Which process of how many this is, as the command line says.

    Attributes:
      coordinator: HOST:PORT of process 0, "" where JAX is to find the cluster.
      processes: how many; 0 where JAX is to find them.
      process: number of this one; -1 where JAX is to find it.
    """

    coordinator: str
    processes: int
    process: int


def start(place: Place, heartbeat: float) -> None:
    """Joins the other processes of the run; call it before JAX has devices.

    Args:
      place: of this process.
      heartbeat: seconds to wait for the others now, and later until a silent one counts as lost.

    Raises:
      PeerError: JAX says why they cannot be joined. (Where one does not come JAX ends the process.)
    """
    # A stop is agreed on in the train step (`loop.fit`): JAX's service would take SIGTERM for
    # itself, does not know of Ctrl-C, and knows of no stop outside of training.
    jax.config.update("jax_enable_preemption_service", False)
    found: dict[str, Any] = {}
    if place.coordinator:
        found = {"coordinator_address": place.coordinator, "num_processes": place.processes}
        found |= {"process_id": place.process, "cluster_detection_method": "deactivate"}
    seconds = max(10, round(heartbeat))
    try:
        jax.distributed.initialize(
            **found,
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=seconds,
            shutdown_timeout_seconds=LONGEST_WAIT,
        )
    except (ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        where = place.coordinator or "the cluster that the environment names"
        raise PeerError(
            f"cannot join the other processes at {where}: {reason}; give --processes=1, or "
            "--coordinator=HOST:PORT, --processes=N and --process=I"
        ) from error
    _heartbeat.append(seconds)


def is_coordinator() -> bool:
    """True in the one process that writes the run's files; True in a run of one process."""
    return not _heartbeat or jax.process_index() == 0


def sync() -> None:
    """Waits until all processes have got here; returns at once where there is one."""
    if _heartbeat:
        from orbax.checkpoint import multihost  # a second to import

        multihost.sync_global_processes("covidjax", timeout=LONGEST_WAIT)


def share(value: Any) -> Any:
    """The coordinator's value, in all processes; all call it in the same order.

    Args:
      value: what JSON can hold; of the other processes it does not matter.
    """
    if not _heartbeat or jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    sync()  # else a fast process would wait in a collective, whose patience is short
    data = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(data))))
    padded = np.zeros(size, np.uint8)
    padded[: len(data)] = data[:size]
    return json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(padded))))


def check_same(facts: Mapping[str, str]) -> None:
    """Raises PeerError where this process does not run what the coordinator runs."""
    for what, expected in share(dict(facts)).items():
        if facts.get(what) != expected:
            raise PeerError(
                f"process {jax.process_index()} has {what}={facts.get(what)}, process 0 has "
                f"{expected}: give all processes the same command, and the same versions"
            )


def is_everywhere(error: BaseException) -> bool:
    """Whether all processes of the run raise it at the same place; True for a run of one."""
    return not _heartbeat or bool(getattr(error, "everywhere", False))


def wait_for_service() -> None:
    """Where a collective failed: another process is lost, and JAX will name it and end this one.

    Returns where that does not happen in time.
    """
    if _heartbeat:
        time.sleep(_heartbeat[0] + GRACE_SECONDS)


def finish() -> None:
    """At the end of a run: waits for the other processes, then ends JAX's part."""
    if _heartbeat:
        _heartbeat.clear()
        jax.distributed.shutdown()


def say(text: str) -> None:
    """One line on stderr; where that is a file on a full disk, nothing: the end must not wait."""
    with contextlib.suppress(OSError, ValueError):
        print(f"launch.py: {text}", file=sys.stderr, flush=True)


def fail(text: str, status: int) -> None:
    """Ends this process from any thread, so that the others learn that it is lost.

    Does nothing in a run of one process.
    """
    if _heartbeat:
        say(text)
        _leave(status)


def end(text: str, status: int, *, together: bool = False) -> NoReturn:
    """Says why and ends the process.

    With `together` all processes of the run do so, and wait for each other.
    """
    say(text)
    if _heartbeat and not together:
        _leave(status)
    finish()
    sys.exit(status)


def _leave(status: int) -> NoReturn:
    """Ends the process without waiting for others, as an interpreter that shuts down would."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


@contextlib.contextmanager
def crashes_told() -> Iterator[None]:
    """An exception that nobody expected ends the process, after JAX has had time to name a peer."""
    try:
        yield
    except EXPECTED:
        raise
    except Exception as error:
        if not _heartbeat:
            raise
        if isinstance(error, jax.errors.JaxRuntimeError):
            wait_for_service()  # a collective fails at once where another process is killed
        with contextlib.suppress(OSError):
            traceback.print_exc()
        _leave(1)
