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
    """Has the process keep large blocks; True where it does (Linux with glibc, JAX on the CPU).

    Call it once, before the first large allocation.
    """
    if jax.default_backend() != "cpu" or not keep_blocks():
        return False
    libc = ctypes.CDLL(None)

    def trim(event: str, duration_secs: float, **_: Any) -> None:
        if event.endswith("backend_compile_duration") and duration_secs > LONG_COMPILATION:
            libc.malloc_trim(0)

    jax.monitoring.register_event_duration_secs_listener(trim)
    return True


def keep_blocks() -> bool:
    """Has glibc map no block on its own, give none back, and keep one heap for all threads."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_ARENA_MAX: 1}
    return all([libc.mallopt(name, value) for name, value in settings.items()])
