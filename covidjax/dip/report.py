"""What a Deep Image Prior run leaves: `results.json`, a CSV of the images, figures."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.data.noise import Noise
from covidjax.denoise import denoiser
from covidjax.denoise.measures import classical
from covidjax.denoise.measures.image_quality import psnr, ssim
from covidjax.dip import figures as dip_plots
from covidjax.dip import queue as dip_queue
from covidjax.dip import tasks as dip_tasks
from covidjax.dip.queue import Job
from covidjax.evidence.paired_means import means_with_intervals
from covidjax.locking import temporary
from covidjax.runs import results
from covidjax.runs.flat import listed
from tfds_coronahack.paths import expanded

SHOWN = 4  # images in the figures
Images = NDArray[np.float32]  # [n, height, width]
Columns = dict[str, list[float]]


def comparisons(config: ml_collections.ConfigDict) -> tuple[list[str], str]:
    """The classical methods that can run, and a line about those that cannot.

    Raises:
      ValueError: an unknown one.
    """
    return classical.available(listed(config.compare))


def write(
    config: ml_collections.ConfigDict,
    table: pd.DataFrame,
    pixels: NDArray[np.uint8],
    jobs: Sequence[Job],
    images: Path,
    folder: Path,
    phantom: bool,
    start: float,
) -> dict[str, Any]:
    """Writes everything and prints the table; returns what `results.json` holds.

    Args:
      jobs: all of them done, their files in `images`.
      start: of the run, seconds.
    """
    found = [dip_queue.read(images, job) for job in jobs]
    rows = [row for row in found if row is not None]
    columns, groups = _columns(config, jobs, rows, images)
    notes: dict[str, Any] = {}
    if config.task == "denoise":
        _compare(config, table, pixels, jobs, images, columns, notes)
    key = dip_tasks.named(config)
    figures = means_with_intervals(
        columns, groups, samples=config.bootstrap_samples, seed=config.seed
    )
    named = {f"{name.replace('/', f'/{key}/')}": figure for name, figure in figures.items()}
    _write_table(folder / "images.csv", rows, phantom)
    write_figures(config, jobs, rows, images, folder / "figures", phantom)
    contents = {
        "experiment": "dip",
        "task": config.task,
        "data": "phantom" if phantom else "coronahack",
        **({"warning": results.PHANTOM_WARNING} if phantom else {}),
        "seed": config.seed,
        "seconds": time.time() - start,
        "splits": {config.split: named},
        "stop": stops(rows),
        **notes,
    }
    results.write_results(folder / "results.json", contents)
    print(shown_table(named, phantom), flush=True)
    return results.read_results(folder)


def stops(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How the fits ended, and what the rule cost against the best step of each (the oracle's)."""
    ended: dict[str, int] = {}
    for row in rows:
        ended[row["ended"]] = ended.get(row["ended"], 0) + 1
    gaps = [
        row["oracle_psnr"] - row["psnr"]
        for row in rows
        if row["oracle_psnr"] is not None and row["psnr"] is not None
    ]
    seconds = [row["seconds"] for row in rows]
    found: dict[str, Any] = {
        "fits": len(rows),
        "ended": ended,
        "went_back": sum(row["returns"] for row in rows),
        "mean_stop": float(np.mean([row["stop"] for row in rows])),
        "mean_steps": float(np.mean([row["steps"] for row in rows])),
        "seconds_a_fit": float(np.median(seconds)),
        "gap_db": None,
    }
    if gaps:
        found["gap_db"] = {
            "mean": float(np.mean(gaps)),
            "percentile95": float(np.percentile(gaps, 95)),
            "largest": float(np.max(gaps)),
        }
    return found


def _columns(
    config: ml_collections.ConfigDict,
    jobs: Sequence[Job],
    rows: Sequence[Mapping[str, Any]],
    images: Path,
) -> tuple[Columns, list[str]]:
    """METHOD/FIGURE -> one value an image; and the images' groups. Members are averaged."""
    columns: Columns = {}
    groups = []
    names = {
        "dip/psnr": "psnr",
        "dip/ssim": "ssim",
        "dip/oracle_psnr": "oracle_psnr",
        "dip/last_psnr": "last_psnr",
        "input/psnr": "given_psnr",
        "input/ssim": "given_ssim",
    }
    for first in range(0, len(jobs), config.members):
        part = rows[first : first + config.members]
        groups.append(part[0]["group"])
        for name, field in names.items():
            values = [row[field] for row in part]
            if None not in values:
                columns.setdefault(name, []).append(float(np.mean(values)))
        if config.members > 1 and "dip/psnr" in columns:
            members = [dip_queue.read_arrays(images, job) for job in jobs[first:][: config.members]]
            mean = np.mean([arrays["picture"] for arrays in members], axis=0)
            where = members[0]["counted"]
            clean = members[0]["clean"]
            value = dip_queue.psnr_of(mean[where], clean[where])
            columns.setdefault("dip_ensemble/psnr", []).append(value)
            spread = float(np.std([row["psnr"] for row in part], ddof=1))
            columns.setdefault("dip/psnr_between_seeds", []).append(spread)
    return columns, groups


