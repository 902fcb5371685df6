"""Large blocks: without a page fault for every 4 kB, and without memory that nobody uses."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys
from covidjax.training import allocator
assert "jax" not in sys.modules
if sys.argv[1] == "kept":
    assert allocator.keep_blocks()
import numpy as np

def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(16 * 2**20, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fill()
print(fill())
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


HUGE = """
import resource, sys
from covidjax.training import allocator

def memory(name):
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))

before = memory("Rss")
assert allocator.keep_blocks()
allocator.give_back()
print(memory("Rss") - before)
import numpy as np
kept = np.ones(16 * 2**20, np.float32)
print(memory("AnonHugePages"))
"""
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_the_pages_of_a_large_block_are_kept():
    # Huge pages, which some machines give to large blocks, are fewer: so no number for this one.
    assert faults("kept") < 20 < faults("as ever")


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not SETTING.exists() or "[never]" in SETTING.read_text(),
    reason="glibc's allocator and huge pages",
)
def test_the_heap_has_huge_pages_and_asking_for_them_takes_no_memory():
    done = subprocess.run([sys.executable, "-c", HUGE], capture_output=True, text=True, check=True)
    taken, huge = map(int, done.stdout.split())  # KiB
    assert taken < 4096
    if Path("/proc/sys/vm/overcommit_memory").read_text().strip() != "2":
        assert huge > 32 * 1024
