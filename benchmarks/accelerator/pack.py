"""Puts what `python -m benchmarks.accelerator` needs into a folder, for a machine without network.

There:

    python -m pip list --format=freeze > have.txt

Here, in the checkout, and then copy the checkout with the folder in it:

    python -m benchmarks.accelerator.pack --have=have.txt --archive=archive.zip --out=pack

There, in the checkout:

    python -m pip install --no-index --no-deps pack/*.whl
    python -m benchmarks.accelerator --archive=pack/archive.zip

The folder holds wheels of what is missing there, in versions that fit what is there, which is left
as it is; and the archive, if all is at most --mebibytes, else the phantom has to do. Without --have
the machine is taken to have JAX, flax, optax, orbax, pytest, and the usual scientific libraries.
"""

import argparse
import configparser
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from benchmarks.accelerator.parts import ROOT
from covidjax.cli.commands import documented, path_argument, run_command

USUAL = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "pandas"),
    *("matplotlib", "pillow", "opencv-python-headless", "scikit-learn", "pyarrow", "filelock"),
    *("jinja2", "tqdm", "markdown-it-py", "requests", "psutil", "pytest", "pytest-xdist"),
)
# What is there as source alone, and so has to be built; a pure Python package.
SOURCES = ("promise",)
# pip takes just what is named, and no older ones by itself.
GLIBC = range(5, 40)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status, 2 where nothing was packed."""
    parser = documented("benchmarks.accelerator.pack", __doc__)
    parser.add_argument("--out", type=path_argument, required=True, help="folder to make")
    parser.add_argument(
        "--have",
        type=path_argument,
        metavar="FILE",
        help="what `pip list --format=freeze` says there",
    )
    parser.add_argument("--archive", type=path_argument, metavar="PATH", help="CoronaHack's zip")
    parser.add_argument("--python", default="3.12", help="version there (default 3.12)")
    parser.add_argument("--machine", default="x86_64", help="x86_64 (default) or aarch64")
    parser.add_argument(
        "--mebibytes", type=float, default=60.0, metavar="M", help="of the folder (default 60)"
    )
    options = parser.parse_args(arguments)
    return run_command("pack", lambda: _pack(options), on_device=False)


def _pack(options: argparse.Namespace) -> int:
    if options.archive and not options.archive.is_file():
        raise ValueError(f"--archive={options.archive}: there is no such file")
    if options.out.exists() and any(options.out.iterdir()):
        raise ValueError(f"--out={options.out} is not empty; give another, or remove it")
    options.out.mkdir(parents=True, exist_ok=True)
    there = read_versions(options.have.read_text()) if options.have else dict.fromkeys(USUAL, "")
    sources = [name for name in SOURCES if name not in there]
    if sources:
        _pip("wheel", "--no-deps", "-q", "-w", str(options.out), *sources)
    target = _target(options.python, options.machine)
    packages = _resolve(there, options.python, target, options.out)
    missing = sorted(set(packages) - reachable(there, packages) - set(sources))
    if missing:
        chosen = [f"{name}=={packages[name]['version']}" for name in missing]
        _pip("download", "--no-deps", "-q", "-d", str(options.out), *target, *chosen)
    _finish(options)
    return 0


def read_versions(text: str) -> dict[str, str]:
    """Name -> version of the lines of `pip list --format=freeze`."""
    lines = (line.strip().split("==") for line in text.splitlines())
    return {normal(parts[0]): parts[1] for parts in lines if len(parts) == 2}


def normal(name: str) -> str:
    """A package's name as all its spellings have it: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def reachable(names: Iterable[str], packages: dict[str, Any]) -> set[str]:
    """These packages and all that they need, as `pip install --report` describes them."""
    found: set[str] = set()
    waiting = [name for name in names if name in packages]
    while waiting:
        name = waiting.pop()
        if name in found or name not in packages:
            continue
        found.add(name)
        for line in packages[name].get("requires_dist", ()):
            if "extra ==" not in line and (match := re.match(r"[\w.-]+", line)):
                waiting.append(normal(match[0]))
    return found


def requirements() -> list[str]:
    """What covidjax needs, and what runs its tests."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needed = config["options"]["install_requires"].split("\n")
    tests = config["options.extras_require"]["dev"].split("\n")
    return [*filter(None, needed), *(line for line in tests if line.startswith("pytest"))]


def _target(python: str, machine: str) -> list[str]:
    """pip's options for another machine than this one."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC]
    platforms += [f"manylinux{year}_{machine}" for year in (2014, 2010, 1)]
    options = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    return options + [f"--platform={name}" for name in platforms]


def _resolve(there: dict[str, str], python: str, target: list[str], wheels: Path) -> dict[str, Any]:
    """Name -> metadata of all that covidjax needs there, in versions that fit what is there."""
    # A local version (+cu130) is in no registry; nothing of ours needs such a package.
    constraints = [f"{name}=={v}" for name, v in there.items() if v and "+" not in v]
    while True:
        packages = _report(constraints, target, wheels)
        # pip itself asks for the Python that it runs on, whatever it is told.
        wrong = [
            f"{name}!={packages[name]['version']}"
            for name in packages
            if name not in there and not runs_on(packages[name], python)
        ]
        if not wrong:
            return packages
        constraints += wrong


def runs_on(metadata: dict[str, Any], python: str) -> bool:
    """Whether a package says that it runs on this version of Python."""
    return SpecifierSet(metadata.get("requires_python") or "").contains(f"{python}.99")


def _report(constraints: list[str], target: list[str], wheels: Path) -> dict[str, Any]:
    """What pip would install, by name."""
    with tempfile.TemporaryDirectory() as folder:
        file, report = Path(folder) / "constraints.txt", Path(folder) / "report.json"
        file.write_text("\n".join(constraints))
        command = ["--dry-run", "--ignore-installed", "--ignore-requires-python", "-q"]
        command += [f"--report={report}", f"--target={folder}/site", f"--find-links={wheels}"]
        _pip("install", *command, "-c", str(file), *target, *requirements())
        items = json.loads(report.read_text())["install"]
    return {normal(item["metadata"]["name"]): item["metadata"] for item in items}


def _pip(*arguments: str) -> None:
    """Raises ValueError with pip's own reason where it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise ValueError(f"pip {arguments[0]}: {' '.join(lines) or done.stderr[-300:]}")


def _finish(options: argparse.Namespace) -> None:
    """Adds the archive where it fits, and says what is there."""
    mebibytes = sum(path.stat().st_size for path in options.out.iterdir()) / 2**20
    count = len(list(options.out.iterdir()))
    print(f"{options.out}: {count} wheels, {mebibytes:.1f} MiB")
    if mebibytes > options.mebibytes:
        raise ValueError(
            f"that is more than {options.mebibytes:g} MiB: give --have, so that what is there is "
            "left out, or --mebibytes"
        )
    if options.archive:
        size = options.archive.stat().st_size / 2**20
        if mebibytes + size > options.mebibytes:
            print(f"no room for the archive ({size:.1f} MiB): the phantom has to do")
        else:
            shutil.copyfile(options.archive, options.out / "archive.zip")
            print(f"{options.out}/archive.zip: {size:.1f} MiB")


if __name__ == "__main__":
    sys.exit(main())
