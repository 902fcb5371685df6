"""Training of a denoiser: its data, its compiled steps, and validation at fixed noise."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import pandas as pd
from jax.sharding import Mesh
from numpy.typing import NDArray

from covidjax.data import source, splits
from covidjax.denoise import check as denoise_check
from covidjax.denoise import loss
from covidjax.training import checkpoint, fitting, loop, record, sharding, steps
from covidjax.training.chunks import in_chunks
from covidjax.training.fitting import Network

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


class Cases(NamedTuple):
    """What validation denoises: uint8 [v, size, size], level and number (of the noise) of each."""

    images: NDArray[np.uint8]
    levels: NDArray[np.float32]
    numbers: NDArray[np.int32]


def build(config: ml_collections.ConfigDict, mesh: Mesh, schedule: loop.Schedule) -> Network:
    """The network and its compiled steps; its `predict` is the PSNR of a batch of cases."""
    model = denoise_check.create_model(config)
    loss_fn = loss.make_loss(model, denoise_check.create_objective(config))

    def compile_score(mesh: Mesh) -> Callable[..., jax.Array]:
        apply = loss.make_apply(model, config.ensemble)
        whole, by_example = sharding.replicated(mesh), sharding.by_example(mesh)
        score = jax.jit(
            loss.make_score(apply, denoise_check.create_noise(config)),
            in_shardings=(whole, whole, by_example, whole),
            out_shardings=whole,
        )
        return steps.together(score, mesh)

    return fitting.build(config, mesh, schedule, model, loss_fn, compile_score)


def train(
    config: ml_collections.ConfigDict,
    data: Data,
    network: Network,
    folder: Path,
    log: record.Record,
    report: Report | None = None,
) -> tuple[fitting.Variables, checkpoint.Progress]:
    """Trains the network, or resumes.

    Args:
      report: called after each validation; what it raises ends the training.

    Returns:
      `params` and `batch_stats` of the weights to evaluate (`config.select`), and the progress.
    """
    cases = validation_cases(config, data)
    task = fitting.Task(
        fitting.training_batches(config, data.images, data.fold.train, seed=config.seed),
        lambda variables: validate(config, network, variables, cases),
        "psnr",
        jax.random.key(config.seed),
        report=report,
    )
    fresh = fitting.fresh_state(config, network, task.key)
    with fitting.checkpoints_of(config, folder) as kept:
        final, progress = fitting.fit(config, network, task, fresh, kept, folder, log)
        chosen = fitting.chosen(config, network, kept, final, progress)
    # Of several processes each continues alone: with arrays that no other is needed for.
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

    def score(rows: NDArray[np.int64]) -> jax.Array:
        batch: dict[str, NDArray[Any]] = {
            "images": cases.images[rows][..., None],
            "levels": cases.levels[rows],
            "numbers": cases.numbers[rows],
        }
        placed = sharding.to_device(batch, network.mesh)
        return network.predict(variables["params"], variables["batch_stats"], placed, key)

    share = sharding.share(network.mesh)
    return in_chunks(score, len(cases.images), config.batch_size, share).astype(np.float64)
