"""What a study trains: the target's data, read once, and one training run a trial.

All trials of a study see the same number of training images (of pixels where patches are searched),
to a batch, whatever their batch size and patch: none wins by more data. A wider network then costs
more seconds, which the study reports beside the figure; equal seconds would not come out the same
twice. Test images are never read.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_collections

from covidjax.classify import check as classify_check
from covidjax.classify import experiment as classify
from covidjax.classify import train as classify_train
from covidjax.data import manifest, source, splits
from covidjax.data.noise import NOISES
from covidjax.data.table import read_table, task_labels
from covidjax.denoise import check as denoise_check
from covidjax.denoise import experiment as denoise
from covidjax.denoise import train as denoise_train
from covidjax.runs.prepared import cached_pixels, load_kernels, prepared_data
from covidjax.training import fitting, loop, record, sharding, state, steps

# (share of the budget, validation figure); may raise to end the trial.
Report = Callable[[float, float], None]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a trial comes to: the best validation figure, and the number of trained scalars."""

    value: float
    parameters: int


@dataclasses.dataclass(frozen=True)
class Target:
    """What a study needs to know of its target.

    Attributes:
      prepared: the data.
      split: hash of who is trained on and who validates.
      monitor: name of the validation figure, of which more is better, as in `results.json`.
      shown: the same with its unit, for axes.
      task: as in `results.json`.
      images: how many validate.
      budget: training images, or pixels, that each trial sees, in words.
      note: what a reader must know of the split; "" for nothing.
      train: (fields of the trial, its folder, report) -> outcome.
    """

    prepared: source.Prepared
    split: str
    monitor: str
    shown: str
    task: str
    images: int
    budget: str
    note: str
    train: Callable[[Mapping[str, Any], Path, Report], Outcome]


def prepare(config: ml_collections.ConfigDict) -> Target:
    """Reads the data of the config's target.

    Raises:
      ValueError and its kind: a config that cannot work, wrong data.
    """
    return TARGETS[config.tuner.target](config)


def trial_config(
    config: ml_collections.ConfigDict, fields: Mapping[str, Any]
) -> ml_collections.ConfigDict:
    """The target's own config with a trial's fields."""
    made = config.copy_and_resolve_references()
    with made.unlocked():
        made.experiment = made.tuner.experiment
        del made["tuner"]
        made.update_from_flattened_dict(dict(fields))
        made.quiet = True  # the study has its own progress bar
    return made.lock()


def prepare_dae(config: ml_collections.ConfigDict) -> Target:
    """A denoiser: PSNR at the default's validation levels, whatever levels a trial trains on."""
    base = trial_config(config, {})
    denoise_check.check(base)
    mesh = sharding.make_mesh()
    base, data = denoise.load(base)
    side = base.patch or base.data.size
    pixels = base.steps * base.batch_size * side**2
    levels = ",".join(f"{level:.6g}" for level in denoise_check.validation_levels(base))

    def train(fields: Mapping[str, Any], folder: Path, report: Report) -> Outcome:
        given = trial_config(config, {**fields, "noise.validation": levels})
        side = given.patch or given.data.size
        with given.unlocked():
            given.steps = max(1, round(pixels / (given.batch_size * side**2)))
        denoise_check.check(given)
        sharding.check_batch_size(given.batch_size, mesh)
        network = denoise.make_network(given, data, mesh)
        with record.Record(folder, "PHANTOM" if data.prepared.kind == "phantom" else "") as log:
            variables, progress = denoise_train.train(
                given, data, network, folder, log, lambda step, v: report(step / given.steps, v)
            )
        return Outcome(progress.best_value, state.parameter_count(variables["params"]))

    unit = NOISES[base.noise.kind].unit
    return Target(
        data.prepared,
        manifest.digest([data.fold], data.table),
        "psnr",
        f"Validation PSNR (dB), {base.noise.kind} {levels}",
        base.noise.kind,
        min(base.validation_images, len(data.fold.validation)),
        f"{pixels / 1e6:.3g} million training pixels",
        f"validated at levels {levels} ({unit})",
        train,
    )


def spread(
    images: int, batch_size: int, evaluations: int, log_every: int, dispatch: int
) -> loop.Schedule:
    """The schedule that sees `images` training images, to the nearest batch."""
    total = max(1, round(images / batch_size))
    return loop.Schedule(
        steps=total,
        batch_size=batch_size,
        eval_every=max(1, -(-total // evaluations)),
        log_every=log_every,
        steps_per_dispatch=dispatch,
    )


def prepare_cnn(config: ml_collections.ConfigDict) -> Target:
    """The classifier: one fold, one network a trial, AUROC on validation."""
    base = trial_config(config, {})
    classify_check.check(base)
    mesh = sharding.make_mesh()
    prepared = prepared_data(base, quiet=config.quiet)
    base = classify.resolved(base, prepared.kind)
    table = read_table(prepared.path)
    labels = task_labels(table, base.task)
    folds = classify.make_folds(base, table, labels)
    splits.check_leaks(folds, table, prepared.same_pictures)
    fold = folds[0]
    note = ""
    if base.split == "kfold":
        note = (
            f"tuned on the validation images of fold {fold.number}, which other folds test: "
            "cross-validated figures of a network so chosen are optimistic"
        )
    budget = base.epochs * len(fold.train)
    load_kernels(base)
    images = cached_pixels(base, prepared, quiet=config.quiet)
    data = classify_train.Data(prepared, images, labels, table, [fold])

    def train(fields: Mapping[str, Any], folder: Path, report: Report) -> Outcome:
        given = classify.resolved(trial_config(config, fields), prepared.kind)
        classify_check.check(given)
        sharding.check_batch_size(given.batch_size, mesh)
        fitting.make_schedule(given, len(fold.train))  # the batch fits the images
        dispatch = steps.steps_per_dispatch(given.steps_per_dispatch, mesh)
        schedule = spread(budget, given.batch_size, given.evaluations, given.log_every, dispatch)
        network = classify_train.build(given, mesh, schedule)
        with record.Record(folder, "PHANTOM" if prepared.kind == "phantom" else "") as log:
            training = classify_train.Training(given, data, network, folder, log)
            variables, progress = classify_train.fit_member(
                training, fold, 0, lambda step, value: report(step / schedule.steps, value)
            )
        return Outcome(progress.best_value, state.parameter_count(variables["params"]))

    return Target(
        prepared,
        manifest.digest([fold], table),
        "auroc",
        "Validation AUROC",
        base.task,
        len(fold.validation),
        f"{budget:,} training images ({base.epochs} epochs)",
        note,
        train,
    )


# config.tuner.target -> its preparation.
TARGETS: dict[str, Callable[[ml_collections.ConfigDict], Target]] = {
    "cnn": prepare_cnn,
    "dae": prepare_dae,
}
