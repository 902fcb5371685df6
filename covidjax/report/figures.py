"""Which of the runs' figures the draft shows, with their captions; and the one that it draws."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from covidjax.evidence.predictions import TESTED
from covidjax.report import words
from covidjax.report.markdown import Figure
from covidjax.report.tables_classify import comparable, struck
from covidjax.runs import canvas
from covidjax.runs.folder import Run

PNG = b"\x89PNG\r\n\x1a\n"
# Name of the file, or its beginning -> what it shows. In the order they are shown.
CLASSIFY: Mapping[str, str] = {
    "roc": "ROC curves: sensitivity against the false positive rate, with 95 % bands over patients",
    "precision_recall": "Precision against recall",
    "confusion_test": "Confusion matrix on Kaggle's TEST",
    "confusion_out_of_fold": "Confusion matrix over all folds",
    "confusion_external": "Confusion matrix on images of another folder",
    "folds": "The figures of each fold",
    "training": "Training and validation figures over the steps",
}
AUDIT: Mapping[str, str] = {
    "audit": "AUROC of the network beside inputs that hold no lung, with 95 % intervals",
    "saliency": "Grad-CAM of tested images beside the images themselves",
    "occlusion": "Change of the score where a patch of the image is covered",
}
CALIBRATION: Mapping[str, str] = {
    "reliability": "Predicted probability against the share that came true, in bins of "
    "equally many images, as the networks give it and by the map of validation",
    "predictive_values": "Positive and negative predictive value over the assumed prevalence",
    "decision_curve": "Net benefit over the threshold probability, beside acting on all or nobody",
}
DENOISE: Mapping[str, str] = {
    "psnr_": "Mean PSNR of each method over the level of the noise, with 95 % intervals",
    "denoised_": "Clean, noisy and denoised images, and what each method left",
    "gains_": "PSNR of the network above that of the reference method, image by image",
    "auroc_": "AUROC of the classifier on clean, noisy and denoised images",
    "spectra_": "Power spectrum of what is left of the noise",
}
DIP: Mapping[str, str] = {
    "curves": "PSNR over the steps of fitting, with the stop marked",
    "pictures": "What was given, what came out, and the clean picture",
    "spread": "Standard deviation between fits of one image beside the error",
}
TUNE: Mapping[str, str] = {
    "history": "The figure of each trial in the order of the search, and the best so far",
    "importances": "Share of the figure's variance that each field explains",
    "pareto": "The figure against what a trial cost",
}
RESULTS = {"classify": CLASSIFY, "denoise": DENOISE, "dip": DIP, "tune": TUNE}


def is_png(path: Path) -> bool:
    """Whether the file begins as a PNG does."""
    try:
        with path.open("rb") as file:
            return file.read(8) == PNG and path.stat().st_size > 33
    except OSError:
        return False


def of_run(run: Run, wanted: Mapping[str, str], most: int) -> list[Figure]:
    """The run's figures among those wanted, in their order; `most` of them at most."""
    try:
        there = sorted((run.folder / "figures").glob("*.png"))
    except OSError:
        return []
    found = []
    for beginning, what in wanted.items():
        for path in there:
            exact = path.stem == beginning
            alike = beginning.endswith("_") and path.stem.startswith(beginning)
            if (exact or alike) and is_png(path):
                found.append(_figure(run, path, what, path.stem.removeprefix(beginning)))
    return found[:most]


def of_runs(
    runs: Sequence[Run], wanted: Mapping[str, Mapping[str, str]], most: int
) -> list[Figure]:
    """The figures of several runs, by the experiment of each."""
    return [figure for run in runs for figure in of_run(run, wanted.get(run.experiment, {}), most)]


