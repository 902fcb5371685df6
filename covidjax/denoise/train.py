"""Training of a denoiser: its data, its compiled steps, and validation at fixed noise."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.data import batches, source, splits
from covidjax.denoise import check as denoise_check
from covidjax.denoise import loss as denoise_objective
from covidjax.runs import devices
from covidjax.training import (
    checkpoint,
    flops,
    loop,
    optimizer,
    profile,
    record,
    sharding,
    state,
    steps,
)

# (step, mean PSNR on validation); may raise to end the training.
Report = Callable[[int, float], None]


@dataclasses.dataclass(frozen=True)
class Data:
    """Pixels and split of a run.

    Attributes:
      images: uint8 [m, size, size], all examples of the dataset.
      table: what is known of each.
      fold: rows of the two.
    """

    prepared: source.Prepared
    images: NDArray[np.uint8]
    table: pd.DataFrame
    fold: splits.Fold


@dataclasses.dataclass(frozen=True)
class Network:
    """The module and its compiled steps."""

    model: Any
    optimizer: Any
    train_step: Any
    train_steps: Any
    score: Any
    mesh: Any
    schedule: loop.Schedule
    layout: Any = None


class Cases(NamedTuple):
    """What validation denoises: uint8 [v, size, size], level and number (of the noise) of each."""

    images: NDArray[np.uint8]
    levels: NDArray[np.float32]
    numbers: NDArray[np.int32]


def build(config: ml_collections.ConfigDict, mesh: Any, schedule: loop.Schedule) -> Network:
    """The network and its compiled steps."""
    model = denoise_check.create_model(config)
    tx = optimizer.create(steps=schedule.steps, **config.optimizer.to_dict())
    parts = {
        "loss_fn": denoise_objective.make_loss(model, denoise_check.create_objective(config)),
        **devices.step_options(config, model, tx, mesh),
    }
    return Network(
        model,
        tx,
        steps.compile_train_step(mesh, **parts),
        steps.compile_train_steps(mesh, **parts),
        compile_score(config, model, mesh),
        mesh,
        schedule,
        parts["layout"],
    )


def compile_score(config: ml_collections.ConfigDict, model: Any, mesh: Any) -> Any:
    """The PSNR of a batch of cases, compiled for the mesh."""
    apply = denoise_objective.make_apply(model, config.ensemble)
    whole, by_example = sharding.replicated(mesh), sharding.by_example(mesh)
    score = jax.jit(
        denoise_objective.make_score(apply, denoise_check.create_noise(config)),
        in_shardings=(whole, whole, by_example, whole),
        out_shardings=whole,
    )
    return steps.together(score, mesh)


def on_own_devices(config: ml_collections.ConfigDict, network: Network) -> Network:
    """Of several processes' network: what one of them scores with alone."""
    if jax.process_count() == 1:
        return network
    mesh = sharding.make_mesh(jax.local_devices())
    score = compile_score(config, network.model, mesh)
    return dataclasses.replace(network, score=score, mesh=mesh)


def train(
    config: ml_collections.ConfigDict,
    data: Data,
    network: Network,
    folder: Path,
    log: record.Record,
    report: Report | None = None,
) -> tuple[dict[str, Any], checkpoint.Progress]:
    """Trains the network, or goes on with it.

    Args:
      report: called after each validation; what it raises ends the training.

    Returns:
      `params` and `batch_stats` of the weights to evaluate (`config.select`), and the progress.
    """
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    image_shape = (*data.images.shape[1:], 1)
    fresh = state.create(
        network.model, network.optimizer, image_shape, init_key, network.mesh, network.layout
    )
    count = len(data.fold.train)
    training = batches.train_batches(
        data.images,
        data.fold.train,
        np.zeros(count, np.int32),
        np.ones(count, np.float32),
        batch_size=config.batch_size,
        seed=config.seed,
        balanced=False,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    cases = validation_cases(config, data)
    side = config.patch or config.data.size
    seen = (side, side, 1)

    def evaluate(current: state.TrainState) -> dict[str, float]:
        part = sharding.whole(checkpoint.evaluated_part(current), network.mesh)
        return validate(config, network, part, cases)

    with devices.checkpoints_of(config, folder) as kept:
        final, progress = loop.fit(
            fresh,
            training,
            step_fn=network.train_step,
            several_fn=network.train_steps,
            evaluate=evaluate,
            monitor="psnr",
            schedule=network.schedule,
            key=train_key,
            mesh=network.mesh,
            checkpoints=kept,
            record=log,
            quiet=config.quiet,
            report=report,
            flops_per_step=config.batch_size * flops.count(network.model, seen).train,
            trace=profile.Trace(folder / "profile", config.profile),
        )
        chosen = sharding.whole(kept.chosen(final, progress, config.select), network.mesh)
    # Of several processes each goes on alone: with arrays that no other is needed for.
    return (jax.device_get(chosen) if jax.process_count() > 1 else chosen), progress


def validation_cases(config: ml_collections.ConfigDict, data: Data) -> Cases:
    """`config.validation_images` images, evenly taken, at each level with the same noise always."""
    rows = data.fold.validation
    count = min(config.validation_images, len(rows))
    rows = rows[np.arange(count) * len(rows) // count]
    levels = denoise_check.validation_levels(config)
    return Cases(
        np.tile(data.images[rows], (len(levels), 1, 1)),
        np.repeat(np.array(levels, np.float32), count),
        np.arange(len(levels) * count, dtype=np.int32),
    )


def validate(
    config: ml_collections.ConfigDict, network: Network, variables: Any, cases: Cases
) -> dict[str, float]:
    """`psnr`, the mean over all levels, and `psnr_LEVEL` of each, in dB."""
    found = scores(config, network, variables, cases)
    figures = {"psnr": float(found.mean())}
    for level in dict.fromkeys(cases.levels.tolist()):
        figures[f"psnr_{level:.6g}"] = float(found[cases.levels == np.float32(level)].mean())
    return figures


def scores(
    config: ml_collections.ConfigDict, network: Network, variables: Any, cases: Cases
) -> NDArray[np.float64]:
    """PSNR [v] of each case, in dB. The noise is of `config.seed` and the case's number alone."""
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    size, parts = config.batch_size, []
    index, count = sharding.share(network.mesh)
    local = size // count
    own = slice(index * local, (index + 1) * local)
    for start in range(0, len(cases.images), size):
        rows = np.minimum(np.arange(start, start + size), len(cases.images) - 1)[own]
        batch: dict[str, NDArray[Any]] = {
            "images": cases.images[rows][..., None],
            "levels": cases.levels[rows],
            "numbers": cases.numbers[rows],
        }
        placed = sharding.to_device(batch, network.mesh)
        parts.append(network.score(variables["params"], variables["batch_stats"], placed, key))
    found = np.concatenate([np.asarray(part) for part in parts])
    return found[: len(cases.images)].astype(np.float64)
