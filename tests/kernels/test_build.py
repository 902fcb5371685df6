"""Compiling: once, by one process, and never an error where it cannot be done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOAD = """
import sys, pathlib, warnings
from covidjax.kernels import build
print(build.load(pathlib.Path(sys.argv[1])), build.in_use(), len(build._loaded))
"""


def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, str(folder)],
        cwd=ROOT,
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def load(folder: Path, **environment: str) -> tuple[str, str]:
    process = start(folder, **environment)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return out.strip(), err


def test_two_processes_compile_once_and_the_next_one_not_at_all(tmp_path):
    processes = [start(tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=900) for process in processes]
    assert [out.strip() for out, _ in said] == ["True True 1"] * 2
    assert sum("Compiling the CPU kernels" in err for _, err in said) == 1
    (library,) = tmp_path.glob("*.so")
    made = library.stat().st_mtime_ns
    out, err = load(tmp_path)
    assert (out, err) == ("True True 1", "")
    assert [path.stat().st_mtime_ns for path in tmp_path.glob("*.so")] == [made]


@pytest.mark.parametrize(
    ("compiler", "why"),
    [
        ("no-such-compiler", "no-such-compiler was not found"),
        ("false", "false"),  # fails without a word
    ],
)
def test_without_a_compiler_that_works_there_is_a_warning_that_says_what_to_install(
    tmp_path, compiler, why
):
    out, err = load(tmp_path, CXX=compiler)
    assert out == "False False 0"
    assert "no compiled CPU kernels" in err and why in err and "Install a C++ compiler" in err
    assert not list(tmp_path.glob("*.so"))


def test_a_compilers_own_error_is_told(tmp_path):
    script = tmp_path / "cxx"
    script.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "cc1plus: boom" >&2; exit 1\n'
    )
    script.chmod(0o755)
    out, err = load(tmp_path / "kernels", CXX=str(script))
    assert out == "False False 0" and "cc1plus: boom" in err
    left = {path.name for path in (tmp_path / "kernels").iterdir()}
    assert left <= {".lock"}


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    out, err = load(tmp_path / "file" / "kernels")
    assert out == "False False 0" and "no compiled CPU kernels" in err
