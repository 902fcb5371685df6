"""A reader who leaves, and names that the terminal cannot show, end nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys, pathlib
from tfds_coronahack.terminal import keep_printing
keep_printing()
keep_printing()
for number in range(20000):
    print(number, "x" * 20, file=sys.{stream}, flush=number % 2 == 0)
pathlib.Path(sys.argv[1]).write_text("done")
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_work_goes_on_behind_a_closed_pipe_without_a_word(tmp_path: Path, stream: str) -> None:
    done = tmp_path / "done"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(stream=stream), str(done)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    pipe, other = process.stdout, process.stderr
    if stream == "stderr":
        pipe, other = other, pipe
    assert pipe and other
    assert pipe.readline().startswith(b"0 ")
    pipe.close()
    said = other.read()
    assert process.wait(timeout=900) == 0
    assert said == b""
    assert done.read_text() == "done"


def test_a_pipe_that_closes_before_the_last_lines_are_written_is_no_error() -> None:
    code = "from tfds_coronahack.terminal import keep_printing; keep_printing(); print('late')"
    process = subprocess.Popen(
        [sys.executable, "-c", f"input(); {code}"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=900) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_said_once_and_the_work_goes_on(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(stream="stdout"), str(tmp_path / "done")],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 0 and (tmp_path / "done").read_text() == "done"
    assert done.stderr == "cannot print: No space left on device\n"


def test_a_closed_stderr_is_no_error(tmp_path: Path) -> None:
    code = "from tfds_coronahack.terminal import keep_printing; import sys; keep_printing()"
    code += "; sys.stderr.isatty(); print('x', file=sys.stderr); print('done')"
    line = f'exec {sys.executable} -c "{code}" 2>&-'
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_names_that_the_encoding_does_not_have_are_escaped() -> None:
    code = "from tfds_coronahack.terminal import keep_printing; keep_printing(); print('\\udcf6é')"
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code],
        cwd=ROOT,
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout == b"\\udcf6\\xe9\n"
    assert done.stderr == b""
