"""The figures of a hyperparameter search: history, importances, parallel coordinates, Pareto front.

They stay readable without color: states differ in marker and filling, the best and the default in
line style and weight. Figures of synthetic data carry the word PHANTOM.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from covidjax.runs import canvas

BEST, DEFAULT = "#e07b39", "#2f55a4"


class Point(NamedTuple):
    """One trial; `value` of a pruned one is its last figure, nan where it has none."""

    number: int
    state: str  # complete, pruned, failed
    value: float
    fields: Mapping[str, Any]  # searched field -> number or text
    parameters: int | None = None
    cpu_seconds: float | None = None
    seconds: float | None = None
    default: bool = False


def front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Indices of the Pareto front, by cost: none is both cheaper and at least as good."""
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -values[i]))
    found: list[int] = []
    for index in order:
        if not found or values[index] > values[found[-1]]:
            found.append(index)
    return found


def write_history(
    path: Path, points: Sequence[Point], *, shown: str, phantom: bool, title: str
) -> None:
    """Each trial's figure in the order of the trials, and the best so far as a line."""
    figure = canvas.blank(7, 4.6)
    axes = figure.subplots()
    ended = _complete(points)
    cut = [p for p in points if p.state == "pruned" and math.isfinite(p.value)]
    failed = [p for p in points if p.state == "failed" or not math.isfinite(p.value)]
    low, high = _window(ended + cut)
    for kind, label, marker, color in (
        (ended, "complete", "o", "black"),
        (cut, "pruned, at its last evaluation", "x", "0.55"),
    ):
        at = [(p.number, p.value) for p in kind if low <= p.value]
        text = f"{label} (n={len(kind)})"
        axes.scatter(*_columns(at), label=text, zorder=3, marker=marker, color=color, s=26)
    below = [(p.number, low) for p in ended + cut if p.value < low]
    if below:
        axes.scatter(
            *_columns(below),
            marker="v",
            facecolor="white",
            edgecolor="0.4",
            s=26,
            zorder=3,
            label=f"of these, below the axis (n={len(below)})",
        )
    if failed:
        axes.scatter(
            *_columns([(p.number, low) for p in failed]),
            marker="+",
            color="black",
            s=40,
            zorder=3,
            label=f"failed (n={len(failed)})",
        )
    best = np.maximum.accumulate([p.value for p in ended]) if ended else np.array([])
    last = max((p.number for p in points), default=0)
    if ended:
        axes.step(
            [*(p.number for p in ended), last],
            [*best, best[-1]],
            where="post",
            color=BEST,
            linewidth=1.6,
            label=f"best so far ({best[-1]:.4f})",
        )
    for point in (p for p in ended if p.default):
        label = f"the default ({point.value:.4f})"
        axes.axhline(point.value, color=DEFAULT, linestyle="--", linewidth=1.2, label=label)
    margin = 0.06 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("Trial (number)")
    axes.set_ylabel(shown)
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    canvas.save(figure, path, title, phantom)


