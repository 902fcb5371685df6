"""The tables of denoisers, of Deep Image Prior and of searches."""

from collections.abc import Mapping, Sequence
from typing import Any

from covidjax.denoise.measures.image_quality import LARGER_IS_BETTER
from covidjax.report import words
from covidjax.report.markdown import Grid, code, listing, md
from covidjax.report.tables import Column, Row, compared, shown
from covidjax.runs.folder import Run, is_figure

FIGURES = {"psnr": "PSNR (dB)", "ssim": "SSIM", "ms_ssim": "MS-SSIM", "gmsd": "GMSD"}
DIGITS = {"psnr": 2}  # else 3
ALL_DIP = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "oracle_psnr": "PSNR at the best step (dB)",
    "last_psnr": "PSNR at the last step (dB)",
}
Key = tuple[Any, ...]


def gains(runs: Sequence[Run]) -> list[tuple[Run, str, str, Mapping[str, Any]]]:
    """Run, kind of noise, level, and the PSNR of the network above BM3D's."""
    found = []
    for run in runs:
        name = str(run.results.get("network", {}).get("name", run.setting("model.name", "")))
        for key, figure in run.results["splits"].get("test", {}).items():
            parts = key.split("/")
            if len(parts) == 4 and parts[0] == f"{name}_minus_bm3d" and parts[3] == "psnr":
                found.append((run, parts[1].replace("_", " "), parts[2], figure))
    return found


def denoising(runs: Sequence[Run]) -> list[Grid]:
    """A table for each kind of noise and figure: methods by levels; then the differences."""
    found = []
    for place, (key, some) in enumerate(_sets(runs).items(), 1):
        kind, size, n = key[:3]
        for figure, title in FIGURES.items():
            rows, levels = _methods(some, kind, figure)
            if not rows:
                continue
            about = md(
                "{title}, {kind} noise, {n} TEST images at {size} px; columns: level "
                "({unit}). Means with 95 % intervals over patients.{better}",
                title=title,
                kind=str(kind).replace("_", " "),
                n=f"{n:,}" if isinstance(n, int) else "the",
                size=str(size),
                unit=words.level_unit(kind),
                better="" if LARGER_IS_BETTER[figure] else " Smaller is better.",
            )
            columns = [
                Column(level, level, LARGER_IS_BETTER[figure], DIGITS.get(figure, 3))
                for level in levels
            ]
            name = f"denoise-{place}-{figure.replace('_', '-')}"
            found.append(compared(name, about, ("run", "method"), rows, columns))
    return found + _differences(runs) + _diagnosis(runs)


def _sets(runs: Sequence[Run]) -> dict[Key, list[Run]]:
    """Runs that were measured on as many of the same images, a set a kind of noise."""
    found: dict[Key, list[Run]] = {}
    for run in runs:
        kinds: dict[str, Any] = {}
        for name, figure in run.results["splits"].get("test", {}).items():
            if name.count("/") == 3:
                kinds.setdefault(name.split("/")[1], figure.get("n"))
        for kind, n in kinds.items():
            key = (kind, run.setting("data.size", "?"), n, *words.data_key(run))
            found.setdefault(key, []).append(run)
    return found


def _methods(runs: Sequence[Run], kind: str, figure: str) -> tuple[list[Row], list[str]]:
    """A row a run and method, its levels' figures; and all levels."""
    rows = []
    levels: dict[str, None] = {}
    for run in runs:
        methods: dict[str, dict[str, Any]] = {}
        for name, value in run.results["splits"]["test"].items():
            parts = name.split("/")
            if len(parts) == 4 and parts[1] == kind and parts[3] == figure:
                if "_minus_" not in parts[0]:
                    methods.setdefault(parts[0], {})[parts[2]] = value
                levels[parts[2]] = None
        for method, figures in methods.items():
            lead = (code(run.name), words.method(method))
            rows.append(Row(lead, figures, (), run.phantom))
    return rows, list(levels)


def _differences(runs: Sequence[Run]) -> list[Grid]:
    """Paired differences between the network and BM3D, PSNR."""
    rows: list[list[str]] = []
    some = []
    for run in runs:
        for name, value in run.results["splits"].get("test", {}).items():
            parts = name.split("/")
            if len(parts) == 4 and "_minus_" in parts[0] and parts[3] == "psnr":
                share = run.results["splits"]["test"].get("/".join((*parts[:3], "share_better")))
                case = f"{parts[1].replace('_', ' ')}, {parts[2]}"
                row = [words.method(parts[0]), case, shown(value, 2), shown(share)]
                rows.append([code(run.name), *row])
                some.append(run)
    if not rows:
        return []
    about = md(
        "Paired differences on the same noisy images, 95 % intervals over patients; share: of "
        "images on which the network's PSNR is the higher one."
    )
    columns = ("run", "what", "noise, level", "PSNR (dB)", "share better")
    return [listing("differences", about, columns, rows, any(r.phantom for r in some))]


