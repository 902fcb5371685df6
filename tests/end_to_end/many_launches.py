"""Runs `launch.py` once for each command line it reads from stdin, importing JAX once for all.

stdin: a JSON list of command lines, each a list of arguments. stdout: a JSON list of
[exit status, stdout, stderr]. Every command line has a process of its own, forked before JAX
starts, in which `launch.py` runs as a script.
"""

import json
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

import covidjax.classify.experiment  # noqa: F401  what takes the seconds

SCRIPT = Path(__file__).parents[2] / "launch.py"


def launch(arguments: list[str]) -> tuple[int, str, str]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("stdout", "stderr")]
        child = os.fork()
        if child == 0:
            _run(arguments, paths)
        _, state = os.waitpid(child, 0)
        out, err = (path.read_text(encoding="utf-8") for path in paths)
        return os.waitstatus_to_exitcode(state), out, err


def _run(arguments: list[str], paths: list[Path]) -> NoReturn:
    for number, path in enumerate(paths, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    run_script(arguments)


def run_script(arguments: list[str]) -> NoReturn:
    """Runs `launch.py` as a script, and ends this process as it would end its own."""
    status: object = 0
    sys.argv = ["launch.py", *arguments]
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    print(json.dumps([launch(arguments) for arguments in json.load(sys.stdin)]))
