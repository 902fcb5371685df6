"""Kept memory: a second large buffer costs the kernel no new pages."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import jax, jax.numpy as jnp
from covidjax.training import allocator
if sys.argv[1] == "kept":
    assert allocator.keep_memory()
step = jax.jit(lambda x: jnp.sum(jnp.sort(x + 1.0, axis=0)))  # needs a buffer as large as x
x = jnp.ones((128, 1024, 256))
for _ in range(3):
    step(x).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step(x).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_pages_of_a_steps_buffer_serve_the_next_step():
    pages = 128 * 1024 * 256 * 4 // 4096
    assert faults("as ever") > pages / 2
    assert faults("kept") < pages / 20