def _diagnosis(runs: Sequence[Run]) -> list[Grid]:
    """What a classifier says of clean, noisy and denoised radiographs."""
    found = []
    some = [run for run in runs if isinstance(run.results.get("diagnosis"), Mapping)]
    for place, run in enumerate(some, 1):
        facts = run.results["diagnosis"]
        rows = []
        clean = facts.get("clean", {})
        if is_figure(clean.get("auroc")):
            rows.append(Row(("clean", ""), clean, (), run.phantom))
        for case, methods in facts.get("cases", {}).items():
            for method, figures in methods.items():
                kept = {
                    name: figure
                    for name, figure in figures.items()
                    if is_figure(figure) and figure["value"] is not None
                }
                lead = (case.replace("_", " ").replace("/", ", "), words.method(method))
                rows.append(Row(lead, kept, (), run.phantom))
        about = md(
            "Is the diagnosis kept? What the classifier of {task} makes of the images of {run}: "
            "its AUROC, what is lost of the clean images' AUROC, the share of calls that change, "
            "and the share of the noise's loss that denoising regains (given where the noise "
            "costs something).",
            task=words.task(str(facts.get("task", ""))),
            run=code(run.name),
        )
        columns = [
            Column("auroc", "AUROC", None),
            Column("lost", "AUROC lost", None),
            Column("flips", "calls that flip", None),
            Column("regained", "regained", None),
        ]
        found.append(
            compared(f"diagnosis-{place}", about, ("noise, level", "method"), rows, columns)
        )
    return found


def priors(runs: Sequence[Run]) -> list[Grid]:
    """Deep Image Prior beside what it was compared with, a table a task."""
    found = []

    def key(run: Run) -> Key:
        split = next(iter(run.results["splits"]), "")
        figures: Mapping[str, Any] = run.results["splits"].get(split, {})
        n = next((figure.get("n") for figure in figures.values()), None)
        case = next(("/".join(name.split("/")[1:-1]) for name in figures), "")
        return (case, split, n, run.setting("data.size", "?"), *words.data_key(run))

    for place, (about_key, some) in enumerate(words.grouped(runs, key).items(), 1):
        case, split, n, size = about_key[:4]
        rows = []
        for run in some:
            methods: dict[str, dict[str, Any]] = {}
            for name, figure in run.results["splits"].get(split, {}).items():
                parts = name.split("/")
                methods.setdefault(parts[0], {})[parts[-1]] = figure
            for method, figures in methods.items():
                lead = (code(run.name), words.method(method))
                rows.append(Row(lead, figures, (), run.phantom))
        about = md(
            "Deep Image Prior, {case}: means over {n} of {split} at {size} px, 95 % "
            "intervals over patients. The best and the last step are looked up in the clean image.",
            case=str(case).replace("/", " ").replace("_", " ") or "no figures",
            n=words.counted(n, "image") if isinstance(n, int) else "no images",
            split=words.SPLITS.get(split, split),
            size=str(size),
        )
        columns = [
            Column(
                name, title, True if name in ("psnr", "ssim") else None, 3 if name == "ssim" else 2
            )
            for name, title in ALL_DIP.items()
        ]
        found.append(compared(f"dip-{place}", about, ("run", "method"), rows, columns))
    return found


def searches(runs: Sequence[Run]) -> list[Grid]:
    """What each search found over its defaults, on validation."""
    rows: list[list[str | int]] = []
    for run in runs:
        figures = run.results["splits"].get("validation", {})
        names = [name.partition("/")[2] for name in figures if name.startswith("best/")]
        trials = run.results.get("trials", {})
        for name in names:
            digits = DIGITS.get(name, 3)
            cells = [
                shown(figures.get(f"{kind}/{name}"), digits) for kind in ("default", "best", "gain")
            ]
            counts = f"{trials.get('complete', '?')} of {trials.get('total', '?')}"
            target = code(run.results.get("target", ""))
            rows.append([code(run.name), target, counts, name, *cells])
    if not rows:
        return []
    about = md(
        "Hyperparameter searches, on validation images. The best was chosen by this figure, so it "
        "is optimistic; the default's is not."
    )
    columns = ("run", "target", "trials finished", "figure", "default", "best found", "gain")
    return [listing("searches", about, columns, rows, any(r.phantom for r in runs))]
