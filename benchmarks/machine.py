"""What the figures were measured on."""

import importlib.metadata
import os
import platform
from pathlib import Path

LIBRARIES = ("jax", "jaxlib", "flax", "grain", "numpy", "torch", "tensorflow")


def cores() -> int:
    """The cores that this process may use; both sides use as many threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> str:
    """Two lines: the machine, and the versions of the libraries."""
    system = f"{platform.system()} {platform.machine()}"
    memory = f"{_memory_bytes() / 2**30:.0f} GiB" if _memory_bytes() else "unknown memory"
    versions = [f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = f"{_cpu_model()}, {cores()} cores used (as many threads a side), {memory}, {system}"
    return f"{machine}\n{', '.join(versions)}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, AttributeError, OSError):
        return 0
