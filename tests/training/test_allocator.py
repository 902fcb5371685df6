"""Large blocks: without a page fault for every 4 kB, and without memory that nobody uses."""

import os
import platform
import subprocess
import sys

import pytest

from covidjax.training import allocator

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_the_pages_of_a_large_block_are_kept():
    # Huge pages, which some machines give to large blocks, are fewer: so no number for this one.
    assert faults("kept") < 20 < faults("as ever")


RESTARTED = """
import os, resource, sys
from covidjax.training import allocator
if os.environ.get(allocator.VARIABLE) is None:
    print("first", os.getpid(), flush=True)
allocator.restart()
assert allocator.keep_blocks() and not allocator.environment()
import numpy as np

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

before, faults = resident(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    block = np.ones(16 * 2**20, np.float32)
    del block
    small = bytearray(100_000)  # what would lie in the hole
taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
print("second", os.getpid(), taken, resident() - before, *sys.argv[1:])
"""


@pytest.mark.skipif(not allocator.environment(), reason="no huge pages to be had")
def test_a_restarted_program_takes_huge_pages_and_gives_them_back():
    environment = {name: value for name, value in os.environ.items() if name != allocator.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", RESTARTED, "--an", "argument"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    first, second = done.stdout.splitlines()
    word, process, taken, left, *arguments = second.split()
    assert word == "second" and first == f"first {process}" and arguments == ["--an", "argument"]
    # 64 MiB four times are 65,536 small pages.
    assert int(taken) < 10_000 and int(left) < 16 * 2**20


def test_settings_that_are_there_already_are_kept(monkeypatch):
    monkeypatch.setattr(allocator, "_huge_pages", lambda: True)
    monkeypatch.setenv(allocator.VARIABLE, "glibc.malloc.check=1")
    found = allocator.environment()
    assert found == {allocator.VARIABLE: f"glibc.malloc.check=1:{allocator.TUNABLES}"}
    monkeypatch.setenv(allocator.VARIABLE, found[allocator.VARIABLE])
    assert allocator.environment() == {}


@pytest.mark.parametrize(("kernel", "expected"), [("always [madvise] never", 1), ("[never]", 0)])
def test_without_huge_pages_nothing_is_started_again(kernel, expected, monkeypatch, tmp_path):
    (tmp_path / "enabled").write_text(kernel)
    monkeypatch.setattr(allocator, "HUGE_PAGES", tmp_path / "enabled")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.delenv(allocator.VARIABLE, raising=False)
    assert len(allocator.environment()) == expected
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not allocator.environment()
