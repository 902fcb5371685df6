"""A sequential CNN from scratch.

    python launch.py --config=configs/cnn.py
    python launch.py --config=configs/cnn.py:task=pneumonia --config.data.archive=ARCHIVE

On two CPU cores the first takes about 2 minutes on the phantom, and 14 minutes on Kaggle's archive
(covid, 5 folds: AUROC 0.998, which tells adults from children as well as it does COVID-19). The
second takes 2 to 4 minutes: AUROC 0.973 and balanced accuracy 0.898 on TEST, means
of 3 seeds.

Arguments behind the colon: task, split, data, size, fold, seed, net.
"""

from typing import Any

import ml_collections

from configs import common
from covidjax.models import CLASSIFIERS


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config; `arg` is what stands behind the colon."""
    values = common.parse_arg(arg, common.CLASSIFY_ARGS | {"net": "cnn"})
    if values["net"] not in CLASSIFIERS:
        raise ValueError(common.unknown("net", values["net"], list(CLASSIFIERS)))
    config = common.classify(values, values["net"])
    if config.task == "covid":
        # A third of the images, so more epochs for as many updates.
        config.batch_size = 32
        config.auto_epochs.coronahack = 20
        config.auto_epochs.phantom = 36
    return config


def sweep(config: ml_collections.ConfigDict) -> dict[str, dict[str, dict[str, Any]]]:
    """What `--sweep=NAME` runs: sweep -> point -> fields. The first one is the default."""
    sweeps = common.classify_sweeps(config)
    if config.model.name == "cnn":
        sweeps["convs"] = common.grid({"model.convs": (1, 2, 3)})
    return sweeps
