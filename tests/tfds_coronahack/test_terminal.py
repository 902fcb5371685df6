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
