"""Runs of `launch.py` as a person starts them, in a cache of their own, without a network."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Launched = tuple[int, str, str]  # exit status, stdout, stderr


@pytest.fixture(scope="session")
def environment(
    tmp_path_factory: pytest.TempPathFactory, cache_in: Callable[[Path], Path]
) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    dropped = ("XLA_FLAGS", "KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    nowhere = "http://127.0.0.1:9"
    return kept | {
        "COVIDJAX_CACHE": str(cache_in(home)),
        "TFDS_DATA_DIR": str(home / "tensorflow_datasets"),
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_backend_optimization_level=1",
        "COLUMNS": "100",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), nowhere),
    }


@pytest.fixture(scope="session")
def start(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Starts `python launch.py ARGUMENTS`."""

    def run(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "launch.py", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.fixture(scope="session")
def launch(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Launched]:
    """Runs `python launch.py ARGUMENTS` to its end."""

    def run(*arguments: str, timeout: int = 900) -> Launched:
        process = start(*arguments)
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err

    return run


@pytest.fixture(scope="session")
def launch_all(environment: dict[str, str]) -> Callable[..., list[Launched]]:
    """Runs many command lines one after another, without the seconds that importing JAX takes."""

    def run(command_lines: Sequence[Sequence[str]]) -> list[Launched]:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("many_launches.py"))],
            input=json.dumps([list(line) for line in command_lines]),
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=1800,
        )
        return [tuple(result) for result in json.loads(done.stdout)]

    return run
