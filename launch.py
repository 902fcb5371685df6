"""Runs one experiment: `python launch.py --config=configs/NAME.py[:key=value,...] [--workdir=DIR]`.

Every field of the config can be set: `--config.epochs=3 --config.data.archive=archive.zip`. The
config files say what they do, how long they take and what they score. The same command with the
same --workdir resumes a run that was stopped. --config.override=FILE.json sets the fields of
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

from covidjax.cli import supervise
from covidjax.training import allocator

allocator.keep_blocks()  # before anything below imports JAX
supervise.begin()  # of several processes each is a child from here on

# ruff: noqa: E402, I001
from absl import app

from covidjax.cli import run
from covidjax.cli.command_line import parse

# Imported when one is asked for: the others' libraries would add half as much again to the start.
EXPERIMENTS = {
    "classify": "covidjax.classify.experiment",
    "denoise": "covidjax.denoise.experiment",
    "dip": "covidjax.dip.experiment",
    "eda": "covidjax.eda.experiment",
    "report": "covidjax.report.experiment",
    "tune": "covidjax.tune.experiment",
}

if __name__ == "__main__":
    app.run(lambda _: run.run(EXPERIMENTS), flags_parser=lambda argv: parse(argv, EXPERIMENTS))
