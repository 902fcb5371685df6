"""Classification: split, train a network for each fold and member, evaluate every image once."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import external
from covidjax.classify import folds as fold_runs
from covidjax.classify import report as classify_report
from covidjax.classify.train import (
    Data,
    Training,
    build,
    member_name,
    train_fold,
)
from covidjax.data import manifest, source, splits
from covidjax.data.table import TASKS, read_table, task_labels
from covidjax.runs import results, workdir
from covidjax.runs.prepared import cached_pixels, load_kernels, prepared_data
from covidjax.training import fitting, hosts, record, steps
from covidjax.transfer import initial
from tfds_coronahack.paths import expanded


def run(config: ml_collections.ConfigDict, folder: Path) -> dict[str, Any]:
    """Runs the experiment and returns what `results.json` holds.

    Raises:
      ValueError and its kind: a config that cannot work, wrong data, a workdir of another run.
      StoppedError, NonFiniteError: see `loop.fit`.
    """
    start = time.time()
    classify_check.check(config)
    mesh = fitting.mesh_of(config)
    other = load_external(config) if config.external else None
    prepared = prepared_data(config)
    phantom = prepared.kind == "phantom"
    main = hosts.is_coordinator()
    if phantom and main:
        print(source.phantom_banner(), file=sys.stderr, flush=True)
    config = resolved(config, prepared.kind)
    table = read_table(prepared.path)
    labels = task_labels(table, config.task)
    every = every_fold(config, table, labels)
    folds = chosen_folds(config, every)
    splits.check_leaks(folds, table, prepared.same_pictures)
    # Of every fold, so that one alone trains as it does among the others.
    dispatch = steps.steps_per_dispatch(config.steps_per_dispatch, mesh)
    schedule = fitting.make_schedule(config, min(len(fold.train) for fold in every), dispatch)
    if config.folds_from:
        fold_runs.check(config, folds, table, prepared)
    if config.get("init"):
        _check_initial(config, folds, table, prepared)
    if other is not None:
        used = np.concatenate([part for fold in folds for part in (fold.train, fold.validation)])
        other = external.without_known(other, prepared.path, table, used)
        print(external.report(other), flush=True)
    split = manifest.digest(folds, table)
    others = external.digest(other) if other is not None else ""
    with workdir.claim(folder, config, prepared, split, others) as finished:
        if finished:
            print(f"{folder} is finished: see {folder / 'results.json'}")
            return results.read_results(folder) if main else {}
        print(f"Results go to {folder}", flush=True)
        load_kernels(config)
        if main and config.folds_from:
            fold_runs.gather(config, folds, folder)
        if main:
            manifest.write(folder / "split.csv", folds, table, phantom=phantom)
        table_text = classify_report.split_table(folds, labels, TASKS[config.task].classes)
        print(table_text, flush=True)
        images = cached_pixels(config, prepared)
        data = Data(prepared, images, labels, table, folds)
        network = build(config, mesh, schedule)
        with record.Record(folder, "PHANTOM" if phantom else "") as log:
            training = Training(config, data, network, folder, log)
            predictions = [train_fold(training, fold) for fold in data.folds]
        if not main:  # it waits in `hosts.finish`
            return {}
        network = fitting.on_own_devices(network)
        return classify_report.write(config, data, predictions, network, folder, start, other)


def _check_initial(
    config: ml_collections.ConfigDict,
    folds: Sequence[splits.Fold],
    table: pd.DataFrame,
    prepared: source.Prepared,
) -> None:
    """Says what `config.init` gives each network, before anything takes time."""
    networks = [
        (member_name(config, fold, member), fold)
        for fold in folds
        for member in range(config.members)
    ]
    shape = (config.data.size, config.data.size, 1)
    model = classify_check.create_model(config)
    print(initial.check(config.init, model, shape, networks, table, prepared), flush=True)


def load_external(config: ml_collections.ConfigDict) -> external.External:
    """The folder of `config.external`, all of it read before anything else takes time."""
    return external.load(
        expanded(config.external),
        TASKS[config.task].classes,
        size=config.data.size,
        equalize=config.data.equalize,
        resize=config.data.resize,
    )


def resolved(config: ml_collections.ConfigDict, kind: str) -> ml_collections.ConfigDict:
    """A copy without `auto`: the epochs that data of that kind take, the split's validation."""
    config = fitting.resolved(config, kind)
    if config.validation == "auto":
        config.validation = "shifted" if config.split == "official" else "random"
    return config


def make_folds(
    config: ml_collections.ConfigDict, table: pd.DataFrame, labels: NDArray[np.int32]
) -> list[splits.Fold]:
    """The folds to run: `config.fold` of `every_fold`."""
    return chosen_folds(config, every_fold(config, table, labels))


def every_fold(
    config: ml_collections.ConfigDict, table: pd.DataFrame, labels: NDArray[np.int32]
) -> list[splits.Fold]:
    """The folds of a manifest where one is given, else of the config's split."""
    if config.data.manifest:
        folds = manifest.read(expanded(config.data.manifest), table, labels)
        classify_check.check_manifest(config, folds, labels)
    elif config.split == "official":
        folds = splits.official(
            table,
            labels,
            validation=config.validation,
            fraction=config.validation_fraction,
            seed=config.seed,
        )
    else:
        folds = splits.kfold(
            table,
            labels,
            folds=config.folds,
            fraction=config.validation_fraction,
            seed=config.seed,
            kaggle_split=config.part,
        )
    return folds


def chosen_folds(config: ml_collections.ConfigDict, folds: list[splits.Fold]) -> list[splits.Fold]:
    """Those of `config.fold`. Raises ValueError where there is none."""
    if config.fold == "all":
        return folds
    chosen = [fold for fold in folds if str(fold.number) == str(config.fold)]
    if not chosen:
        numbers = ", ".join(str(fold.number) for fold in folds)
        raise ValueError(f"config.fold={config.fold!r} is no fold: give all or one of {numbers}")
    return chosen
