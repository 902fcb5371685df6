"""Training of a classifier's networks, one for each fold and member, and their predictions."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import loss as objective
from covidjax.data import batches, source, splits
from covidjax.data.augment import Augmentation
from covidjax.data.table import TASKS
from covidjax.evidence import metrics
from covidjax.runs import devices
from covidjax.training import (
    checkpoint,
    distributed,
    flops,
    loop,
    optimizer,
    prediction,
    profile,
    record,
    sharding,
    state,
    steps,
)
from covidjax.transfer import initial, probe, strategies


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


@dataclasses.dataclass(frozen=True)
class Network:
    """What all folds and members share: compiled once."""

    model: Any
    optimizer: Any
    train_step: Any
    train_steps: Any
    predict: Any
    mesh: Any
    schedule: loop.Schedule
    layout: Any = None


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Probabilities [n, classes] of one fold, as its networks give them.

    Attributes:
      fold: whose rows they are.
      validation, test: in the order of the fold's rows.
    """

    fold: splits.Fold
    validation: NDArray[np.float64]
    test: NDArray[np.float64]


def build(config: ml_collections.ConfigDict, mesh: Any, schedule: loop.Schedule) -> Network:
    """The network and its compiled steps, the same for all folds."""
    model = classify_check.create_model(config)
    transfer = config.transfer.to_dict() if config.get("init") else {}
    rates = None
    if transfer and transfer["strategy"] != "probe":
        updates = schedule.steps // config.optimizer.accumulate
        rates = strategies.layer_rates(transfer["strategy"], transfer["layer_decay"], updates)
    tx = optimizer.create(steps=schedule.steps, last=rates, **config.optimizer.to_dict())
    strength = Augmentation(**config.augment.to_dict())
    classes = len(TASKS[config.task].classes)
    loss_fn = objective.make_loss(
        model,
        classes,
        config.label_smoothing,
        strength,
        freeze_batch_norm=transfer.get("freeze_batch_norm", False),
    )
    parts = {"loss_fn": loss_fn, **devices.step_options(config, model, tx, mesh)}
    return Network(
        model,
        tx,
        steps.compile_train_step(mesh, **parts),
        steps.compile_train_steps(mesh, **parts),
        steps.compile_predict(mesh, objective.make_predict(model, config.mirror)),
        mesh,
        schedule,
        parts["layout"],
    )


def on_own_devices(config: ml_collections.ConfigDict, network: Network) -> Network:
    """Of several processes' network: what one of them predicts with alone."""
    if jax.process_count() == 1:
        return network
    mesh = sharding.make_mesh(jax.local_devices())
    predict = steps.compile_predict(mesh, objective.make_predict(network.model, config.mirror))
    return dataclasses.replace(network, predict=predict, mesh=mesh)


def train_fold(
    config: ml_collections.ConfigDict,
    data: Data,
    fold: splits.Fold,
    network: Network,
    folder: Path,
    log: record.Record,
) -> Predictions:
    """Trains the members of a fold; the mean of their probabilities is its prediction."""
    outputs = []
    for member in range(config.members):
        name = member_name(config, fold, member)
        outputs.append(train_member(config, data, fold, member, name, network, folder, log))
    return Predictions(fold, *(np.mean(part, axis=0) for part in zip(*outputs, strict=True)))


def member_name(config: ml_collections.ConfigDict, fold: splits.Fold, member: int) -> str:
    """Of a network, in records and below `checkpoints`: "", "fold0", "member1", "fold0-member1"."""
    parts = (fold.name, f"member{member}" if config.members > 1 else "")
    return "-".join(part for part in parts if part)


def train_member(
    config: ml_collections.ConfigDict,
    data: Data,
    fold: splits.Fold,
    member: int,
    name: str,
    network: Network,
    folder: Path,
    log: record.Record,
) -> tuple[NDArray[np.float64], ...]:
    """Trains one network; probabilities of the validation and the test images."""
    variables, _ = fit_member(config, data, fold, member, name, network, folder, log)
    return (
        probabilities(config, network, variables, data.images, fold.validation),
        probabilities(config, network, variables, data.images, fold.test),
    )