def _compare(
    config: ml_collections.ConfigDict,
    table: pd.DataFrame,
    pixels: NDArray[np.uint8],
    jobs: Sequence[Job],
    images: Path,
    columns: Columns,
    notes: dict[str, Any],
) -> None:
    """Adds the classical methods and the trained denoiser, on the very same noisy images."""
    methods: dict[str, Callable[[Images], Images]] = {}
    noise = Noise(config.noise.kind)
    names, line = comparisons(config)
    if line:
        print(line, flush=True)
    if names:
        clean, noisy = _tuning_images(config, table, pixels, jobs)
        tuned = {name: classical.tune(name, clean, noisy, noise, config.level) for name in names}
        methods |= {name: found.denoise for name, found in tuned.items()}
        notes["compared"] = {name: found.parameters for name, found in tuned.items()}
    if config.denoiser:
        trained = denoiser.load_denoiser(expanded(config.denoiser))
        low, high = trained.config.noise.low, trained.config.noise.high
        if trained.noise.kind != config.noise.kind or not low <= config.level <= high:
            print(f"{config.denoiser} was trained on other noise: {trained.noise.kind}", flush=True)
        methods[f"dae_{trained.name}"] = trained
    for job in jobs[:: config.members]:
        arrays = dip_queue.read_arrays(images, job)
        for name, method in methods.items():
            picture = np.asarray(method(arrays["given"][None]))
            truth = arrays["clean"][None]
            columns.setdefault(f"{name}/psnr", []).append(float(psnr(truth, picture)[0]))
            columns.setdefault(f"{name}/ssim", []).append(float(ssim(truth, picture)[0]))
    for name in methods:
        differences = np.subtract(columns["dip/psnr"], columns[f"{name}/psnr"])
        columns[f"dip/psnr_above_{name}"] = differences.tolist()


def _tuning_images(
    config: ml_collections.ConfigDict,
    table: pd.DataFrame,
    pixels: NDArray[np.uint8],
    jobs: Sequence[Job],
) -> tuple[Images, Images]:
    """Clean and noisy images of TRAIN, none of them of this run's patients."""
    groups = {job.group for job in jobs}
    free = (table["kaggle_split"] == "TRAIN") & ~table["group"].astype(str).isin(groups)
    rows = np.random.default_rng(config.data_seed).permutation(np.flatnonzero(free.to_numpy()))
    clean, noisy = [], []
    for row in rows[: config.tune_images]:
        key = jax.random.fold_in(jax.random.key(config.seed), int(row))
        problem = dip_tasks.problem_of(config, pixels, int(row), key)
        clean.append(np.asarray(problem.target.clean)[..., 0])
        noisy.append(problem.given)
    return np.stack(clean), np.stack(noisy)


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]], phantom: bool) -> None:
    """One line a fit; a phantom's say so in the column `data`."""
    frame = pd.DataFrame(rows)
    if not phantom:
        frame = frame.drop(columns="data")
    with temporary(path) as file:
        frame.to_csv(file, index=False, lineterminator="\n")


def write_figures(
    config: ml_collections.ConfigDict,
    jobs: Sequence[Job],
    rows: Sequence[Mapping[str, Any]],
    images: Path,
    folder: Path,
    phantom: bool,
) -> None:
    """Curves and pictures of the first images, spread maps of ensembles, animations."""
    firsts = list(range(0, len(jobs), config.members))[:SHOWN]
    arrays = [dip_queue.read_arrays(images, jobs[index]) for index in firsts]
    names = [jobs[index].image for index in firsts]
    stopped = [rows[index]["stop"] for index in firsts]
    dip_plots.write_curves(
        folder / "curves.png",
        names,
        arrays,
        stopped,
        phantom=phantom,
        title=f"Deep Image Prior, {config.task}",
    )
    dip_plots.write_pictures(
        folder / "pictures.png",
        names,
        arrays,
        phantom=phantom,
        title=f"Deep Image Prior, {dip_tasks.named(config).replace('/', ' ')}",
    )
    if config.members > 1:
        stacks = [
            np.stack(
                [
                    dip_queue.read_arrays(images, job)["picture"]
                    for job in jobs[index : index + config.members]
                ]
            )
            for index in firsts
        ]
        cleans = [part["clean"] for part in arrays]
        path = folder / "spread.png"
        dip_plots.write_spread(path, names, stacks, cleans, phantom=phantom)
    if config.frames:
        for index in firsts:
            name = jobs[index].name
            with np.load(images / f"{name}-frames.npz") as kept:
                frames = kept["frames"]
            path = folder / f"{name}.gif"
            dip_plots.write_animation(path, frames, config.frames, phantom=phantom)


def shown_table(figures: Mapping[str, Mapping[str, Any]], phantom: bool) -> str:
    """The figures, one a line."""
    width = max(map(len, figures), default=0)
    lines = [f"{name:<{width}}  {results.shown(figure)}" for name, figure in figures.items()]
    n = next(iter(figures.values()))["n"] if figures else 0
    mark = "PHANTOM: these are not patients\n" if phantom else ""
    return f"{mark}Means over {n} images with 95 % intervals\n" + "\n".join(lines)
