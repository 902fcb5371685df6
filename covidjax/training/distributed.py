"""Several processes, one run: found by JAX's cluster detection or by flags, started, and ended."""

import contextlib
import ctypes
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import jax

from covidjax.training.channel import Channel, Place, say
from covidjax.training.rendezvous import PeerError, meet

# Ours speaks first, and names the process that is lost. JAX's own heartbeat would end a process
# with a stack trace, also where all were suspended together for a while.
HEARTBEAT_SECONDS = 24 * 3600
LONGEST_WAIT = 24 * 3600  # of the others, while the coordinator writes the results

# What the caller has a message for.
EXPECTED = (ValueError, OSError, FloatingPointError)

_channels: list[Channel] = []


def place_of(coordinator: str, processes: int, process: int) -> Place | None:
    """Which process of which run this is; None for a run of its own.

    Args:
      coordinator: HOST:PORT, "" where JAX is to find the cluster.
      processes: how many; 0 where JAX is to find them, 1 for one process whatever the cluster.
      process: number of this one; -1 where JAX is to find it.

    Raises:
      PeerError: some of the three without the others, or a cluster that cannot be used.
    """
    if processes == 1:
        return None
    if (coordinator, processes, process) == ("", 0, -1):
        return _detect()
    if not coordinator or processes < 2 or not 0 <= process < processes:
        raise PeerError(
            "several processes need --coordinator=HOST:PORT --processes=N --process=I with I from "
            f"0 to N-1; got --coordinator={coordinator} --processes={processes} "
            f"--process={process}"
        )
    return Place(coordinator, processes, process)


def _detect() -> Place | None:
    """What JAX's cluster detection says; it looks at the environment and asks nobody else.

    JAX's public way, `jax.distributed.initialize()`, connects at once and says nothing of the
    others, so its classes are asked here.
    """
    try:
        from jax._src.clusters import ClusterEnv

        kinds: list[Any] = list(ClusterEnv._cluster_types)
    except (ImportError, AttributeError):  # no public names: another JAX may have others
        return None
    for kind in kinds:
        # A pod is a process of several only in an indexed job.
        other = kind.__name__ == "K8sCluster" and "JOB_COMPLETION_INDEX" not in os.environ
        if kind.opt_in_only_method or other or not kind.is_env_present():
            continue
        try:
            count = kind.get_process_count()
            if count < 2:
                return None
            address = kind.get_coordinator_address(
                timeout_secs=60, override_coordinator_port=os.environ.get("JAX_COORDINATOR_PORT")
            )
            return Place(address, count, kind.get_process_id(), kind.name or kind.__name__)
        except Exception as error:  # of requests, kubernetes and others
            reason = " ".join(str(error).split())[:300]
            raise PeerError(
                f"this looks like a cluster ({kind.__name__}), but {type(error).__name__}: "
                f"{reason}; give --processes=1, or --coordinator, --processes and --process"
            ) from error
    return None


def start(place: Place, same: Mapping[str, str], word: str, timeout: float) -> Channel:
    """Brings the processes together and starts JAX on them; call it before JAX has devices.

    Arguments as `rendezvous.meet`.

    Raises:
      PeerError: they did not come together.
    """
    channel = meet(place, {"jax": jax.__version__, **same}, word, timeout)
    # A stop is agreed on in the train step (`loop.fit`): JAX's service would take SIGTERM for
    # itself, and know of none outside of training.
    jax.config.update("jax_enable_preemption_service", False)
    # Where JAX found the cluster it also says which GPU is whose.
    method = "deactivate" if place.found_by == "flags" else None
    channel.watch()
    _abort_slowly()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clusters that are not this one
        jax.distributed.initialize(
            place.address,
            place.processes,
            place.process,
            initialization_timeout=max(10, round(timeout)),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=LONGEST_WAIT,
            cluster_detection_method=method,
        )
    _channels.append(channel)
    return channel


def _abort_slowly() -> None:
    """Gives `Channel` the time to name the process that is lost.

    JAX's client aborts the process the moment the coordinator's connection ends, and says no more
    than that. An abort now waits some seconds first, in which the channel ends the process with its
    own message and status: the handler is libc's sleep itself, called with the signal's number, for
    no Python can run at that point.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not on Windows
        libc = ctypes.CDLL(None)
        libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
        libc.signal.restype = ctypes.c_void_p
        libc.signal(signal.SIGABRT, ctypes.cast(libc.sleep, ctypes.c_void_p))


def is_coordinator() -> bool:
    """True in the one process that writes the run's files; True in a run of one process."""
    return not _channels or _channels[0].place.process == 0


def share(value: Any) -> Any:
    """The coordinator's value (anything JSON can hold), in all processes; see `Channel.share`."""
    return _channels[0].share(value) if _channels else value


def sync() -> None:
    """Waits until all processes have got here; returns at once where there is one."""
    if _channels:
        _channels[0].sync()


def fail(text: str, status: int) -> None:
    """Ends all processes, from any thread; does nothing where there is one."""
    if _channels:
        say(text)
        _channels[0].fail(text, status)


def is_everywhere(error: BaseException) -> bool:
    """Whether all processes of the run raise it at the same place; True for a run of one."""
    return not _channels or bool(getattr(error, "everywhere", False))


def wait_for_word() -> None:
    """Where something failed that others may be the reason of: see `Channel.wait_for_word`."""
    if _channels:
        _channels[0].wait_for_word()


def finish() -> None:
    """At the end of a run: waits for the other processes, then ends JAX's part."""
    if _channels:
        _channels.pop().finish()
        jax.distributed.shutdown()


def end(text: str, status: int, *, together: bool = False) -> NoReturn:
    """Says why and ends the process; all of them where there are several.

    With `together` they have agreed on it, and wait for each other.
    """
    say(text)
    if _channels and not together:
        _channels[0].fail(text, status)
    finish()
    sys.exit(status)


@contextlib.contextmanager
def crashes_told(hint: str) -> Iterator[None]:
    """An exception that nobody expected ends all processes; of a lost one, its name is said.

    Args:
      hint: how to go on where another process is lost.
    """
    if not _channels:
        yield
        return
    channel = _channels[0]
    channel.advice = hint[:1].upper() + hint[1:]
    try:
        yield
    except EXPECTED:
        raise
    except Exception as error:
        if isinstance(error, jax.errors.JaxRuntimeError):
            channel.wait_for_word()  # a collective fails at once where another process is killed
        with contextlib.suppress(OSError):
            traceback.print_exc()
        channel.fail(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", 1)
