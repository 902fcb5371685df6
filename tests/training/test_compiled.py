"""Compiled programs are kept, shared and cleared up; a folder that does not serve stops no run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Counts what it finds in the folder; adding is a program of its own for the number of times.
PROGRAM = """
import sys
from pathlib import Path
import jax
from covidjax.training import compiled
found = []
jax.monitoring.register_event_listener(lambda name, **_: found.append(name))
compiled.keep(Path(sys.argv[1]))
total = jax.jit(lambda x: sum(x * i for i in range(20)))(1.0)
assert total == 190
print(sum(name.endswith("cache_hits") for name in found), jax.config.jax_compilation_cache_dir)
"""


def start(folder: Path, program: str = PROGRAM, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Programs found in the folder, the folder that JAX keeps them in, and stderr."""
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    hits, folder = out.split()
    return int(hits), folder, err


def programs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*-cache")}


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A folder that two processes filled at once."""
    folder = tmp_path_factory.mktemp("cache") / "new" / "xla"
    both = [start(folder), start(folder)]
    for _, used, err in map(end, both):
        assert used == str(folder) and "Error" not in err and "Warning" not in err
    return folder


def test_small_programs_are_kept_and_found_by_the_next_process(filled):
    before = programs(filled)
    hits, _, err = end(start(filled))
    assert hits == len(before) > 0 and programs(filled) == before
    assert len(list(filled.glob("*-atime"))) == len(before)  # JAX counts uses: the size is limited
    assert "Error" not in err and "Warning" not in err


def test_what_a_killed_process_left_half_written_is_compiled_and_kept_anew(filled):
    before = programs(filled)
    name = next(name for name in before if "lambda" in name)
    (filled / name).write_bytes(before[name][:100])
    (filled / f"{name.removesuffix('-cache')}-atime").unlink()
    hits, _, err = end(start(filled))
    assert hits == len(before) - 1 and "Error" not in err
    assert programs(filled).keys() == before.keys() and len(programs(filled)[name]) > 100


def test_a_folder_that_cannot_be_made_is_a_warning_and_the_run_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    hits, used, err = end(start(tmp_path / "file" / "xla"))
    assert (hits, used) == (0, "None")
    assert "compiled programs are not kept" in err and "COVIDJAX_CACHE" in err


def test_a_folder_given_to_jax_itself_goes_before(tmp_path):
    theirs = str(tmp_path / "theirs")
    _, used, _ = end(start(tmp_path / "ours", JAX_COMPILATION_CACHE_DIR=theirs))
    assert used == theirs and not (tmp_path / "ours").exists()


def test_the_folder_stays_below_its_limit(filled, tmp_path):
    whole = sum(map(len, programs(filled).values()))
    limit = max(map(len, programs(filled).values()))
    assert limit < whole  # so that all of them do not fit
    limited = PROGRAM.replace("compiled.keep", f"compiled.COMPILED_BYTES = {limit}\ncompiled.keep")
    _, _, err = end(start(tmp_path, program=limited))
    kept = programs(tmp_path)
    assert 0 < sum(map(len, kept.values())) <= limit and "Error" not in err
