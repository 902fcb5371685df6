"""The figures of a run as PNG: curves, confusion, training.

They stay readable without color: splits differ in line style, marker and lightness, and every
legend gives the number of examples. A figure of synthetic data carries the word PHANTOM.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

from covidjax.evidence import operating, ranking
from covidjax.evidence.estimates import group_codes
from covidjax.evidence.metrics import (
    EvaluationError,
    Floats,
    Ints,
    check_predictions,
)
from covidjax.runs import canvas

# Columns of metrics.jsonl that are no figure.
BOOKKEEPING = frozenset(
    {"step", "split", "epoch", "fold", "data", "seed", "time", "seconds", "images_per_second"}
)
# {(split, fold): {figure: {step: value}}}
Lines = dict[tuple[str, Any], dict[str, dict[float, float]]]


class Scored(NamedTuple):
    """One curve's data: which examples [n] are positive, their score, and their group or None."""

    positive: ArrayLike  # bool or 0 and 1, [n]
    scores: ArrayLike  # float [n], probability of the positive class
    groups: ArrayLike | None = None  # [n]; None draws no band


def one_against_rest(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike | None,
    class_names: Sequence[str],
    prefix: str = "",
) -> dict[str, Scored]:
    """One curve a class that the labels hold, named prefix + class; for two, class 1's only."""
    y, p = check_predictions(labels, probabilities)
    classes = [1] if p.shape[1] == 2 else [int(c) for c in np.unique(y)]
    return {f"{prefix}{class_names[c]}": Scored(y == c, p[:, c], groups) for c in classes}


def write_roc(
    path: Path,
    curves: Mapping[str, Scored],
    *,
    phantom: bool,
    title: str,
) -> None:
    """ROC curves with the AUROC in the legend and, where groups are given, 95 % bands.

    The band is the pointwise interval of the sensitivity at a specificity (`operating.rate_at`). A
    curve with one class only is named in the legend as undefined.
    """
    figure = canvas.blank(5.5, 5.5)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.75", linewidth=0.8, label="chance")
    for (name, curve), style in zip(curves.items(), canvas.styles(), strict=False):
        y, s = _checked(name, curve)
        if len(np.unique(y)) < 2:
            canvas.line(axes, [], [], style, f"{_counted(name, y)}: one class, undefined")
            continue
        false, true, _ = sk.roc_curve(y, s)
        text, range_text = f"AUROC {sk.roc_auc_score(y, s):.3f}", ""
        if curve.groups is not None:
            grid, low, high, interval = roc_band(y, s, curve.groups)
            axes.fill_between(grid, low, high, color=style[0], alpha=0.15, linewidth=0)
            range_text = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        canvas.line(axes, false, true, style, f"{_counted(name, y)}\n{text}{range_text}")
    axes.set_xlabel("False positive rate (1 − specificity)")
    axes.set_ylabel("True positive rate (sensitivity)")
    canvas.unit_square(axes)
    axes.legend(loc="lower right", fontsize=8)
    canvas.save(figure, path, title, phantom)


def write_precision_recall(
    path: Path, curves: Mapping[str, Scored], *, phantom: bool, title: str
) -> None:
    """Precision-recall curves as steps, with the average precision in the legend.

    The thin horizontal line of each curve is its share of positives, which is what chance reaches.
    """
    figure = canvas.blank(5.5, 5.5)
    axes = figure.subplots()
    for (name, curve), style in zip(curves.items(), canvas.styles(), strict=False):
        y, s = _checked(name, curve)
        if len(np.unique(y)) < 2:
            canvas.line(axes, [], [], style, f"{_counted(name, y)}: one class, undefined")
            continue
        precision, recall, _ = sk.precision_recall_curve(y, s)
        average = sk.average_precision_score(y, s)
        axes.axhline(y.mean(), color=style[0], linestyle=style[1], linewidth=0.6)
        label = f"{_counted(name, y)}\naverage precision {average:.3f}, chance {y.mean():.3f}"
        canvas.line(axes, recall, precision, style, label, drawstyle="steps-post")
    axes.set_xlabel("Recall (sensitivity)")
    axes.set_ylabel("Precision (positive predictive value)")
    canvas.unit_square(axes)
    if curves:
        axes.legend(loc="lower left", fontsize=8)
    canvas.save(figure, path, title, phantom)