def _figure(run: Run, path: Path, what: str, kind: str) -> Figure:
    """One figure; its caption says of which run, data and size of sample it is."""
    task = str(run.results.get("task", ""))
    about = words.task(task) if run.experiment == "classify" else task.replace("_", " ")
    detail = f", {kind.replace('_', ' ')} noise" if kind else ""
    n = _sample(run)
    size = f", n = {n:,}" if n else ""
    mark = "PHANTOM. " if run.phantom else ""
    text = f"{mark}{what}{detail}. Run {run.name} ({about}, {words.network(run)}{size})."
    if run.experiment == "tune":
        text = f"{mark}{what}. Search {run.name} ({about})."
    alt = f"{mark}{what}{detail}, of the run {run.name}. The numbers are in the tables."
    return Figure(f"{words.safe(run.name)}-{path.stem.replace('_', '-')}", path, None, text, alt)


def _sample(run: Run) -> int | None:
    for split in TESTED:
        first: Mapping[str, Any] = next(
            iter(run.results.get("splits", {}).get(split, {}).values()), {}
        )
        if isinstance(first.get("n"), int):
            return first["n"]
    return None


def draw(runs: Sequence[Run], folder: Path) -> list[Figure]:
    """Draws AUROC and interval of all classifiers, real and phantom ones apart, where two are."""
    found = []
    for phantom in (False, True):
        some = [run for run in runs if run.phantom == phantom]
        found += _drawn(some, folder, phantom)
    return found


def _drawn(runs: Sequence[Run], folder: Path, phantom: bool) -> list[Figure]:
    rows: list[tuple[str, Run, str]] = []
    for (task, split, *_), some in comparable(runs).items():
        for run in some:
            figure = run.results["splits"][split].get("auroc")
            if figure and figure["value"] is not None:
                rows.append((f"{task}, {words.SPLITS[split]}", run, split))
    if len(rows) < 2:
        return []
    name = "all-auroc-phantom" if phantom else "all-auroc"
    path = folder / f"{name}.png"
    _forest(path, rows, phantom)
    marks = " Hollow: struck through, its image's border alone comes near it."
    mark = "PHANTOM. " if phantom else ""
    caption = (
        f"{mark}AUROC of all {len(rows)} classifiers with 95 % "
        "intervals over patients, by task and test set; n: tested images."
        + (marks if any(struck(run) for _, run, _ in rows) else "")
    )
    alt = f"{mark}A row for each of {len(rows)} runs: its AUROC and interval, as in the tables."
    return [Figure(name, path, None, caption, alt)]


def _forest(path: Path, rows: Sequence[tuple[str, Run, str]], phantom: bool) -> None:
    groups = list(dict.fromkeys(group for group, _, _ in rows))
    lines = len(rows) + len(groups)
    figure = canvas.blank(8.0, 1.3 + 0.27 * lines)
    axes = figure.subplots()
    ticks, names, place = [], [], 0.0
    lows = []
    for group, style in zip(groups, canvas.styles(), strict=False):
        ticks.append(place)
        names.append(group)
        place += 1
        for _, run, split in (row for row in rows if row[0] == group):
            auroc = run.results["splits"][split]["auroc"]
            low, high = auroc["ci95"] or (auroc["value"], auroc["value"])
            lows.append(low)
            axes.plot([low, high], [place, place], color=style[0], linewidth=1.6)
            face = "white" if struck(run) else style[0]
            axes.plot(
                auroc["value"], place, style[2], color=style[0], markerfacecolor=face, markersize=6
            )
            ticks.append(place)
            short = run.name if len(run.name) <= 34 else f"...{run.name[-31:]}"
            names.append(f"{short} (n = {auroc['n']:,})")
            place += 1
    axes.set_yticks(ticks, names, fontsize=8)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in groups else "normal")
    axes.set_ylim(place - 0.3, -0.7)
    left = min(lows)
    axes.set_xlim(np.floor(max(left - 0.02, 0.0) * 20) / 20, 1.005)
    if left < 0.5:
        axes.axvline(0.5, color="0.5", linewidth=0.9, linestyle="--")
        axes.text(0.5, -0.75, "chance", fontsize=7, ha="center", va="bottom", color="0.3")
    axes.set_xlabel("AUROC, 95 % interval over patients", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    canvas.save(figure, path, "Classifiers", phantom)
