"""Memory that a train step on the CPU takes and gives back, kept instead.

XLA's CPU backend allocates a step's temporary buffer anew each time, and glibc maps and unmaps
blocks of that size: the kernel clears half a gigabyte for every step of a ResNet-18, a tenth to a
fifth of its time. Kept in the heap, the same pages serve all steps.

(Huge pages instead, mapped and unmapped, took 5 to 20 % longer at batch 32, and twice as long where
a virtual machine's host takes back what is free.)

This module does not import JAX, whose threads would have heaps of their own by then.
"""

import ctypes
import platform

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_blocks() -> bool:
    """Has glibc map no block on its own, give none back, and keep one heap for all threads.

    Call it before JAX is imported. True where it is done: on Linux with glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_ARENA_MAX: 1}
    return all([libc.mallopt(name, value) for name, value in settings.items()])


def give_back() -> None:
    """Gives the heap's free pages back to the system: some 100 MB after a compilation."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
