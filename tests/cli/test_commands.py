"""What every command does: quiet ends, one-line errors, paths with ~."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from covidjax.cli import commands

ROOT = Path(__file__).parents[2]


def test_what_a_person_can_mend_is_one_line_and_status_2(capsys: pytest.CaptureFixture) -> None:
    def work() -> int:
        raise ValueError("no such run")

    assert commands.run_command("predict", work, on_device=False) == 2
    assert capsys.readouterr().err == "predict: no such run\n"
    assert commands.run_command("predict", lambda: 1, on_device=False) == 1


def test_sigterm_stops_a_command_as_ctrl_c_does(capsys: pytest.CaptureFixture) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def work() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    try:
        assert commands.run_command("predict", work, on_device=False) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == "predict: stopped\n"


def test_a_tilde_in_an_argument_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert commands.path_argument("~/x.csv") == Path("/home/somebody/x.csv")
    with pytest.raises(argparse.ArgumentTypeError, match="no home folder is known"):
        commands.path_argument("~nobody-of-that-name/x")


# Every option and argument of the commands that names a path.
COMMANDS = {
    "predict": ["--run", "--out", "--heatmap", "PATH"],
    "denoise": ["--run", "--out", "IN"],
    "export": ["--run", "--out"],
    "compare": ["run_a", "run_b", "--out"],
    "ladder": ["RUN", "--out"],
    "transfer.widen": ["--run", "--out"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_takes_a_path_as_it_is_typed(name: str) -> None:
    path = ROOT / "covidjax" / name.replace(".", "/")
    path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    source = path.read_text()
    assert "type=Path" not in source
    assert source.count("type=path_argument") == len(COMMANDS[name])


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


WRONG_PLATFORM = """
from covidjax.cli import commands
print(commands.run_command("predict", lambda: 0))
"""


def test_a_platform_without_a_device_is_one_line(tmp_path: Path) -> None:
    done = run(WRONG_PLATFORM, JAX_PLATFORMS="cuda", COVIDJAX_CACHE=str(tmp_path))
    assert done.stdout == "2\n"
    assert done.stderr.startswith("predict: JAX_PLATFORMS=cuda: JAX finds no such device (")
    assert done.stderr.count("\n") == 1


IN_32_BITS = """
from covidjax.runs import devices
devices.prepare()
import jax.numpy as jnp
print(jnp.zeros(1).dtype, jnp.arange(1).dtype)
"""


def test_64_bits_asked_for_by_the_environment_do_not_change_a_run() -> None:
    done = run(IN_32_BITS, JAX_ENABLE_X64="1", JAX_PLATFORMS="cpu")
    assert done.stdout == "float32 int32\n"
