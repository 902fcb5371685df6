"""One network from its config to its weights: what classification and denoising share.

A task brings a module, a loss, a compiled prediction, its batches, and the figure that it watches.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import grain
import jax
import ml_collections
import numpy as np
import optax
from jax.sharding import Mesh
from numpy.typing import NDArray

from covidjax.data import batches
from covidjax.training import (
    checkpoint,
    figures,
    flops,
    loop,
    optimizer,
    profile,
    record,
    saved,
    sharding,
    state,
    steps,
)

Variables = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Network:
    """A module and its compiled functions, made once for all folds and members of a run.

    Attributes:
      model: called as `model(images, train=...)`.
      optimizer: of optax.
      compiled: the train steps, on `mesh`.
      predict: what validation and evaluation call, compiled for `mesh`.
      compile_predict: makes `predict` for a mesh.
      mesh: the devices.
      schedule: of each training.
      layout: how a state lies, where it is cut over the devices; see `state.layout_of`.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    compiled: loop.Compiled
    predict: Any
    compile_predict: Callable[[Mesh], Any]
    mesh: Mesh
    schedule: loop.Schedule
    layout: state.TrainState | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """What one network is trained on, and what is watched meanwhile.

    Attributes:
      batches: endless training batches, this process's part.
      evaluate: averaged `params` and `batch_stats`, whole on every device -> validation figures.
      monitor: the one of them that is to rise.
      key: of the initial weights and of every random draw in training.
      name: of the network among those of its run, "" where there is one.
      report: see `loop.Watch`.
    """

    batches: grain.DatasetIterator
    evaluate: Callable[[Variables], Mapping[str, float]]
    monitor: str
    key: jax.Array
    name: str = ""
    report: Callable[[int, float], None] | None = None


def mesh_of(config: ml_collections.ConfigDict) -> Mesh:
    """The mesh of all devices. Raises ValueError where they do not fit the batch."""
    mesh = sharding.mesh_of(config.sharding, config.shards)
    sharding.check_batch_size(config.batch_size, mesh, config.accumulate)
    return mesh


def resolved(config: ml_collections.ConfigDict, kind: str) -> ml_collections.ConfigDict:
    """A copy with the `steps` or `epochs` that data of that kind take."""
    config = config.copy_and_resolve_references()
    field = "steps" if "auto_steps" in config else "epochs"
    config[field] = config[field] or config[f"auto_{field}"][kind]
    return config


