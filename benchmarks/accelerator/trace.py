"""How long a device computed while something ran, from a trace of JAX's profiler."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

# What a device does besides computing: it may be at work at the same time, and waits for no input.
COPIES = ("Memcpy", "Memset")


class Times(NamedTuple):
    """Seconds from the first to the last operation on a device, and of those at work."""

    span: float
    busy: float

    @property
    def idle(self) -> float:
        """Share of the span in which nothing was computed."""
        return 1 - self.busy / self.span if self.span else 0.0


def traced(function: Callable[[Callable[[], None], Callable[[], None]], Any]) -> Times:
    """How long the devices computed between two moments.

    Args:
      function: called with two functions; it calls the first when the time begins, and the second
        when it ends.

    Raises:
      ValueError: the trace has no operation of a device.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # every Python call: as slow as the steps themselves
    with tempfile.TemporaryDirectory(prefix="covidjax-trace-") as folder:
        function(
            lambda: jax.profiler.start_trace(folder, profiler_options=options),
            jax.profiler.stop_trace,
        )
        on_cpu = jax.default_backend() == "cpu"
        (file,) = Path(folder).rglob("*.xplane.pb")
        return times_of(jax.profiler.ProfileData.from_file(str(file)).planes, on_cpu)


def times_of(planes: Iterable[Any], on_cpu: bool) -> Times:
    """The times of all devices' planes together, or of a CPU's threads.

    Raises:
      ValueError: they have no operation.
    """
    kind = "/host:CPU" if on_cpu else "/device:"
    measured = [covered(intervals(plane)) for plane in planes if plane.name.startswith(kind)]
    measured = [times for times in measured if times.span]
    if not measured:
        raise ValueError("the profiler's trace has no operation of a device")
    return Times(*(sum(column) for column in zip(*measured, strict=True)))


def intervals(plane: Any) -> list[tuple[float, float]]:
    """Start and end in seconds of all that a plane's device computed.

    A GPU's operations are on its streams, a TPU's on the line "XLA Ops"; a CPU computes in threads
    of XLA's, on lines whose names begin with tf_XLA.
    """
    lines = list(plane.lines)
    chosen = [line for line in lines if line.name.startswith(("Stream", "tf_XLA"))]
    chosen = chosen or [line for line in lines if line.name == "XLA Ops"]
    return [
        (event.start_ns / 1e9, (event.start_ns + event.duration_ns) / 1e9)
        for line in chosen
        for event in line.events
        if event.duration_ns and not event.name.startswith(COPIES)
    ]


def covered(pieces: Sequence[tuple[float, float]]) -> Times:
    """From the first start to the last end, and how much of it some interval covers."""
    busy, reached = 0.0, float("-inf")
    for start, end in sorted(pieces):
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return Times(reached - min(pieces)[0], busy) if pieces else Times(0.0, 0.0)
