"""Memory that a train step on the CPU takes and gives back, kept instead.

XLA's CPU backend allocates a step's temporary buffer anew each time, and glibc maps and unmaps
blocks of that size: the kernel clears half a gigabyte for every step of a ResNet-18, a tenth to a
fifth of its time. Kept in the heap, the same pages serve all steps. In return what the compiler
leaves behind is given back after each long compilation, so that the peak is no higher.
"""

import ctypes
import platform
from typing import Any

import jax

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
LONG_COMPILATION = 1.0  # seconds


def keep_memory() -> bool:
    """Has glibc keep large blocks; True where it does (Linux with glibc, JAX on the CPU).

    Call it once, before the first large allocation.
    """
    if platform.libc_ver()[0] != "glibc" or jax.default_backend() != "cpu":
        return False
    libc = ctypes.CDLL(None)
    # No block is mapped on its own, none is given back, and all threads share one heap.
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_ARENA_MAX: 1}
    done = [libc.mallopt(name, value) for name, value in settings.items()]

    def trim(event: str, duration_secs: float, **_: Any) -> None:
        if event.endswith("backend_compile_duration") and duration_secs > LONG_COMPILATION:
            libc.malloc_trim(0)

    jax.monitoring.register_event_duration_secs_listener(trim)
    return all(done)
