"""ResNet v1.5 from scratch.

    python launch.py --config=configs/resnet.py
    python launch.py --config=configs/resnet.py:task=covid --config.data.archive=ARCHIVE

On two CPU cores the first takes 3 minutes on the phantom, which is too small to train a ResNet
from scratch (AUROC 0.61). The second takes 7 minutes (5 folds: AUROC 0.987, which
tells adults from children as well as it does COVID-19).

Arguments behind the colon: task, split, data, size, fold, seed, depth.
"""

import ml_collections

from configs import common


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config; `arg` is what stands behind the colon."""
    values = common.parse_arg(arg, common.CLASSIFY_ARGS | {"depth": 18})
    config = common.classify(values)
    config.model = ml_collections.ConfigDict()
    config.model.name = "resnet"
    config.model.depth = values["depth"]  # 18, 34, 50, 101
    config.model.dropout = 0.2  # before the classifier
    config.model.kernels = "auto"  # plain: XLA's own kernels everywhere
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-2
    if config.task == "covid":
        config.batch_size = 32
        config.auto_epochs.coronahack = 5
        config.auto_epochs.phantom = 24
    return config
