"""Hyperparameter search by Optuna: for a denoiser, or for the classifier (target=cnn).

    python launch.py --config=configs/tune_dae.py
    python launch.py --config=configs/tune_dae.py:size=64 --config.data.archive=ARCHIVE
    python launch.py --config=configs/tune_dae.py:target=cnn --config.data.archive=ARCHIVE

What is searched stands in one table, covidjax/tune/space.py. Every other field is the
target's own, and a searched field that is set, as in --config.ema=0.99, is held at that value.
Validation alone chooses; test images are never read. All trials train on equally many pixels. The
first one has the target's defaults, so that the result says by how much the best beats them.

The same command with the same --workdir resumes a study, and given several times at once it
has several workers; --config.tuner.storage=URL (postgresql://...) is for several machines. The
best is trained in full with what stands in the study's best_config.json:

    python launch.py --config=configs/dae.py --config.override=best_config.json

Arguments behind the colon: target, net, noise, level, task, data, size, seed.
"""

import ml_collections

from configs import cnn, common, dae
from covidjax.runs.config import add
from covidjax.runs.fields import TUNER
from covidjax.tune import space as tune_space

TARGETS = {"dae": dae.get_config, "cnn": cnn.get_config}
# Of the target, whose own defaults hold where nothing is given.
ARGS = {
    "target": "dae",
    **dict.fromkeys(("net", "noise", "level", "task", "data"), ""),
    **dict.fromkeys(("size", "seed"), 0),
}


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config; `arg` is what stands behind the colon."""
    values = common.parse_arg(arg, ARGS)
    target = values.pop("target")
    if target not in TARGETS:
        raise ValueError(common.unknown("target", target, list(TARGETS)))
    if target == "cnn":
        values["task"] = values["task"] or "pneumonia"  # covid has no validation apart from tests
    given = {name: value for name, value in values.items() if value}
    config = TARGETS[target](_joined(given))

    add(config, TUNER)
    config.tuner.experiment = config.experiment
    config.tuner.target = target
    config.tuner.space = config.model.name
    picked = {name: value for name, value in given.items() if name not in ("data", "seed")}
    config.tuner.config = f"configs/{target}.py:{_joined(picked)}".rstrip(":")  # takes the best
    config.tuner.default = tune_space.defaults(config)  # what the first trial has
    config.experiment = "tune"

    # The budget of a trial: small, a twelfth to a third of the target's own.
    config.evaluations = 9  # after each a trial can be pruned
    if target == "dae":
        config.auto_steps.coronahack = 800
        config.auto_steps.phantom = 100
    else:
        config.auto_epochs.coronahack = 3
        config.auto_epochs.phantom = 4
    return config


def _joined(values: dict[str, object]) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items())
