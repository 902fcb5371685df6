"""Parses command lines of `launch.py`, and runs none: what tests/test_docs.py starts.

stdin: a JSON list of command lines, each a list of arguments. stdout: a JSON list of what is wrong
with each, "" for nothing. Each is parsed in a process of its own, forked when all is imported.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

sys.argv = ["launch.py"]
sys.path.insert(0, str(Path(__file__).parents[1]))

from absl import app  # noqa: E402

import launch  # noqa: E402
from covidjax.classify import check as classify_check  # noqa: E402
from covidjax.cli import command_line, run  # noqa: E402
from covidjax.denoise import check as denoise_check  # noqa: E402

classify_check.flops.count = lambda *_: None  # seconds, and no page sets a network's shape
app.define_help_flags()  # as app.run does
CHECKS = {"classify": classify_check.check, "denoise": denoise_check.check}


def problem(arguments: list[str]) -> str:
    """What `launch.py` would say, "" where it would run."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, _parse(arguments).encode()[:4000])
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as file:
        return file.read()


def _parse(arguments: list[str]) -> str:
    said = io.StringIO()
    sys.argv = ["launch.py", *arguments]
    try:
        with contextlib.redirect_stderr(said):
            command_line.parse(sys.argv, launch.EXPERIMENTS)
        config = run.FLAGS.config
        if check := CHECKS.get(config.experiment):
            check(config)
        if run.FLAGS.sweep is not None:
            from covidjax.cli import sweep

            flag = run.FLAGS["config"]
            sweep.part_of(run.FLAGS.shard)
            sweep.make_points(
                config,
                flag.override_values,
                sys.argv,
                Path("runs"),
                path=command_line.config_path(sys.argv),
                sweeps=run.FLAGS.sweep,
            )
    except SystemExit as stopped:
        return said.getvalue() if stopped.code else ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    print(json.dumps([problem(arguments) for arguments in json.load(sys.stdin)]))
