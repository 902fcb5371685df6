"""How fast a run trains, and in how much memory: figures of its own, seldom taken.

They stand in `metrics.jsonl` under the split `speed`, apart from the figures of training, which the
same command gives again.
"""

import resource
import sys
import time
from pathlib import Path

from jax.sharding import Mesh

EVERY_SECONDS = 30.0  # between two lines; besides, there is one before each evaluation


class Meter:
    """Counts steps whose results are there, and the time they took.

    The first step after a pause starts the clock, so that compilation, evaluations and saves are
    not counted. A step costs two reads of the clock.
    """

    def __init__(self, batch_size: int, flops_per_step: float, mesh: Mesh) -> None:
        """Of global batches; `flops_per_step` is 0 where it is not known."""
        self.batch_size, self.flops, self.mesh = batch_size, flops_per_step, mesh
        self._began: tuple[int, float] | None = None
        self._latest = (0, 0.0)

    def finished(self, step: int) -> None:
        """The results of all steps up to `step` are there."""
        self._latest = step, time.perf_counter()
        if self._began is None:
            self._began = self._latest

    def pause(self) -> None:
        """What follows is no training."""
        self._began = None

    def figures(self, now: bool = False) -> dict[str, float] | None:
        """Those since the last ones, where it is time for them or `now` is asked for; else None.

        `examples_per_second`, `flops_per_step` and `flops_per_second` (over all devices),
        `host_rss_bytes` (of this process), and where the device tells `device_peak_bytes` (of the
        fullest one of this process).
        """
        if self._began is None:
            return None
        steps, seconds = (b - a for a, b in zip(self._began, self._latest, strict=True))
        if steps < 1 or seconds <= 0 or (seconds < EVERY_SECONDS and not now):
            return None
        self._began = self._latest
        found = {"examples_per_second": steps * self.batch_size / seconds}
        if self.flops:
            found["flops_per_step"] = float(self.flops)
            found["flops_per_second"] = steps * self.flops / seconds
        found["host_rss_bytes"] = float(resident_bytes())
        if peaks := _device_peaks(self.mesh):
            found["device_peak_bytes"] = float(max(peaks))
        return found


def resident_bytes() -> int:
    """Memory of this process that is in RAM; where the system does not tell, the most there was."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _device_peaks(mesh: Mesh) -> list[int]:
    stats = (device.memory_stats() or {} for device in mesh.local_devices)
    return [found["peak_bytes_in_use"] for found in stats if "peak_bytes_in_use" in found]