def fit_member(
    config: ml_collections.ConfigDict,
    data: Data,
    fold: splits.Fold,
    member: int,
    name: str,
    network: Network,
    folder: Path,
    log: record.Record,
    report: Callable[[int, float], None] | None = None,
) -> tuple[Any, checkpoint.Progress]:
    """Trains one network on the fold's training images; the test images are not looked at.

    Args:
      report: see `loop.fit`; of the AUROC on validation.

    Returns:
      The variables that `config.select` names, and the progress, which holds the best AUROC.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), 1000 * fold.number + member)
    init_key, train_key = jax.random.split(key)
    image_shape = (*data.images.shape[1:], 1)
    fresh = state.create(
        network.model, network.optimizer, image_shape, init_key, network.mesh, network.layout
    )
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

    def evaluate(current: state.TrainState) -> dict[str, float]:
        part = sharding.whole(checkpoint.evaluated_part(current), network.mesh)
        seen = data.labels[fold.validation]
        found = probabilities(config, network, part, data.images, fold.validation)
        figures = metrics.classification_metrics(seen, found, None)
        picked = np.clip(found[np.arange(len(found)), seen], 1e-7, 1)
        figures["loss"] = float(-np.mean(np.log(picked)))
        return {field: figures[field] for field in ("loss", "auroc", "balanced_accuracy")}

    with devices.checkpoints_of(config, folder, name) as kept:
        if config.get("init") and distributed.share(kept.last.latest_step()) is None:
            fresh = initial.begin(config.init, name, fresh)
        if config.get("init") and config.transfer.strategy == "probe":
            final, progress = fit_probe(config, data, fold, network, fresh, training, kept)
            log.write(int(final.step), "validation", evaluate(final), name)
        else:
            final, progress = loop.fit(
                fresh,
                training,
                step_fn=network.train_step,
                several_fn=network.train_steps,
                evaluate=evaluate,
                monitor="auroc",
                schedule=network.schedule,
                key=train_key,
                mesh=network.mesh,
                checkpoints=kept,
                record=log,
                label=name,
                quiet=config.quiet,
                report=report,
                flops_per_step=config.batch_size * flops.count(network.model, image_shape).train,
                trace=profile.Trace(folder / "profile", config.profile),
            )
        variables = kept.chosen(final, progress, config.select)
        variables = sharding.whole(variables, network.mesh)
    return variables, progress


def probabilities(
    config: ml_collections.ConfigDict,
    network: Network,
    variables: Any,
    images: NDArray[np.uint8],
    rows: Sequence[int] | NDArray[np.int64],
) -> NDArray[np.float64]:
    """Probabilities [rows, classes] of those images."""
    found = prediction.predict_rows(
        network.predict,
        variables,
        images,
        np.asarray(rows),
        batch_size=config.batch_size,
        mesh=network.mesh,
    )
    return found.astype(np.float64)


def fit_probe(
    config: ml_collections.ConfigDict,
    data: Data,
    fold: splits.Fold,
    network: Network,
    fresh: state.TrainState,
    training: Any,
    kept: checkpoint.Checkpoints,
) -> tuple[state.TrainState, checkpoint.Progress]:
    """In place of `loop.fit`: a classifier on the features of a network that stands still."""
    final, progress = kept.restore_last(fresh, training)
    if progress.finished:
        return final, progress
    variables = checkpoint.evaluated_part(fresh)
    # All images at once, so that every fold with the same weights finds the same file.
    rows = np.sort(np.concatenate([fold.train, fold.validation, fold.test]))
    options = {"mirror": config.mirror, "batch_size": config.batch_size, "mesh": network.mesh}
    seen = probe.features(network.model, variables, data.images[rows], **options)
    labels = data.labels[fold.train]
    head = probe.fit_head(
        seen[np.searchsorted(rows, fold.train)],
        labels,
        objective.example_weights(labels, config.balance),
        seen[np.searchsorted(rows, fold.validation)],
        data.labels[fold.validation],
        objective.example_weights(data.labels[fold.validation], config.balance),
        len(TASKS[config.task].classes),
    )
    final = probe.with_head(fresh, head)
    progress = checkpoint.Progress(best_step=1, best_value=-head.loss, finished=True)
    with kept.completed():
        kept.save_best(final)
        kept.save_last(final, training, progress)
    return final, progress
