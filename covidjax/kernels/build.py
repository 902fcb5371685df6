"""Compiles the kernels with the machine's own C++ compiler, once, and registers them with XLA.

Compiled here and not in a wheel, because for a wheel's lowest common processor they would be three
times slower. Where there is no compiler the networks work all the same, with array operations.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import jax

from covidjax import locking

HERE = Path(__file__).parent
SOURCES = (
    "winograd.cc",
    "winograd_gradient.cc",
    "patches.cc",
    "norm.cc",
    "merge.cc",
    "mix.cc",
    "project.cc",
    "skip.cc",
    "perturb.cc",
    "product.cc",
)
HEADERS = ("buffers.h", "normalize.h", "parallel.h", "vector.h", "winograd.h")
TARGETS = (
    "winograd_forward",
    "winograd_kernel_gradient",
    "patches_forward",
    "patches_input_gradient",
    "patches_kernel_gradient",
    "norm_forward",
    "norm_backward",
    "merge_forward",
    "merge_backward",
    "mix_forward",
    "mix_backward",
    "project_forward",
    "project_backward",
    "perturb",
    "few_forward",
    "few_input_gradient",
    "few_kernel_gradient",
)
FLAGS = ("-std=gnu++17", "-O3", "-fPIC", "-shared", "-pthread", "-w")
COMPILERS = ("c++", "g++", "clang++")

_loaded: list[ctypes.CDLL] = []  # kept, for XLA holds addresses in it


def load(folder: Path) -> bool:
    """From now on CPU networks use the kernels: compiles them into `folder` where they are not.

    Does nothing where JAX computes on accelerators. Where they cannot be compiled there is a
    warning that says why. Several processes may share the folder.

    Returns:
      Whether they are in use.
    """
    if _loaded:
        return True
    if jax.default_backend() != "cpu":
        return False
    try:
        library = ctypes.CDLL(str(_compiled(folder)))
    except (OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"no compiled CPU kernels, so training takes about twice as long: {_reason(error)}. "
            f"Install a C++ compiler ({', '.join(COMPILERS[1:])}), or name one in CXX.",
            stacklevel=2,
        )
        return False
    for name in TARGETS:
        handler = jax.ffi.pycapsule(getattr(library, f"covidjax_{name}"))
        jax.ffi.register_ffi_target(f"covidjax_{name}", handler, platform="cpu")
    _loaded.append(library)
    return True


def in_use() -> bool:
    """Whether `load` succeeded and the kernels fit the devices: one CPU.

    XLA cannot split a call of its outside over several devices.
    """
    return bool(_loaded) and jax.default_backend() == "cpu" and jax.device_count() == 1


def _compiled(folder: Path) -> Path:
    """The library for this processor, compiler and JAX, compiled where it is missing.

    Raises:
      OSError: no compiler, or a folder that cannot be written to.
      subprocess.SubprocessError: the compiler failed or did not end.
    """
    compiler = _compiler()
    path = folder / f"{_key(compiler)}.so"
    if path.exists():
        return path
    with locking.exclusive(folder / ".lock", "the CPU kernels"):
        if path.exists():
            return path
        print("Compiling the CPU kernels, once (some seconds)", file=sys.stderr, flush=True)
        with locking.temporary(path) as file:
            subprocess.run(
                [
                    compiler,
                    *FLAGS,
                    _for_this_processor(),
                    f"-I{jax.ffi.include_dir()}",
                    *(str(HERE / name) for name in SOURCES),
                    "-o",
                    file.name,
                ],
                check=True,
                capture_output=True,
                text=True,
                timeout=300,
            )
    return path


def _compiler() -> str:
    given = os.environ.get("CXX")
    for name in (given,) if given else COMPILERS:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(f"{given or 'a C++ compiler'} was not found")


def _for_this_processor() -> str:
    return "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"


def _key(compiler: str) -> str:
    """Of all that the library depends on: a home folder may serve machines that differ."""
    said = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=60)
    parts = [said.stdout, jax.__version__.encode(), *_processor(), " ".join(FLAGS).encode()]
    parts += [(HERE / name).read_bytes() for name in (*SOURCES, *HEADERS)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


def _processor() -> list[bytes]:
    """What the processor can do, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return [platform.machine().encode(), platform.processor().encode()]
    features = {line for line in lines if line.startswith((b"flags", b"Features"))}
    return [platform.machine().encode(), *sorted(features)]


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or "").strip().splitlines() or [f"status {error.returncode}"]
        return f"{error.cmd[0]}: {said[0]}"
    return str(error)
