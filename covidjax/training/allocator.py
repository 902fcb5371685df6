"""Memory that a train step on the CPU takes and gives back, kept instead.

XLA's CPU backend allocates a step's temporary buffer anew each time, and glibc maps and unmaps
blocks of that size: the kernel clears half a gigabyte for every step of a ResNet-18, a tenth to a
fifth of its time. Kept in the heap, the same pages serve all steps.

The heap asks for huge pages. (Blocks of huge pages that are mapped and unmapped took 5 to 20 %
longer at batch 32, and twice as long where a virtual machine's host takes back what is free.)

This module does not import JAX, whose threads would have heaps of their own by then.
"""

import ctypes
import os
import platform
from pathlib import Path

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
MADV_HUGEPAGE, HUGE = 14, 2 * 2**20  # of Linux's mman.h; bytes of such a page


def keep_blocks() -> bool:
    """Has glibc map no block on its own, give none back, and keep one heap for all threads.

    Call it before JAX is imported. True where it is done: on Linux with glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_ARENA_MAX: 1}
    done = all([libc.mallopt(name, value) for name, value in settings.items()])
    _ask_for_huge_pages(libc)
    return done


def give_back() -> None:
    """Gives the heap's free pages back to the system: some 100 MB after a compilation."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        _ask_for_huge_pages(libc)  # what the heap will grow into was given back too


def _ask_for_huge_pages(libc: ctypes.CDLL) -> None:
    """Extends the heap by half the machine's memory, in addresses only: no page of it is touched.

    Where the system does not allow so much, or has no such pages, all stays as it was; also where
    it counts addresses as memory, for others would find none.
    """
    if Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2":
        return
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    libc.malloc.restype = ctypes.c_void_p
    start = libc.malloc(ctypes.c_size_t(size))
    if not start:
        return
    first = -(-start // HUGE) * HUGE
    length = (start + size - first) // HUGE * HUGE
    libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), MADV_HUGEPAGE)
    libc.free(ctypes.c_void_p(start))