def make_schedule(
    config: ml_collections.ConfigDict, images: int, dispatch: int = 1
) -> loop.Schedule:
    """The schedule of a resolved config.

    Args:
      config: with `steps`, or with `epochs` of `images` training images.
      images: of the smallest training part.
      dispatch: steps per dispatch.

    Raises:
      ValueError: no batch can be filled, or no update be made.
    """
    if config.batch_size > images:
        raise ValueError(
            f"config.batch_size={config.batch_size} is more than the {images} training images"
        )
    total = config.get("steps") or config.epochs * (images // config.batch_size)
    if config.optimizer.accumulate > total:
        raise ValueError(
            f"config.optimizer.accumulate={config.optimizer.accumulate} is more than the {total} "
            "batches of the run: there would be no update"
        )
    profile.check(config.profile, total)
    return loop.Schedule(
        steps=total,
        batch_size=config.batch_size,
        eval_every=max(1, -(-total // config.evaluations)),
        log_every=config.log_every,
        patience=config.patience,
        steps_per_dispatch=dispatch,
    )


def build(
    config: ml_collections.ConfigDict,
    mesh: Mesh,
    schedule: loop.Schedule,
    model: nn.Module,
    loss_fn: steps.LossFn,
    compile_predict: Callable[[Mesh], Any],
    rates: optax.GradientTransformation | None = None,
) -> Network:
    """Compiles the steps of a module as the config says.

    Args:
      compile_predict: makes the task's prediction for a mesh.
      rates: factors of the learning rate, the last part of the optimizer.
    """
    tx = optimizer.create(steps=schedule.steps, last=rates, **config.optimizer.to_dict())
    size = config.data.size
    layout = None
    if config.sharding == "fsdp":
        layout = state.layout_of(model, tx, (size, size, 1), mesh, config.shard_from)
    options = {
        "loss_fn": loss_fn,
        "optimizer": tx,
        "ema_decay": config.ema,
        "accumulate": config.accumulate,
        "layout": layout,
    }
    side = config.get("patch") or size  # of the images that a step sees
    compiled = loop.Compiled(
        mesh,
        steps.compile_train_step(mesh, **options),
        steps.compile_train_step(mesh, several=True, **options),
        config.batch_size * flops.count(model, (side, side, 1)).train,
    )
    predict = compile_predict(mesh)
    return Network(model, tx, compiled, predict, compile_predict, mesh, schedule, layout)


def on_own_devices(network: Network) -> Network:
    """Of a network that several processes train: what one of them predicts with alone."""
    if jax.process_count() == 1:
        return network
    mesh = sharding.make_mesh(jax.local_devices())
    return dataclasses.replace(network, predict=network.compile_predict(mesh), mesh=mesh)


def training_batches(
    config: ml_collections.ConfigDict,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    labels: NDArray[np.integer] | None = None,
    weights: NDArray[np.float32] | None = None,
    balanced: bool = False,
    seed: int,
) -> grain.DatasetIterator:
    """Endless batches of `images[rows]`, this process's part of each; see `batches.train_batches`.

    Labels are 0 and weights 1 where a task has none.
    """
    return batches.train_batches(
        images,
        rows,
        np.zeros(len(rows), np.int32) if labels is None else labels,
        np.ones(len(rows), np.float32) if weights is None else weights,
        batch_size=config.batch_size,
        seed=seed,
        balanced=balanced,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def fresh_state(
    config: ml_collections.ConfigDict, network: Network, key: jax.Array
) -> state.TrainState:
    """A state with initial weights of a task's key."""
    shape = (config.data.size, config.data.size, 1)
    initial, _ = jax.random.split(key)
    return state.create(
        network.model, network.optimizer, shape, initial, network.mesh, network.layout
    )


def checkpoints_of(
    config: ml_collections.ConfigDict, folder: Path, name: str = ""
) -> checkpoint.Checkpoints:
    """The checkpoints of the network of that name in the run of that workdir."""
    return checkpoint.Checkpoints(saved.root(config, folder) / name, keep=config.keep)


def fit(
    config: ml_collections.ConfigDict,
    network: Network,
    task: Task,
    fresh: state.TrainState,
    kept: checkpoint.Checkpoints,
    folder: Path,
    log: record.Record,
) -> tuple[state.TrainState, checkpoint.Progress]:
    """Trains a fresh state, or resumes from its checkpoints; see `loop.fit`."""
    _, key = jax.random.split(task.key)
    return loop.fit(
        fresh,
        task.batches,
        key,
        compiled=network.compiled,
        schedule=network.schedule,
        watch=loop.Watch(lambda now: evaluate(network, task, now), task.monitor, task.report),
        checkpoints=kept,
        log=figures.Log(
            log, task.name, config.quiet, profile.Trace(folder / "profile", config.profile)
        ),
    )


def evaluate(network: Network, task: Task, current: state.TrainState) -> Mapping[str, float]:
    """The task's validation figures of a state's averaged weights."""
    return task.evaluate(sharding.whole(checkpoint.evaluated_part(current), network.mesh))


def chosen(
    config: ml_collections.ConfigDict,
    network: Network,
    kept: checkpoint.Checkpoints,
    final: state.TrainState,
    progress: checkpoint.Progress,
) -> Variables:
    """The weights that `config.select` names, whole on every device."""
    return sharding.whole(kept.chosen(final, progress, config.select), network.mesh)
