"""Deep Image Prior: fits a network to each image of a queue, and compares what comes out."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.data import source
from covidjax.data.table import read_table
from covidjax.denoise import denoiser
from covidjax.dip import engine as dip_engine
from covidjax.dip import fit as dip_fit
from covidjax.dip import queue as dip_queue
from covidjax.dip import report as dip_report
from covidjax.dip import tasks as dip_tasks
from covidjax.dip import warm as dip_warm
from covidjax.models.unet import UNETS
from covidjax.runs import config as fields
from covidjax.runs import results, workdir
from covidjax.runs.prepared import cached_pixels, load_kernels, prepared_data
from covidjax.training import record

KAGGLE = {"test": "TEST", "validation": "TRAIN"}


def run(config: ml_collections.ConfigDict, folder: Path) -> dict[str, Any]:
    """Runs the experiment and returns what `results.json` holds.

    Raises:
      ValueError and its kind: a config that cannot work, wrong data, a workdir of another run.
      StoppedError: by a signal; finished images stay, the same command does the others.
    """
    start = time.time()
    check(config)
    prepared = prepared_data(config)
    phantom = prepared.kind == "phantom"
    if phantom:
        print(source.phantom_banner(), file=sys.stderr, flush=True)
    table = read_table(prepared.path)
    rows = choose(table, config.split, config.images, config.data_seed)
    chosen = table.iloc[rows]
    jobs = list(
        dip_queue.make_jobs(rows.tolist(), chosen["image"], chosen["group"], config.members)
    )
    init = ""
    weights = None
    if config.init:
        weights = dip_warm.load(config.init, shapes_of(config), list(chosen["image"]))
        init = f"{len(weights.images)} images"
    if config.denoiser:
        denoiser.load_denoiser(config.denoiser)  # what is wrong with it is said before the fits
    with workdir.claim(folder, config, prepared, init) as finished:
        if finished:
            print(f"{folder} is finished: see {folder / 'results.json'}")
            return results.read_results(folder)
        print(f"Results go to {folder}", flush=True)
        load_kernels(config)
        pixels = cached_pixels(config, prepared)
        engine = make_engine(config)
        with record.Record(folder, "PHANTOM" if phantom else "") as log:
            if config.reptile.rounds:
                weights = learn(config, table, rows, pixels, engine, folder, phantom, log)
            work = make_work(config, pixels, engine, weights, folder, phantom, log)
            done = sum(dip_queue.read(work.folder, job) is not None for job in jobs)
            with record.progress_bar(len(jobs), done, "Fitting", config.quiet) as bar:
                dip_queue.run_all(work, jobs, config.at_once, lambda _: bar.update(1))
        return dip_report.write(config, table, pixels, jobs, work.folder, folder, phantom, start)


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError for what can be seen without the data: one line that names the field."""
    fields.check(config)
    if config.frames % config.chunk:
        raise ValueError(
            f"config.frames={config.frames} must be a multiple of config.chunk={config.chunk}"
        )
    dip_tasks.check_sizes(config.task, config.data.size, config.factor)
    if config.init and config.reptile.rounds:
        raise ValueError("config.init and config.reptile.rounds: give one of the two")
    warm = config.init or config.reptile.rounds
    if warm and config.task == "denoise" and config.stop.rule != "none":
        raise ValueError(
            f"config.stop.rule={config.stop.rule} ends a warm start far too late: give "
            "--config.stop.rule=none --config.steps=140"
        )
    try:
        shapes_of(config)
    except ValueError as error:
        raise ValueError(f"config.data.size, config.model.scales: {error}") from error
    if config.task == "denoise":
        dip_report.comparisons(config)


def choose(
    table: pd.DataFrame, split: str, count: int, seed: int, field: str = "images"
) -> NDArray[np.int64]:
    """Rows of images of Kaggle's TEST, or for "validation" of TRAIN; one of each group.

    Raises:
      ValueError: there are fewer; names the config's field that asked for so many.
    """
    part = np.flatnonzero((table["kaggle_split"] == KAGGLE[split]).to_numpy())
    order = np.random.default_rng([seed, len(part)]).permutation(part)
    _, first = np.unique(table["group"].to_numpy()[order].astype(str), return_index=True)
    single = order[np.sort(first)]
    if count > len(single):
        raise ValueError(
            f"config.{field}={count} is more than the {len(single)} patients of {KAGGLE[split]}"
        )
    return single[:count]


def make_model(config: ml_collections.ConfigDict) -> Any:
    """The network of the config."""
    fields = config.model.to_dict()
    return UNETS[fields.pop("name")](**fields)


