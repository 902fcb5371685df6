"""What a classification config must hold, seen before anything is written."""

from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax import models
from covidjax.data import splits
from covidjax.data.table import TASKS
from covidjax.evidence import recalibration
from covidjax.runs import config as fields
from covidjax.training import flops, profile


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError for what can be seen without the data: one line that names the field."""
    fields.check(config)
    profile.parse(config.profile)
    _check_threshold(config)
    _check_together(config)
    _check_network(config)


def check_manifest(
    config: ml_collections.ConfigDict, folds: Sequence[splits.Fold], labels: NDArray[np.int32]
) -> None:
    """Raises ValueError where an image is tested twice, or a part has fewer than two classes."""
    tested = np.concatenate([fold.test for fold in folds])
    if len(np.unique(tested)) < len(tested):
        raise ValueError(
            f"config.data.manifest={config.data.manifest}: "
            f"{len(tested) - len(np.unique(tested))} images are tested more than once"
        )
    for fold in folds:
        for part in splits.PARTS:
            rows = getattr(fold, part)
            if len(np.unique(labels[rows])) < 2:
                raise ValueError(
                    f"config.data.manifest={config.data.manifest}: {part} of fold {fold.number} "
                    f"has {len(rows)} images, not of two classes at least"
                )


def create_model(config: ml_collections.ConfigDict) -> Any:
    """The network of the config, for the task's classes."""
    fields = config.model.to_dict()
    return models.create(
        fields.pop("name"),
        num_classes=len(TASKS[config.task].classes),
        dtype=config.dtype,
        **fields,
    )


def _check_threshold(config: ml_collections.ConfigDict) -> None:
    threshold = config.threshold
    if threshold == "validation":
        return
    if len(TASKS[config.task].classes) > 2:
        raise ValueError(
            f"config.threshold={threshold!r} is for two classes; config.task={config.task} calls "
            "the class of the largest probability: leave it out"
        )
    try:
        inside = 0 < float(threshold) < 1
    except ValueError:
        inside = False
    if not inside:
        raise ValueError(f"config.threshold={threshold!r}: give validation or a number in (0, 1)")


def _check_together(config: ml_collections.ConfigDict) -> None:
    """Fields that are fine one by one, but not together."""
    if config.calibration in recalibration.TWO_CLASSES and len(TASKS[config.task].classes) > 2:
        raise ValueError(
            f"config.calibration={config.calibration} is for two classes; give platt for "
            f"config.task={config.task}"
        )
    if config.task != config.defaults_for:
        raise ValueError(
            f"config.task={config.task} has other defaults than {config.defaults_for}: give it "
            f"behind the colon, as in --config=configs/{config.model.name}.py:task={config.task}"
        )
    if "init" in config:
        strategy = config.transfer.strategy
        if not config.init and (strategy != "finetune" or config.transfer.freeze_batch_norm):
            raise ValueError(
                "config.transfer is for weights that exist: say which, as in "
                "--config=configs/resnet.py:init=hf://timm/resnet18.tv_in1k"
            )
    if config.folds_from and config.fold != "all":
        raise ValueError(f"config.folds_from needs config.fold=all, not {config.fold}")
    if config.data.manifest:
        return
    if config.task == "covid" and config.split == "official":
        raise ValueError(
            "config.task=covid cannot use config.split=official: Kaggle's TEST has no COVID-19 "
            "image; use split=kfold"
        )
    if config.validation == "shifted" and config.split != "official":
        raise ValueError("config.validation=shifted needs config.split=official; give random")
    if config.part and config.split != "kfold":
        raise ValueError(f"config.part={config.part} needs config.split=kfold")
    last = config.folds - 1 if config.split == "kfold" else 0
    if config.fold != "all" and config.fold not in map(str, range(last + 1)):
        known = f"a number from 0 to {last}" if last else "0 with config.split=official"
        raise ValueError(f"config.fold={config.fold!r}: give all, or {known}")


def _check_network(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError for a network that cannot be made for such images."""
    if config.model.name == "cnn":
        widths = tuple(config.model.widths)
        if not widths or not all(isinstance(width, int) and width > 0 for width in widths):
            raise ValueError(f"config.model.widths must be whole numbers above 0, got {widths}")
        if config.data.size < 2 ** (len(widths) - 1):
            raise ValueError(
                f"config.data.size={config.data.size} is too small for the {len(widths)} stages of "
                f"config.model.widths: they need {2 ** (len(widths) - 1)} pixels"
            )
    try:
        flops.count(create_model(config), (config.data.size, config.data.size, 1))
    except (TypeError, ZeroDivisionError) as error:
        raise ValueError(f"config.model cannot be made: {' '.join(str(error).split())}") from error
