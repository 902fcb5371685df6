"""A train step's memory on the CPU: taken and given back each time, without a fault for each 4 kB.

XLA's CPU backend allocates a step's temporary buffer anew each time, and glibc maps and unmaps
blocks of that size: the kernel clears half a gigabyte for every step of a ResNet-18 in pieces of
4 kB, a tenth to a fifth of its time. There are two ways out:

- `restart`: large blocks are mapped in huge pages of 2 MB, and unmapped after the step. As fast as
  the other, and takes least memory. glibc reads such settings at the start of a process only, so
  the program starts itself once more.
- `keep_blocks`: all blocks come from the heap and stay there. Some small one that outlives a step
  then lies in the hole that its buffer leaves, and the next step's buffer is put elsewhere: a
  ResNet-18 ends up with two or three times its buffer (1.6 to 2.0 GB resident against 1.1).

This module does not import JAX, whose threads would have heaps of their own by then.
"""

import ctypes
import os
import platform
import sys
from pathlib import Path

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8

VARIABLE = "GLIBC_TUNABLES"
# Huge pages; blocks from 32 MiB on (the most that is allowed) are mapped; smaller ones stay in one
# heap, of which nothing is given back unasked.
TUNABLES = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        "hugetlb": 1,
        "mmap_threshold": 32 * 2**20,
        "trim_threshold": 2 * 10**9,
        "arena_max": 1,
    }.items()
)
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart() -> None:
    """Starts this program again, in the same process, with large blocks in huge pages.

    For the first lines of a program. Returns where it has been started so, and where glibc (2.35)
    or the kernel have no such pages to give; then `keep_blocks` is the next best.
    """
    if wanted := environment():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})


def environment() -> dict[str, str]:
    """The variable that `restart` adds for a new process; empty where it returns."""
    given = os.environ.get(VARIABLE, "")
    if TUNABLES in given or not _huge_pages():
        return {}
    return {VARIABLE: f"{given}:{TUNABLES}".lstrip(":")}


def keep_blocks() -> bool:
    """Has glibc map no block on its own, give none back, and keep one heap for all threads.

    Call it before JAX is imported. Does nothing after `restart`. True where one of the two is in
    force: on Linux with glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    if TUNABLES in os.environ.get(VARIABLE, ""):
        return True
    libc = ctypes.CDLL(None)
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_ARENA_MAX: 1}
    return all([libc.mallopt(name, value) for name, value in settings.items()])


def give_back() -> None:
    """Gives the heap's free pages back to the system: some 100 MB after a compilation."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _huge_pages() -> bool:
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
        return False
    try:
        return "[never]" not in HUGE_PAGES.read_text("ascii")
    except OSError:
        return False