def make_recipe(config: ml_collections.ConfigDict) -> dip_fit.Recipe:
    """How the config fits."""
    return dip_fit.Recipe(
        steps=config.steps,
        learning_rate=config.optimizer.learning_rate,
        perturbation=config.perturbation,
        average=config.average,
        rule=config.stop.rule,
        window=config.stop.window,
        share=config.stop.share,
        tolerance=config.stop.tolerance,
        patience=config.stop.patience,
        chunk=config.chunk,
    )


def make_engine(config: ml_collections.ConfigDict) -> dip_engine.Engine:
    """The compiled parts of the config."""
    measure = dip_tasks.measurement(config.task, config.data.size, config.factor)
    return dip_engine.make_engine(make_model(config), make_recipe(config), measure)


def shapes_of(config: ml_collections.ConfigDict) -> Any:
    """Of the network's parameters."""
    sides = (1, config.data.size, config.data.size, dip_fit.Recipe.channels)
    inputs = jax.ShapeDtypeStruct(sides, jnp.float32)
    return jax.eval_shape(make_model(config).init, jax.random.key(0), inputs)["params"]


def make_work(
    config: ml_collections.ConfigDict,
    pixels: NDArray[np.uint8],
    engine: dip_engine.Engine,
    weights: dip_warm.Weights | None,
    folder: Path,
    phantom: bool,
    log: record.Record,
) -> dip_queue.Work:
    """What all fits of the config share."""
    sides = (config.data.size, config.data.size)

    def begin(key: jax.Array) -> tuple[jax.Array, Any]:
        if weights is None:
            return dip_fit.make_input(key, sides, engine.recipe), None
        return dip_fit.make_input(weights.input_key, sides, engine.recipe), weights.params

    def on_chunk(job: dip_queue.Job, done: int, figures: dict[str, float]) -> None:
        shown = {"loss": figures["loss"]}
        if np.isfinite(figures["variance"]):  # else the rule has not seen enough yet
            shown["variance"] = figures["variance"]
        if config.task != "inpaint":
            shown["psnr"] = float(-10 * np.log10(figures["error"]))
        log.write(done, config.split, shown, job.name)

    def keep(job: dip_queue.Job, fitted: dip_fit.Fitted, input_key: jax.Array) -> None:
        if config.save_weights and not (folder / dip_warm.FILE).exists():
            # Weights are of use with their input alone, and know the images of those before them.
            key = input_key if weights is None else weights.input_key
            seen = () if weights is None else weights.images
            own = dip_warm.Weights(fitted.params, key, (*seen, job.image))
            dip_warm.save(folder, own, phantom=phantom)

    return dip_queue.Work(
        engine,
        config.seed,
        partial(dip_tasks.problem_of, config, pixels),
        begin,
        folder / "images",
        phantom,
        config.frames,
        on_chunk,
        keep,
    )


def learn(
    config: ml_collections.ConfigDict,
    table: pd.DataFrame,
    rows: NDArray[np.int64],
    pixels: NDArray[np.uint8],
    engine: dip_engine.Engine,
    folder: Path,
    phantom: bool,
    log: record.Record,
) -> dip_warm.Weights:
    """Reptile's weights from TRAIN, without the run's own images and their patients."""
    if (folder / dip_warm.FILE).exists():
        return dip_warm.load(f"{dip_warm.RUN}{folder}", shapes_of(config))
    used = set(table["group"].iloc[rows])
    free = table.index[~table["group"].isin(used).to_numpy()]
    left = table.loc[free].reset_index(drop=True)
    others = choose(left, "validation", config.reptile.images, 1, "reptile.images")
    chosen = np.asarray(free)[others]
    key = jax.random.key(config.seed)
    input_key, learn_key = jax.random.split(jax.random.fold_in(key, len(table)))
    sides = (config.data.size, config.data.size)
    measure = dip_tasks.measurement(config.task, config.data.size, config.factor)
    targets = [
        lambda row=row: dip_tasks.known_target(dip_tasks.clean_picture(pixels, row), measure)
        for row in chosen
    ]
    label = "Reptile"
    with record.progress_bar(config.reptile.rounds, 0, label, config.quiet) as bar:

        def on_round(done: int, loss: float) -> None:
            log.write(done, "train", {"loss": loss}, "reptile")
            bar.update(1)

        params = dip_warm.reptile(
            engine,
            dip_fit.make_input(input_key, sides, engine.recipe),
            targets,
            learn_key,
            rounds=config.reptile.rounds,
            steps=config.reptile.steps,
            rate=config.reptile.rate,
            on_round=on_round,
        )
    names = tuple(map(str, table["image"].iloc[chosen]))
    weights = dip_warm.Weights(params, input_key, names)
    dip_warm.save(folder, weights, phantom=phantom)
    return weights
