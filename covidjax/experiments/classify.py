"""Classification: split, train a network for each fold and member, evaluate every image once."""

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.data import batches, cache, manifest, source, splits
from covidjax.data.augment import Augmentation
from covidjax.data.table import TASKS, read_table, task_labels
from covidjax.evaluation import metrics
from covidjax.experiments import classify_check, classify_report, objective, workdir
from covidjax.training import checkpoint, loop, optimizer, record, sharding, state, steps


@dataclasses.dataclass(frozen=True)
class Data:
    """Pixels, labels and folds of a run.

    Attributes:
      images: uint8 [m, size, size], all examples of the dataset.
      labels: int [m], -1 for those that are no part of the task.
      table: what is known of each.
      folds: rows of the three.
    """

    prepared: source.Prepared
    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    table: pd.DataFrame
    folds: list[splits.Fold]


class Views(NamedTuple):
    """What chooses epoch and threshold: uint8 [v, size, size] and the label of each."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Network:
    """What all folds and members share: compiled once."""

    model: Any
    optimizer: Any
    train_step: Any
    predict: Any
    mesh: Any
    schedule: loop.Schedule


def run(config: ml_collections.ConfigDict, folder: Path) -> dict[str, Any]:
    """Runs the experiment and returns what `results.json` holds.

    Raises:
      ValueError and its kind: a config that cannot work, wrong data, a workdir of another run.
      loop.StoppedError, loop.NonFiniteError: see `loop.fit`.
    """
    start = time.time()
    classify_check.check(config)
    mesh = sharding.make_mesh()
    sharding.check_batch_size(config.batch_size, mesh)
    prepared = source.resolve(
        config.data.source,
        config.data.data_dir,
        config.data.archive,
        phantom_parameters(config),
        progress=not config.quiet,
    )
    phantom = prepared.kind == "phantom"
    if phantom:
        print(source.phantom_banner(), file=sys.stderr, flush=True)
    config = resolved(config, prepared.kind)
    table = read_table(prepared.path)
    labels = task_labels(table, config.task)
    folds = make_folds(config, table, labels)
    same = [*prepared.report["duplicates"], *prepared.report["near_duplicates"]]
    splits.check_leaks(folds, table, same)
    schedule = make_schedule(config, folds)
    with workdir.claim(folder, config, prepared, manifest.digest(folds, table)) as finished:
        if finished:
            print(f"{folder} is finished: see {folder / 'results.json'}")
            return classify_report.read_results(folder)
        print(f"Results go to {folder}", flush=True)
        manifest.write(folder / "split.csv", folds, table, phantom=phantom)
        table_text = classify_report.split_table(folds, labels, TASKS[config.task].classes)
        print(table_text, flush=True)
        images = cache.load_cache(
            prepared.path,
            prepared.fingerprint,
            config.data.size,
            config.data.equalize,
            config.data.resize,
            progress=not config.quiet,
        )
        data = Data(prepared, images, labels, table, folds)
        network = build(config, mesh, schedule)
        with record.Record(folder, "PHANTOM" if phantom else "") as log:
            predictions = [
                train_fold(config, data, fold, network, folder, log) for fold in data.folds
            ]
        return classify_report.write(config, data, predictions, folder, time.time() - start)


def resolved(config: ml_collections.ConfigDict, kind: str) -> ml_collections.ConfigDict:
    """A copy without `auto`: the epochs that data of that kind take, the split's validation."""
    config = config.copy_and_resolve_references()
    config.epochs = config.epochs or config.auto_epochs[kind]
    if config.validation == "auto":
        config.validation = "shifted" if config.split == "official" else "random"
    return config


