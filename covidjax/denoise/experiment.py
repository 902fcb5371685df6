"""Denoising: split, train one network on noisy images, evaluate it once on Kaggle's TEST."""

import sys
import time
from pathlib import Path
from typing import Any

import jax
import ml_collections

from covidjax.data import manifest, source, splits
from covidjax.data.table import read_table, task_labels
from covidjax.denoise import cases as denoise_cases
from covidjax.denoise import check as denoise_check
from covidjax.denoise import diagnosis as denoise_diagnosis
from covidjax.denoise import report as denoise_report
from covidjax.denoise.train import Data, build, train
from covidjax.runs import results, workdir
from covidjax.runs.prepared import cached_pixels, load_kernels, prepared_data
from covidjax.training import fitting, hosts, record, steps
from covidjax.training.fitting import Network
from tfds_coronahack.paths import expanded

STRATA = "pneumonia"  # the task whose classes the split keeps in balance; nothing else uses labels


def run(config: ml_collections.ConfigDict, folder: Path) -> dict[str, Any]:
    """Runs the experiment and returns what `results.json` holds.

    Raises:
      ValueError and its kind: a config that cannot work, wrong data, a workdir of another run.
      StoppedError, NonFiniteError: see `loop.fit`.
    """
    start = time.time()
    denoise_check.check(config)
    denoise_cases.check(config)
    mesh = fitting.mesh_of(config)
    config, data = load(config)
    phantom = data.prepared.kind == "phantom"
    main = hosts.is_coordinator()
    if phantom and main:
        print(source.phantom_banner(), file=sys.stderr, flush=True)
    classifier = load_classifier(config, data) if config.classifier else None
    network = make_network(config, data, mesh)
    split = manifest.digest([data.fold], data.table)
    with workdir.claim(folder, config, data.prepared, split) as finished:
        if finished:
            found = results.read_results(folder) if main else {}
            same = found.get("evaluated") == denoise_report.evaluation_of(config)
            if hosts.share(same):
                print(f"{folder} is finished: see {folder / 'results.json'}")
                return found
            print("Trained already; evaluated again, as config.evaluate asks for", flush=True)
        print(f"Results go to {folder}", flush=True)
        if main:
            manifest.write(folder / "split.csv", [data.fold], data.table, phantom=phantom)
        counts = [f"{len(getattr(data.fold, part)):,} {part}" for part in splits.PARTS]
        print(f"Images: {', '.join(counts)}", flush=True)
        with record.Record(folder, "PHANTOM" if phantom else "") as log:
            variables, progress = train(config, data, network, folder, log)
        if not main:  # it waits in `hosts.finish`
            return {}
        network = fitting.on_own_devices(network)
        return denoise_report.write(
            config, data, network, variables, progress, folder, start, classifier
        )


def load_classifier(config: ml_collections.ConfigDict, data: Data) -> denoise_diagnosis.Classifier:
    """The classifier of the config, seen before the training whether it fits."""
    rows = denoise_cases.tested_rows(config, data.prepared.kind, data.fold.test)
    return denoise_diagnosis.load(config.classifier, config.data, data.prepared, data.table, rows)


def load(config: ml_collections.ConfigDict) -> tuple[ml_collections.ConfigDict, Data]:
    """The data of a checked config, and the config without `auto`.

    Raises:
      ValueError and its kind: wrong data, a split that cannot be made.
    """
    prepared = prepared_data(config)
    config = fitting.resolved(config, prepared.kind)
    table = read_table(prepared.path)
    labels = task_labels(table, STRATA)
    if config.data.manifest:
        folds = manifest.read(expanded(config.data.manifest), table, labels)
        if len(folds) > 1:
            raise ValueError(
                f"config.data.manifest={config.data.manifest} has {len(folds)} folds; a denoiser "
                "takes one"
            )
    else:
        folds = splits.official(
            table,
            labels,
            validation=config.validation,
            fraction=config.validation_fraction,
            seed=config.seed,
        )
    splits.check_leaks(folds, table, prepared.same_pictures)
    images = cached_pixels(config, prepared)
    return config, Data(prepared, images, table, folds[0])


def make_network(config: ml_collections.ConfigDict, data: Data, mesh: jax.sharding.Mesh) -> Network:
    """The network of a resolved config with its compiled steps, on the fastest kernels."""
    load_kernels(config)
    dispatch = steps.steps_per_dispatch(config.steps_per_dispatch, mesh)
    return build(config, mesh, fitting.make_schedule(config, len(data.fold.train), dispatch))
