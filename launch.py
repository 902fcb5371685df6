"""Runs one experiment: `python launch.py --config=configs/NAME.py[:key=value,...] [--workdir=DIR]`.

Every field of the config can be set: `--config.epochs=3 --config.data.archive=archive.zip`. The
config files say what they do, how long they take and what they score. The same command with the
same --workdir goes on with a run that was stopped. --config.override=FILE.json sets the fields of
a file; flags win over it.

    python launch.py --config=configs/cnn.py
        no data needed: on synthetic radiographs (PHANTOM), in some minutes
    python launch.py --config=configs/cnn.py:task=pneumonia --config.data.archive=archive.zip
        on Kaggle's CoronaHack archive (zip or unpacked folder)
    python launch.py --config=configs/eda.py
        a look at the data before training: figures, tables, and a page to read them on
    python launch.py --help --config=configs/cnn.py
        all fields of an experiment
"""

import importlib
import signal
import sys
import time
from pathlib import Path
from typing import Any

from covidjax.training import allocator

allocator.keep_blocks()  # before anything below imports JAX

# ruff: noqa: E402, I001
from absl import app, flags, logging
from ml_collections import config_flags

from covidjax.data.source import cache_root
from covidjax.experiments.command_line import config_name, parse
from covidjax.training import steps
from covidjax.training.loop import NonFiniteError, StoppedError

# Imported when one is asked for: the others' libraries would add half as much again to the start.
EXPERIMENTS = {
    "classify": "covidjax.experiments.classify",
    "denoise": "covidjax.experiments.denoise",
    "dip": "covidjax.experiments.dip",
    "eda": "covidjax.experiments.eda",
    "report": "covidjax.experiments.report",
    "tune": "covidjax.experiments.tune",
}

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "Experiment: a file of configs/, with `:key=value,...` for its arguments."
)
flags.DEFINE_string("workdir", "", "Folder of the run; default runs/NAME-TIMESTAMP.")


def main(_: list[str]) -> None:
    """Dispatches on config.experiment; what a person can mend is one message and exit status 2."""
    logging.set_verbosity(logging.WARNING)  # orbax tells every step of a save
    steps.keep_compiled(cache_root() / "xla")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    workdir = Path(FLAGS.workdir or f"runs/{config_name(sys.argv)}-{stamp}").expanduser()
    config = FLAGS.config.lock()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        importlib.import_module(EXPERIMENTS[config.experiment]).run(config, workdir)
    except StoppedError as error:
        print(f"{error}; the same command with --workdir={workdir} goes on", file=sys.stderr)
        sys.exit(128 + error.signal)
    except (ValueError, OSError, NonFiniteError) as error:
        print(f"launch.py: {error}", file=sys.stderr)
        sys.exit(2)


def stop(number: int, _: Any) -> None:
    """For signals outside of training, where there is nothing to save."""
    raise StoppedError("stopped", number)


if __name__ == "__main__":
    app.run(main, flags_parser=lambda argv: parse(argv, EXPERIMENTS))
