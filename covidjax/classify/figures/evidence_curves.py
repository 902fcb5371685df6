"""The figures of the evidence as PNG: reliability, predictive values, decision curve, intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from covidjax.evidence import recalibration
from covidjax.runs import canvas, results

# Figures between 0 and 1 where more is better, in the order they are drawn.
DRAWN = (
    *("auroc", "average_precision", "accuracy", "balanced_accuracy"),
    *("sensitivity", "specificity", "f1"),
)


def write_evidence_figures(
    folder: Path, found: Mapping[str, Any], *, phantom: bool, title: str
) -> None:
    """Writes `reliability.png` and, where `found` (of `evidence`) has the key,
    `predictive_values.png`, `decision_curve.png` and `folds.png` into the folder."""
    shared: dict[str, Any] = {"phantom": phantom, "title": title}
    write_reliability(folder / "reliability.png", found["calibration"], **shared)
    if "predictive_values" in found:
        write_predictive_values(
            folder / "predictive_values.png", found["predictive_values"], **shared
        )
    if "decision_curve" in found:
        write_decision_curve(folder / "decision_curve.png", found["decision_curve"], **shared)
    if "folds" in found:
        write_folds(folder / "folds.png", found["folds"], found["across_folds"], **shared)


def write_reliability(
    path: Path, calibration: Mapping[str, Any], *, phantom: bool, title: str
) -> None:
    """Reliability diagrams before and after calibration, of `evidence`'s `calibration`.

    Bins hold equally many images; a bin's mark stands at its mean predicted probability, with the
    95 % interval of the share that came true.
    """
    figure = canvas.blank(8.5, 4.9)
    panels = figure.subplots(1, 2, sharey=True)
    names = ("As they come", recalibration.described(calibration["map"]))
    for axes, name, key in zip(panels, names, ("before", "after"), strict=True):
        figures = calibration[key]
        curve = {field: np.array(column, float) for field, column in figures["curve"].items()}
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
        axes.vlines(curve["predicted"], curve["low"], curve["high"], color="0.5", linewidth=1)
        axes.plot(curve["predicted"], curve["observed"], "o-", color="black", linewidth=0.8)
        shown = [
            f"{word} {results.shown(figures[figure])}"
            for figure, word in (("observed_expected", "O/E"), ("slope", "slope"))
        ]
        axes.set_title("\n".join([name, *shown]), fontsize=9)
        canvas.unit_square(axes)
        axes.set_xlabel(f"Predicted probability ({len(curve['n'])} bins of equally many images)")
    panels[0].set_ylabel("Share that came true, 95 % interval")
    canvas.save(figure, path, title, phantom)


def write_predictive_values(
    path: Path, values: Mapping[str, Any], *, phantom: bool, title: str
) -> None:
    """PPV and NPV with their bands over the assumed prevalence, of `predictive_values`."""
    figure = canvas.blank(5.5, 5.5)
    axes = figure.subplots()
    prevalence = values["prevalence"]
    names = {"ppv": "PPV: called positive, is positive", "npv": "NPV: called negative, is negative"}
    for (key, name), style in zip(names.items(), canvas.styles(), strict=False):
        _band(axes, prevalence, values[key], style, name)
    axes.plot(prevalence, prevalence, color="0.6", linewidth=0.8, label="prevalence (no test)")
    canvas.unit_square(axes)
    axes.set_xscale("log")
    axes.set_xlim(prevalence[0], prevalence[-1])
    axes.set_xticks([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))
    axes.set_xlabel("Assumed prevalence (%)")
    axes.set_ylabel("Predictive value, 95 % band")
    rates = f"sensitivity {values['sensitivity']:.3f}, specificity {values['specificity']:.3f}"
    figure.legend(loc="outside lower center", fontsize=8, title=rates, title_fontsize=8)
    canvas.save(figure, path, title, phantom)


def write_decision_curve(
    path: Path, curve: Mapping[str, Any], *, phantom: bool, title: str
) -> None:
    """Net benefit of the model, of acting on everybody and on nobody, of `decision_curve`."""
    figure = canvas.blank(5.5, 5.5)
    axes = figure.subplots()
    model, everybody, nobody = (style for style, _ in zip(canvas.styles(), range(3), strict=False))
    thresholds, prevalence = curve["threshold"], curve["prevalence"]
    _band(axes, thresholds, curve["model"], model, "the model")
    canvas.line(axes, thresholds, curve["all"], everybody, "act on everybody")
    canvas.line(axes, thresholds, np.zeros(len(thresholds)), nobody, "act on nobody")
    axes.set_xlim(0, 1)
    # Acting on everybody falls without bound; what matters is near and above zero.
    axes.set_ylim(-0.25 * prevalence, 1.1 * prevalence)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("Threshold probability from which one acts")
    axes.set_ylabel("Net benefit (true positives an image)")
    figure.legend(
        loc="outside lower center",
        ncols=3,
        fontsize=8,
        title=f"{100 * prevalence:.1f} % of these images are positive",
        title_fontsize=8,
    )
    canvas.save(figure, path, title, phantom)


def write_folds(
    path: Path,
    folds: Mapping[str, Mapping[str, float]],
    across: Mapping[str, Mapping[str, float]],
    *,
    phantom: bool,
    title: str,
) -> None:
    """Each fold's figures as marks of their own, beside the pooled figure and the folds' mean.

    The folds stand one below the other, so that equal ones can be told apart.
    """
    names = [name for name in DRAWN if name in across]
    heights = np.linspace(-0.36, 0.12, len(folds))
    figure = canvas.blank(6, (0.4 + 0.11 * len(folds)) * len(names) + 1.8)
    axes = figure.subplots()
    rows = np.arange(len(names))
    for index, (fold, figures) in enumerate(folds.items()):
        axes.plot(
            [figures[name] for name in names],
            rows + heights[index],
            linestyle="",
            color="0.3",
            marker=f"${fold.removeprefix('fold')}$",
            markersize=6,
            linewidth=0,
            label="each fold, by its number" if index == 0 else None,
        )
    for key, style, size, name in (
        ("mean", "|", 12, "mean of the folds"),
        ("pooled", "o", 6, "all images pooled"),
    ):
        axes.plot(
            [across[figure][key] for figure in names],
            rows + 0.3,
            linestyle="",
            color="black",
            marker=style,
            markersize=size,
            markerfacecolor="none",
            label=name,
        )
    _rows(axes, names, "Value")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    canvas.save(figure, path, title, phantom)


def write_intervals(
    path: Path,
    figures: Mapping[str, Mapping[str, Mapping[str, Any]]],
    names: Sequence[str],
    *,
    phantom: bool,
    title: str,
) -> None:
    """Two runs' figures with their intervals, and beside them the difference, one row a figure.

    Args:
      figures: of `differences.figure_differences`.
      names: what to call a and b.
    """
    rows = [name for name in DRAWN if name in figures]
    figure = canvas.blank(8.5, 0.5 * len(rows) + 1.8)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    styles = canvas.styles()
    for key, name, height in (("a", names[0], -0.14), ("b", names[1], 0.14)):
        _whiskers(left, [figures[row][key] for row in rows], height, next(styles), name)
    differences = [figures[row]["difference"] for row in rows]
    _whiskers(right, differences, 0, ("#000000", "-", "o"), None)
    right.axvline(0, color="0.6", linewidth=0.8)
    _rows(left, rows, "Value, 95 % interval")
    right.grid(color="0.9", linewidth=0.6)
    right.set_axisbelow(True)
    right.set_xlabel("Difference, 95 % interval")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    canvas.save(figure, path, title, phantom)


def _band(
    axes: Axes, x: Sequence[float], curve: Mapping[str, Any], style: canvas.Style, name: str
) -> None:
    if curve["low"] is not None:
        low, high = (np.array(curve[edge], float) for edge in ("low", "high"))
        axes.fill_between(x, low, high, color=style[0], alpha=0.15, linewidth=0)
    canvas.line(axes, x, np.array(curve["value"], float), style, name)


def _whiskers(
    axes: Axes,
    entries: Sequence[Mapping[str, Any]],
    height: float,
    style: canvas.Style,
    name: str | None,
) -> None:
    heights = np.arange(len(entries)) + height
    edges = np.array([entry["ci95"] or [np.nan, np.nan] for entry in entries], float)
    values = np.array([entry["value"] for entry in entries], float)
    axes.hlines(heights, edges[:, 0], edges[:, 1], color=style[0], linewidth=1.4)
    axes.plot(values, heights, linestyle="", color=style[0], marker=style[2], label=name)


def _rows(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