def phantom_parameters(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The phantom's parameters, as `source.resolve` wants them."""
    parameters = config.phantom.to_dict()
    parameters["shortcuts"] = tuple(part for part in parameters["shortcuts"].split(",") if part)
    return parameters


def make_folds(
    config: ml_collections.ConfigDict, table: pd.DataFrame, labels: NDArray[np.int32]
) -> list[splits.Fold]:
    """The folds to run: of a manifest where one is given, else of the config's split."""
    if config.data.manifest:
        try:
            folds = manifest.read(Path(config.data.manifest).expanduser(), table, labels)
        except UnicodeDecodeError as error:
            raise ValueError(f"config.data.manifest={config.data.manifest} is no text") from error
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
    if config.fold == "all":
        return folds
    chosen = [fold for fold in folds if str(fold.number) == str(config.fold)]
    if not chosen:
        numbers = ", ".join(str(fold.number) for fold in folds)
        raise ValueError(f"config.fold={config.fold!r} is no fold: give all or one of {numbers}")
    return chosen


def make_schedule(config: ml_collections.ConfigDict, folds: Sequence[splits.Fold]) -> loop.Schedule:
    """The schedule, the same for all folds: epochs of the fold with the fewest training images.

    Raises:
      ValueError: no batch can be filled, or no update be made.
    """
    smallest = min(len(fold.train) for fold in folds)
    if config.batch_size > smallest:
        raise ValueError(
            f"config.batch_size={config.batch_size} is more than the {smallest} training images"
        )
    total = config.epochs * (smallest // config.batch_size)
    if config.optimizer.accumulate > total:
        raise ValueError(
            f"config.optimizer.accumulate={config.optimizer.accumulate} is more than the {total} "
            "batches of the run: there would be no update"
        )
    return loop.Schedule(
        steps=total,
        batch_size=config.batch_size,
        eval_every=max(1, -(-total // config.evaluations)),
        log_every=config.log_every,
        patience=config.patience,
    )


def build(config: ml_collections.ConfigDict, mesh: Any, schedule: loop.Schedule) -> Network:
    """The network and its compiled steps, the same for all folds."""
    model = classify_check.create_model(config)
    tx = optimizer.create(steps=schedule.steps, **config.optimizer.to_dict())
    strength = Augmentation(**config.augment.to_dict())
    classes = len(TASKS[config.task].classes)
    loss_fn = objective.make_loss(model, classes, config.label_smoothing, strength)
    return Network(
        model,
        tx,
        steps.compile_train_step(mesh, loss_fn=loss_fn, optimizer=tx, ema_decay=config.ema),
        steps.compile_predict(mesh, objective.make_predict(model, config.mirror)),
        mesh,
        schedule,
    )


def train_fold(
    config: ml_collections.ConfigDict,
    data: Data,
    fold: splits.Fold,
    network: Network,
    folder: Path,
    log: record.Record,
) -> classify_report.Predictions:
    """Trains the members of a fold; the mean of their probabilities is its prediction."""
    views = validation_views(config, data, fold)
    outputs = []
    for member in range(config.members):
        name = "-".join(
            part for part in (fold.name, f"member{member}" if config.members > 1 else "") if part
        )
        outputs.append(train_member(config, data, fold, member, name, network, folder, log, views))
    seen, validation, test = (np.mean(part, axis=0) for part in zip(*outputs, strict=True))
    threshold = None
    if seen.shape[1] == 2:
        threshold = (
            metrics.choose_threshold(views.labels, seen[:, 1])
            if config.threshold == "validation"
            else float(config.threshold)
        )
    return classify_report.Predictions(fold, threshold, validation, test)


def validation_views(config: ml_collections.ConfigDict, data: Data, fold: splits.Fold) -> Views:
    """Distorted views where validation imitates a shift, else the validation images as they are."""
    images, labels = data.images[fold.validation], data.labels[fold.validation]
    if config.validation != "shifted" or config.views == 0:
        return Views(images, labels)
    distorted = objective.distorted_views(images, config.views, config.seed)
    return Views(distorted, np.tile(labels, config.views))


def train_member(
    config: ml_collections.ConfigDict,
    data: Data,
    fold: splits.Fold,
    member: int,
    name: str,
    network: Network,
    folder: Path,
    log: record.Record,
    views: Views,
) -> tuple[NDArray[np.float64], ...]:
    """Trains one network; probabilities of the views, the validation and the test images."""
    key = jax.random.fold_in(jax.random.key(config.seed), 1000 * fold.number + member)
    init_key, train_key = jax.random.split(key)
    image_shape = (*data.images.shape[1:], 1)
    fresh = state.create(network.model, network.optimizer, image_shape, init_key, network.mesh)
    labels = data.labels[fold.train]
    training = batches.train_batches(
        data.images,
        fold.train,
        labels,
        objective.example_weights(labels, config.balance),
        batch_size=config.batch_size,
        seed=config.seed * 1_000_000 + 1000 * fold.number + member,
        balanced=config.balance == "sampling",
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )

    def probabilities(
        variables: Any, images: NDArray[np.uint8], rows: Sequence[int] | NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return predict(network, variables, images, np.asarray(rows), config.batch_size)

    def evaluate(current: state.TrainState) -> dict[str, float]:
        part = checkpoint.evaluated_part(current)
        found = probabilities(part, views.images, range(len(views.images)))
        figures = metrics.classification_metrics(views.labels, found, None)
        picked = np.clip(found[np.arange(len(found)), views.labels], 1e-7, 1)
        figures["loss"] = float(-np.mean(np.log(picked)))
        return {field: figures[field] for field in ("loss", "auroc", "balanced_accuracy")}

    kept = checkpoint.Checkpoints(folder / "checkpoints" / name)
    final, progress = loop.fit(
        fresh,
        training,
        step_fn=network.train_step,
        evaluate=evaluate,
        monitor="auroc",
        schedule=network.schedule,
        key=train_key,
        mesh=network.mesh,
        checkpoints=kept,
        record=log,
        label=name,
        quiet=config.quiet,
    )
    if config.select == "best":
        variables = kept.restore_best(final, progress.best_step)
    else:
        variables = checkpoint.evaluated_part(final)
    kept.close()
    return (
        probabilities(variables, views.images, range(len(views.images))),
        probabilities(variables, data.images, fold.validation),
        probabilities(variables, data.images, fold.test),
    )


def predict(
    network: Network,
    variables: Any,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    batch_size: int,
) -> NDArray[np.float64]:
    """Probabilities [len(rows), classes], each row once, in the order of `rows`."""
    parts = [
        network.predict(
            variables["params"],
            variables["batch_stats"],
            sharding.to_device({"images": batch["images"]}, network.mesh)["images"],
        )
        for batch in batches.eval_batches(
            images,
            rows,
            np.zeros(len(rows), np.int32),
            batch_size=batch_size,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
    ]
    return np.concatenate([np.asarray(part, np.float64) for part in parts])[: len(rows)]
