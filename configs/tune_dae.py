"""Hyperparameter search by Optuna: for the denoisers, and for the classifier (target=cnn).

    python launch.py --config=configs/tune_dae.py
    python launch.py --config=configs/tune_dae.py:target=cnn --config.data.archive=ARCHIVE

What is searched stands in one table, covidjax/experiments/tune_space.py. Every other field is the
target's own, and a searched field that is set, as in --config.ema=0.99, is held at that value.
Validation alone chooses; test images are never read. All trials see equally many training images.
The first trial is the target's default, so that the result says by how much the best beats it.

The same command with the same --workdir goes on with a study, and given several times at once it
has several workers; --config.tuner.storage=URL (postgresql://...) is for several machines. The
best is trained in full with what stands in the study's best_config.json:

    python launch.py --config=configs/cnn.py:task=pneumonia --config.override=best_config.json

Arguments behind the colon: target, task, data, size, seed.
"""

import ml_collections

from configs import cnn, common
from covidjax.experiments import tune_space

ARGS = {"target": "cnn", "task": "pneumonia", "data": "auto", "size": 64, "seed": 0}


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config; `arg` is what stands behind the colon."""
    values = common.parse_arg(arg, ARGS)
    target = values.pop("target")
    if target not in ("cnn",):
        raise ValueError(f"config argument target={target!r} is unknown; known: cnn")
    given = ",".join(f"{name}={value}" for name, value in values.items())
    config = cnn.get_config(given)
    picked = ",".join(f"{name}={values[name]}" for name in ("task", "size"))

    config.tuner = ml_collections.ConfigDict()
    config.tuner.experiment = config.experiment  # of each trial
    config.tuner.target = target
    config.tuner.space = target  # the table of tune_space.py
    config.tuner.config = f"configs/{target}.py:{picked}"  # what best_config.json is for
    config.tuner.default = tune_space.defaults(target, config)  # what the first trial has
    config.experiment = "tune"

    config.tuner.trials = 40  # of the study, all workers together
    config.tuner.fields = ""  # to search, comma between them; "": all of the table that are not set
    config.tuner.storage = ""  # of Optuna, as a URL; "": SQLite in the workdir
    config.tuner.pruner = "hyperband"  # hyperband, halving (successive), none
    config.tuner.reduction = 3  # of so many trials one goes on at each rung
    config.tuner.startup = 10  # random trials before TPE has enough to go by

    # The budget of a trial; small, for ranks of configurations show early.
    config.epochs = 3
    config.evaluations = 9  # parts of the budget: after each a trial can be pruned
    return config
