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
    python launch.py --config=configs/cnn.py --sweep=seeds --workdir=runs/seeds
        the points of a sweep of the config, one after the other, with a table of their figures;
        --sweep=seeds,sizes: all with all; --shard=I/N: the I-th of N parts (from 0 on), for several
        machines; --dry: lists them; --sweep=folds --merge: one cross-validation of finished folds
    python launch.py --help --config=configs/cnn.py
        all fields of an experiment

Several processes (hosts) of one run: on a TPU VM, in Slurm, Kubernetes and Open MPI the same
command in each; elsewhere with --coordinator=HOST:PORT --processes=N --process=I, see
docs/multihost.md.
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
from covidjax.runs import devices
from covidjax.cli.command_line import config_name, parse
from covidjax.training import compiled, distributed
from covidjax.training.figures import NonFiniteError
from covidjax.training.signals import StoppedError
from tfds_coronahack.paths import expanded

# Imported when one is asked for: the others' libraries would add half as much again to the start.
EXPERIMENTS = {
    "classify": "covidjax.classify.experiment",
    "denoise": "covidjax.denoise.experiment",
    "dip": "covidjax.dip.experiment",
    "eda": "covidjax.eda.experiment",
    "report": "covidjax.report.experiment",
    "tune": "covidjax.tune.experiment",
}

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "Experiment: a file of configs/, with `:key=value,...` for its arguments."
)
flags.DEFINE_string("workdir", "", "Folder of the run; default runs/NAME-TIMESTAMP.")
flags.DEFINE_string("sweep", None, "Sweeps of the config, comma between; --sweep: its first one.")
flags.DEFINE_string("shard", "", "I/N: of a sweep every N-th point from the I-th on, from 0 on.")
flags.DEFINE_bool("dry", False, "Lists the points of a sweep.")
flags.DEFINE_bool("merge", False, "Makes one cross-validation of a sweep over folds.")
flags.DEFINE_string("coordinator", "", "HOST:PORT of process 0, where JAX finds no cluster.")
flags.DEFINE_integer("processes", 0, "How many; 1: this one alone, whatever the cluster.")
flags.DEFINE_integer("process", -1, "Number of this one, from 0 on.")
flags.DEFINE_float("peer_timeout", 50.0, "Seconds until another process counts as lost.")
AS_TYPED = tuple(sys.argv)  # parsing takes some of it out


def main(_: list[str]) -> None:
    """Dispatches on config.experiment; what a person can mend is one message and exit status 2."""
    logging.set_verbosity(logging.WARNING)  # orbax tells every step of a save
    config = FLAGS.config.lock()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if FLAGS.sweep is not None or FLAGS.shard or FLAGS.dry or FLAGS.merge:
        from covidjax.cli import sweep

        flag: Any = FLAGS["config"]
        sys.exit(sweep.command(config, flag.override_values, AS_TYPED, FLAGS))
    hint = "nothing has been written"
    try:
        compiled.keep(cache_root() / "xla")
        stamp = time.strftime("%Y%m%d-%H%M%S")
        workdir = join(config, FLAGS.workdir or f"runs/{config_name(sys.argv)}-{stamp}")
        hint = f"the same command with --workdir={workdir} goes on"
        with distributed.crashes_told(hint):
            importlib.import_module(EXPERIMENTS[config.experiment]).run(config, workdir)
            distributed.finish()
    except StoppedError as error:
        distributed.end(f"{error}; {hint}", 128 + error.signal, together=error.everywhere)
    except (ValueError, OSError, NonFiniteError) as error:
        from covidjax.cli.processes import explained

        text = explained(error, hint)
        distributed.end(text, 2, together=getattr(error, "everywhere", False))


def join(config: Any, own: str) -> Path:
    """The workdir, after the other processes of the run have come, if it has any."""
    place = distributed.place_of(FLAGS.coordinator, FLAGS.processes, FLAGS.process)
    if place is not None:
        from covidjax.cli import processes

        own = processes.join(config, place, FLAGS.workdir, own, FLAGS.peer_timeout)
    if config.experiment != "report":  # which computes nothing
        devices.prepare()
    return expanded(own)


def stop(number: int, _: Any) -> None:
    """For signals outside of training, where there is nothing to save."""
    raise StoppedError("stopped", number)


if __name__ == "__main__":
    app.run(main, flags_parser=lambda argv: parse(argv, EXPERIMENTS))