def write_importances(
    path: Path,
    importances: Mapping[str, Mapping[str, Any]],
    *,
    shown: str,
    phantom: bool,
    title: str,
) -> None:
    """Shares of the variance that each field explains, of the two figures of `importances`."""
    about = {"complete": "at the end, complete trials", "first": "at the first evaluation"}
    drawn = {name: found for name, found in importances.items() if found["shares"]}
    names = sorted(
        {field for found in drawn.values() for field in found["shares"]},
        key=lambda field: max(found["shares"][field] for found in drawn.values()),
    )
    figure = canvas.blank(7, 1.9 + 0.42 * max(3, len(names)))
    axes = figure.subplots()
    looks = {"complete": ("black", ""), "first": ("white", "////")}
    for place, (name, found) in enumerate(drawn.items()):
        heights = np.arange(len(names)) + (0.2 if place == 0 else -0.2) * (len(drawn) > 1)
        values = [found["shares"][field] for field in names]
        color, hatch = looks[name]
        axes.barh(
            heights,
            values,
            height=0.38,
            color=color,
            edgecolor="black",
            linewidth=0.8,
            hatch=hatch,
            label=f"{shown} {about[name]} (n={found['n']})",
        )
    if names:
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set_xlim(left=0)
        figure.legend(loc="outside lower center", ncols=1, fontsize=8)
    else:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "too few trials", ha="center", va="center", transform=axes.transAxes)
    axes.set_xlabel("Share of the variance explained (fANOVA)")
    axes.grid(axis="x", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    canvas.save(figure, path, title, phantom)


def write_parallel(
    path: Path, study: optuna.Study, *, shown: str, phantom: bool, title: str
) -> None:
    """Each complete trial as a line over the searched fields, dark where its figure is high."""
    with canvas.of_pyplot(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its figures experimental
        axes = optuna.visualization.matplotlib.plot_parallel_coordinate(study, target_name=shown)
        axes.set_title("")
        figure = axes.get_figure()
        assert isinstance(figure, Figure)
        figure.set_size_inches(max(7, 1.3 * len(axes.get_xticks()) + 2), 5.2)
        canvas.save(figure, path, f"{title} (complete trials, n={len(study.trials)})", phantom)


def write_pareto(
    path: Path,
    points: Sequence[Point],
    *,
    shown: str,
    phantom: bool,
    title: str,
    on_cpu: bool = True,
) -> None:
    """The figure against trained parameters and against seconds, each with its Pareto front.

    On CPUs the seconds are those of the processor, all cores together: those of the clock hold
    whatever else the machine did.
    """
    figure = canvas.blank(9.5, 4.8)
    time = "cpu_seconds" if on_cpu else "seconds"
    about = "CPU seconds" if on_cpu else "Seconds"
    labels = {
        "parameters": "Trained parameters (number)",
        time: f"{about} of the trial, with compiling (s)",
    }
    ended = _complete(points)
    low, high = _window(ended)
    for number, (axes, (name, label)) in enumerate(
        zip(figure.subplots(1, 2, sharey=True), labels.items(), strict=True)
    ):
        known = [p for p in ended if getattr(p, name) and p.value >= low]
        costs = [float(getattr(p, name)) for p in known]
        axes.set_xscale("log")
        values = [float(p.value) for p in known]
        axes.scatter(costs, values, s=24, color="0.6", label=f"complete trial (n={len(ended)})")
        _draw_front(axes, known, costs)
        marked = [(c, p.value) for c, p in zip(costs, known, strict=True) if p.default]
        axes.scatter(
            *_columns(marked), marker="D", s=44, color=DEFAULT, zorder=4, label="the default"
        )
        axes.set_xlabel(label)
        _few_ticks(axes, costs)
        axes.grid(color="0.92", linewidth=0.6)
        axes.set_axisbelow(True)
        if number == 0:
            axes.set_ylabel(shown)
            axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
            figure.legend(
                *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8
            )
    canvas.save(figure, path, title, phantom)


def _draw_front(axes: Axes, known: Sequence[Point], costs: Sequence[float]) -> None:
    """The Pareto front, with the number of each of its trials."""
    values = [float(p.value) for p in known]
    best = front(costs, values)
    axes.plot(
        [costs[i] for i in best],
        [values[i] for i in best],
        color=BEST,
        marker="o",
        markersize=7,
        markerfacecolor="white",
        linewidth=1.4,
        drawstyle="steps-post",
        label="Pareto front",
    )
    for i in best:
        axes.annotate(
            f"{known[i].number}",
            (costs[i], values[i]),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )


def _complete(points: Sequence[Point]) -> list[Point]:
    return [p for p in points if p.state == "complete" and math.isfinite(p.value)]


def _window(points: Sequence[Point]) -> tuple[float, float]:
    """Limits that show the better trials apart, and the default: hopeless ones set no scale."""
    values = np.array([p.value for p in points])
    if not len(values):
        return 0.0, 1.0
    high = float(values.max())
    low = max(float(values.min()), high - 2 * (high - float(np.median(values))))
    low = min([low, *(p.value for p in points if p.default)])
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _few_ticks(axes: Axes, values: Sequence[float]) -> None:
    """Three round labels on a logarithmic axis that may span less than a decade."""
    if not values:
        return
    low, high = min(values), max(values)
    if low == high:
        low, high = low * 0.8, high * 1.25
    axes.set_xlim(low * (low / high) ** 0.06, high * (high / low) ** 0.06)
    places = np.geomspace(low, high, 4)
    rounded = [float(f"{place:.2g}") for place in places]
    axes.xaxis.set_major_locator(FixedLocator(rounded))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(
        rounded, [f"{value:,.0f}" if value >= 10 else f"{value:g}" for value in rounded]
    )


def _columns(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