def write_confusion(
    path: Path, matrix: ArrayLike, class_names: Sequence[str], *, phantom: bool, title: str
) -> None:
    """A confusion matrix int [k, k], rows true: counts, and shares of the row as gray."""
    counts = np.asarray(matrix)
    k = len(class_names)
    if counts.shape != (k, k):
        raise EvaluationError(f"the matrix {counts.shape} does not fit {k} classes")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros((k, k)), where=totals > 0)
    figure = canvas.blank(6.2, 5)
    axes = figure.subplots()
    # "auto", for constrained layout cuts the labels of square cells off.
    shown = axes.imshow(shares, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(k, k):
        part = f"\n{100 * shares[row, column]:.1f} %" if totals[row, 0] else ""
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(
            column, row, f"{counts[row, column]}{part}", ha="center", va="center", color=color
        )
    axes.set_xticks(range(k), class_names)
    rows = [f"{name}\n(n={total})" for name, total in zip(class_names, totals[:, 0], strict=True)]
    axes.set_yticks(range(k), rows)
    axes.set_xlabel("Called class (images)")
    axes.set_ylabel("True class (images)")
    figure.colorbar(shown, ax=axes, label="Share of the true class", fraction=0.046)
    canvas.save(figure, path, title, phantom)


def write_training_curves(path: Path, metrics_jsonl: Path, *, phantom: bool, title: str) -> None:
    """One panel a figure of `metrics.jsonl` over the steps, one line a split (and fold).

    Figures of speed are left out. So is a line that a kill cut off, and the title then says so.

    Raises:
      FileNotFoundError: no such file.
    """
    lines, unreadable = _training_lines(metrics_jsonl)
    names = list(dict.fromkeys(name for line in lines.values() for name in line))
    columns = min(3, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure = canvas.blank(4 * columns + 0.5, 3 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    splits = list(dict.fromkeys(split for split, _ in lines))
    styles = dict(zip(splits, canvas.styles(), strict=False))
    steps = [step for line in lines.values() for values in line.values() for step in values]
    for name, axes in zip(names, panels, strict=False):
        for (split, fold), line in lines.items():
            if name not in line:
                continue
            points = np.array(sorted(line[name].items()), dtype=np.float64)
            first = fold == next(f for s, f in lines if s == split and name in lines[s, f])
            canvas.line(axes, points[:, 0], points[:, 1], styles[split], split if first else None)
        axes.set_xlabel("Step (batches)")
        margin = 0.02 * (max(steps) - min(steps)) + 1e-9
        axes.set_xlim(min(steps) - margin, max(steps) + margin)
        axes.set_ylabel(name.replace("_", " "))
        axes.legend(fontsize=8)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    if not names:
        panels[0].text(0.5, 0.5, "no figures were recorded", ha="center")
    note = f" (unreadable lines left out: {unreadable})" if unreadable else ""
    canvas.save(figure, path, title + note, phantom)


def roc_band(
    positive: Ints, scores: Floats, groups: ArrayLike
) -> tuple[Floats, Floats, Floats, list[float] | None]:
    """95 % band of the ROC curve over groups.

    Returns:
      false positive rates [101], lower and upper sensitivity [101] each, and the interval of the
      AUROC; the band is the curve itself and the interval None where one class is in one group.
    """
    codes = group_codes(groups, len(positive))
    grid = np.linspace(0, 1, 101)
    area = ranking.auroc(positive == 1, scores, codes)
    if not area.has_interval:
        false, true, _ = sk.roc_curve(positive, scores)
        curve = np.interp(grid, false, true)
        return grid, curve, curve, None
    points = [
        operating.rate_at(positive == 1, scores, codes, "specificity", 1 - false)[0]
        for false in grid
    ]
    low, high = (np.array([getattr(point, end) for point in points]) for end in ("low", "high"))
    return grid, low, high, [area.low, area.high]


def _training_lines(metrics_jsonl: Path) -> tuple[Lines, int]:
    """The lines, and how many rows were unreadable; of a step recorded twice the later counts."""
    path = Path(metrics_jsonl)
    if not path.is_file():
        raise FileNotFoundError(f"no training record {path}; a run writes it while it trains")
    lines: Lines = {}
    unreadable = 0
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(text)
            step, split = float(row["step"]), str(row["split"])
        except (ValueError, TypeError, KeyError):
            unreadable += 1
            continue
        if split == "speed":
            continue
        line = lines.setdefault((split, row.get("fold")), {})
        for name, value in row.items():
            if name not in BOOKKEEPING and isinstance(value, float | int):
                line.setdefault(name, {})[step] = float(value)
    return lines, unreadable


def _checked(name: str, curve: Scored) -> tuple[Ints, Floats]:
    y, s = np.asarray(curve.positive).astype(np.int64), np.asarray(curve.scores, dtype=np.float64)
    if s.ndim != 1:
        raise EvaluationError(f"{name}: scores must be [n], not {list(s.shape)}")
    try:
        return check_predictions(y, np.stack([1 - s, s], axis=1))[0], s
    except EvaluationError as error:
        raise EvaluationError(f"{name}: {error}") from error


def _counted(name: str, positive: Ints) -> str:
    return f"{name} (n={len(positive)}, {int(positive.sum())} positive)"
