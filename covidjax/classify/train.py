"""Training of a classifier's networks, one for each fold and member, and their predictions."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import ml_collections
import numpy as np
import pandas as pd
from jax.sharding import Mesh
from numpy.typing import NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import loss
from covidjax.data import source, splits
from covidjax.data.augment import Augmentation
from covidjax.data.table import TASKS
from covidjax.evidence import metrics
from covidjax.training import (
    checkpoint,
    chunks,
    fitting,
    hosts,
    loop,
    record,
    state,
    steps,
)
from covidjax.training.fitting import Network
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
class Predictions:
    """Probabilities [n, classes] of one fold, as its networks give them.

    Attributes:
      fold: whose rows they are.
      validation, test: in the order of the fold's rows.
    """

    fold: splits.Fold
    validation: NDArray[np.float64]
    test: NDArray[np.float64]


def build(config: ml_collections.ConfigDict, mesh: Mesh, schedule: loop.Schedule) -> Network:
    """The network and its compiled steps, the same for all folds."""
    model = classify_check.create_model(config)
    transfer = config.transfer.to_dict() if config.get("init") else {}
    rates = None
    if transfer and transfer["strategy"] != "probe":
        updates = schedule.steps // config.optimizer.accumulate
        rates = strategies.layer_rates(transfer["strategy"], transfer["layer_decay"], updates)
    loss_fn = loss.make_loss(
        model,
        len(TASKS[config.task].classes),
        config.label_smoothing,
        Augmentation(**config.augment.to_dict()),
        freeze_batch_norm=transfer.get("freeze_batch_norm", False),
    )

    def compile_predict(mesh: Mesh) -> steps.PredictFn:
        return steps.compile_predict(mesh, loss.make_predict(model, config.mirror))

    return fitting.build(config, mesh, schedule, model, loss_fn, compile_predict, rates)


@dataclasses.dataclass(frozen=True)
class Training:
    """What the networks of a run are trained with.

    Attributes:
      config: resolved.
      data: of all folds.
      network: compiled.
      folder: the run's workdir.
      log: the run's record.
    """

    config: ml_collections.ConfigDict
    data: Data
    network: Network
    folder: Path
    log: record.Record


def train_fold(run: Training, fold: splits.Fold) -> Predictions:
    """Trains the members of a fold; the mean of their probabilities is its prediction."""
    outputs = []
    for member in range(run.config.members):
        variables, _ = fit_member(run, fold, member)
        outputs.append(
            [
                probabilities(run.config, run.network, variables, run.data.images, rows)
                for rows in (fold.validation, fold.test)
            ]
        )
    return Predictions(fold, *(np.mean(part, axis=0) for part in zip(*outputs, strict=True)))


def member_name(config: ml_collections.ConfigDict, fold: splits.Fold, member: int) -> str:
    """Of a network, in records and below `checkpoints`: "", "fold0", "member1", "fold0-member1"."""
    parts = (fold.name, f"member{member}" if config.members > 1 else "")
    return "-".join(part for part in parts if part)


def fit_member(
    run: Training,
    fold: splits.Fold,
    member: int,
    report: Callable[[int, float], None] | None = None,
) -> tuple[fitting.Variables, checkpoint.Progress]:
    """Trains one network on the fold's training images; the test images are not looked at.

    Args:
      report: see `loop.Watch`; of the AUROC on validation.

    Returns:
      The variables that `config.select` names, and the progress, which holds the best AUROC.
    """
    config, network = run.config, run.network
    task = make_task(run, fold, member, report)
    fresh = fitting.fresh_state(config, network, task.key)
    with fitting.checkpoints_of(config, run.folder, task.name) as kept:
        if config.get("init") and hosts.share(kept.last.latest_step()) is None:
            fresh = initial.begin(config.init, task.name, fresh)
        if config.get("init") and config.transfer.strategy == "probe":
            final, progress = fit_probe(run, fold, task, fresh, kept)
        else:
            final, progress = fitting.fit(config, network, task, fresh, kept, run.folder, run.log)
        return fitting.chosen(config, network, kept, final, progress), progress


def make_task(
    run: Training,
    fold: splits.Fold,
    member: int,
    report: Callable[[int, float], None] | None = None,
) -> fitting.Task:
    """The training of one member of a fold."""
    config, data = run.config, run.data
    labels = data.labels[fold.train]
    number = 1000 * fold.number + member
    training = fitting.training_batches(
        config,
        data.images,
        fold.train,
        labels=labels,
        weights=loss.example_weights(labels, config.balance),
        balanced=config.balance == "sampling",
        seed=config.seed * 1_000_000 + number,
    )

    def evaluate(variables: fitting.Variables) -> dict[str, float]:
        seen = data.labels[fold.validation]
        outputs = probabilities(config, run.network, variables, data.images, fold.validation)
        figures = metrics.classification_metrics(seen, outputs, None)
        picked = np.clip(outputs[np.arange(len(outputs)), seen], 1e-7, 1)
        figures["loss"] = float(-np.mean(np.log(picked)))
        return {field: figures[field] for field in ("loss", "auroc", "balanced_accuracy")}

    key = jax.random.fold_in(jax.random.key(config.seed), number)
    name = member_name(config, fold, member)
    return fitting.Task(training, evaluate, "auroc", key, name, report)


def probabilities(
    config: ml_collections.ConfigDict,
    network: Network,
    variables: fitting.Variables,
    images: NDArray[np.uint8],
    rows: Sequence[int] | NDArray[np.int64],
) -> NDArray[np.float64]:
    """Probabilities [rows, classes] of those images."""
    outputs = chunks.predict_rows(
        network.predict,
        variables,
        images,
        np.asarray(rows),
        batch_size=config.batch_size,
        mesh=network.mesh,
    )
    return outputs.astype(np.float64)


def fit_probe(
    run: Training,
    fold: splits.Fold,
    task: fitting.Task,
    fresh: state.TrainState,
    kept: checkpoint.Checkpoints,
) -> tuple[state.TrainState, checkpoint.Progress]:
    """In place of `fitting.fit`: a classifier on the features of a network that stands still."""
    config, data, network = run.config, run.data, run.network
    final, progress = kept.restore_last(fresh, task.batches)
    if not progress.finished:
        variables = checkpoint.evaluated_part(fresh)
        # All images at once, so that every fold with the same weights finds the same file.
        rows = np.sort(np.concatenate([fold.train, fold.validation, fold.test]))
        options = {"mirror": config.mirror, "batch_size": config.batch_size, "mesh": network.mesh}
        seen = probe.features(network.model, variables, data.images[rows], **options)
        train, validation = (
            probe.Examples(
                seen[np.searchsorted(rows, part)],
                data.labels[part],
                loss.example_weights(data.labels[part], config.balance),
            )
            for part in (fold.train, fold.validation)
        )
        head = probe.fit_head(train, validation, len(TASKS[config.task].classes))
        final = probe.with_head(fresh, head)
        progress = checkpoint.Progress(best_step=1, best_value=-head.loss, finished=True)
        with kept.completed():
            kept.save_best(final)
            kept.save_last(final, task.batches, progress)
    figures = fitting.evaluate(network, task, final)
    run.log.write(int(final.step), "validation", figures, task.name)
    return final, progress
