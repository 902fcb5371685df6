"""Real processes of `launch.py` with virtual CPU devices, killed and stopped as clouds do."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starting import ROOT, Process, beginner


@pytest.fixture(scope="session")
def ask(
    tmp_path_factory: pytest.TempPathFactory, cache_in: Callable[[Path], Path]
) -> Iterator[Callable[..., Any]]:
    """Asks forking.py."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment = {
        "COVIDJAX_CACHE": str(cache_in(home)),
        "TFDS_DATA_DIR": str(home),
        "HOME": str(home),
    }
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forking.py"))],
        cwd=ROOT,
        env={**kept, **environment, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def request(asked: dict[str, Any]) -> Any:
        print(json.dumps(asked), file=server.stdin, flush=True)
        return json.loads(server.stdout.readline())

    yield request
    server.stdin.close()
    server.wait(300)


@pytest.fixture
def begin(ask: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., list[Process]]]:
    """Starts the processes of one run; those that are left at the end of the test are killed."""
    yield from beginner(ask, tmp_path)


@pytest.fixture(scope="module")
def begin_all(ask: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The same for the fixtures of a module."""
    yield from beginner(ask, tmp_path_factory.mktemp("begun"))
