"""Confidence intervals by a bootstrap over groups, all resamples computed together.

A resample draws as many groups as there are, with replacement, and keeps every image of a drawn
group: images of one patient are not independent, and resampling them one by one would give
intervals that are too narrow (Field and Welsh 2007, "Bootstrapping clustered data"). A resample is
held as one integer weight an example, so that a figure of 2,000 resamples is a few array
operations.

What a percentile interval does not do: where the model is right about every example, each
resample is too, and the interval is [1, 1]; it does not mean certainty (0 errors in m
independent examples are compatible with an error rate of about 3 / m). And the calibration error,
a mean of absolute values, is larger in resamples than in the data: its interval lies to the right,
and may lie above the value of a well calibrated model.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from covidjax.evaluation.metrics import (
    CLASS_FIGURES,
    ECE_BINS,
    FIGURES,
    EvaluationError,
    Floats,
    Ints,
    calibration_terms,
    call_classes,
    check_predictions,
    classification_metrics,
    squared_errors,
)

CELLS = 1_000_000  # weights held at a time: 8 MB an array, stays near the processor's cache


def metrics_with_intervals(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    threshold: ArrayLike | None,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """`classification_metrics` with 95 % percentile bootstrap intervals over groups.

    A resample that lacks one of the classes of `labels` is drawn again. The result depends on
    `seed` and not on the order of the examples.

    Args:
      labels, probabilities, threshold: as in `classification_metrics`.
      groups: [n], the patient or examination of each example; text or numbers, none missing.
      samples: number of resamples, at least 2.
      seed: of the resampling.

    Returns:
      {figure: {"value": float, "ci95": [low, high] or None, "n": int}}. `n` is the number of
      examples that the figure is a mean over: the positive ones for a two-class sensitivity, the
      negative ones for a specificity, all otherwise. `ci95` is None where the value is nan, where
      there are fewer than 2 groups, and for the figures of `CLASS_FIGURES` where all examples of
      one class are in one group, whose variation cannot be seen.

    Raises:
      EvaluationError: as `classification_metrics`; groups of another length or missing.
    """
    if samples < 2:
        raise EvaluationError(f"samples must be at least 2, not {samples}")
    y, p = check_predictions(labels, probabilities)
    codes = group_codes(groups, len(y))
    values = classification_metrics(y, p, threshold)
    result: dict[str, dict[str, Any]] = {
        name: {"value": value, "ci95": None, "n": _count(name, y, p.shape[1])}
        for name, value in values.items()
    }
    drawn = drawn_figures(y, p, threshold, codes, samples, seed)
    for name, draws in drawn.items():
        if not np.isnan(values[name]):
            result[name]["ci95"] = percentiles(draws)
    return result


def drawn_figures(
    labels: Ints,
    probabilities: Floats,
    threshold: ArrayLike | None,
    codes: Ints,
    samples: int,
    seed: int,
) -> dict[str, Floats]:
    """The figures of `samples` resamples of checked predictions, {figure: [samples]}.

    Two models on the same labels, codes and seed get the same resamples: the difference of their
    figures is a paired one. Figures that have no interval (see `metrics_with_intervals`) are left
    out.
    """
    if len(labels) == 0 or codes.max() == 0:
        return {}
    parts = [
        weighted_figures(labels, probabilities, threshold, weights)
        for weights in resampled_weights(labels, codes, samples, seed)
    ]
    hidden = () if spread(labels, codes) else CLASS_FIGURES
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in FIGURES
        if name not in hidden
    }


def spread(labels: Ints, codes: Ints) -> bool:
    """Whether every class of labels [n] is in two groups or more, so that its variation shows."""
    return all(len(np.unique(codes[labels == c])) > 1 for c in np.unique(labels))


def percentiles(draws: Floats) -> list[float]:
    """The 95 % interval of draws [samples]; nan draws (a part without examples) are left out."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return [float(low), float(high)]


def group_codes(groups: ArrayLike, n: int) -> Ints:
    """groups as indices int64 [n] of the sorted distinct groups, or EvaluationError."""
    values = np.asarray(groups)
    if values.shape != (n,):
        raise EvaluationError(f"groups must be [{n}], one an example, not {list(values.shape)}")
    codes = pd.factorize(values, sort=True)[0].astype(np.int64)
    if (codes < 0).any():
        raise EvaluationError(
            f"{int((codes < 0).sum())} of {n} examples have no group, the first is example "
            f"{int(np.argmax(codes < 0))}; give an image without a known patient a group of its own"
        )
    return codes


def resampled_weights(labels: Ints, codes: Ints, samples: int, seed: int) -> Iterator[Floats]:
    """Weights [s, n] of `samples` resamples in all, in pieces: how often each example is drawn.

    Every resample holds every class of `labels`; one that does not is drawn again.
    """
    rng = np.random.default_rng(seed)
    group_count = int(codes.max()) + 1
    # holds[c, g]: group g has an example of class c
    holds = np.zeros((int(labels.max()) + 1, group_count))
    holds[labels, codes] = 1
    holds = holds[holds.any(axis=1)]
    piece = max(1, min(samples, CELLS // len(labels)))
    left = samples
    while left > 0:
        draws = rng.integers(0, group_count, (piece, group_count))
        draws += group_count * np.arange(piece)[:, None]
        tallies = np.bincount(draws.ravel(), minlength=piece * group_count)
        counts: Floats = tallies.reshape(piece, group_count).astype(np.float64)
        complete = (counts @ holds.T > 0).all(axis=1)
        counts = counts[complete][:left]
        left -= len(counts)
        yield counts[:, codes]


def weighted_figures(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike | None,
    weights: ArrayLike,
) -> Mapping[str, Floats]:
    """The figures of `classification_metrics` for many weightings at once.

    Args:
      labels, probabilities, threshold: as in `classification_metrics`.
      weights: float [s, n], not negative, each row with a sum above 0.

    Returns:
      {figure: float [s]}. The macro means run over the classes of `labels`; a figure is nan in the
      rows that give one of these classes no weight, and those of `CLASS_FIGURES` are nan where
      `labels` hold one class.
    """
    y, p = check_predictions(labels, probabilities)
    w = np.asarray(weights, dtype=np.float64)
    if w.ndim != 2 or w.shape[1] != len(y):
        raise EvaluationError(f"weights must be [s, {len(y)}], not {list(w.shape)}")
    calls = call_classes(p, threshold)
    sums = w @ _summands(y, p, calls)
    k, total = p.shape[1], w.sum(axis=1)
    cells, errors, gaps = np.split(sums, [k * k, k * k + 1], axis=1)
    present = np.unique(y)
    confusion = cells.reshape(len(w), k, k)
    figures = _confusion_figures(confusion, present)
    figures |= {
        "brier": errors[:, 0] / total,
        "ece": np.abs(gaps).sum(axis=1) / total,
    }
    positives = [1] if k == 2 else present
    if len(present) > 1:
        areas = [ranking_areas(y == c, p[:, c], w) for c in positives]
        figures["auroc"] = np.mean([area for area, _ in areas], axis=0)
        figures["average_precision"] = np.mean([precision for _, precision in areas], axis=0)
    else:
        figures |= {name: np.full(len(w), np.nan) for name in CLASS_FIGURES}
    return {name: figures[name] for name in FIGURES}


def cumulated(
    positive: NDArray[np.bool_], scores: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """Weight of the true and of the false positives, [s, d + 1] each, as the threshold falls.

    Column 0 calls nothing; column j calls the j highest of the d distinct scores, so that equal
    scores are called together.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    ordered = weights[:, order]
    called = np.cumsum(ordered, axis=1)[:, ends]
    true = np.cumsum(ordered * positive[order], axis=1)[:, ends]
    return np.pad(true, ((0, 0), (1, 0))), np.pad(called - true, ((0, 0), (1, 0)))


def ranking_areas(
    positive: NDArray[np.bool_], scores: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """AUROC and average precision, [s] each, for weights [s, n]; nan where a class has no weight.

    AUROC is the trapezoid area, which counts tied pairs as half (Hanley and McNeil 1982); average
    precision is the sum over thresholds of (recall step) * precision, without interpolation.
    """
    true, false = cumulated(positive, scores, weights)
    gained = np.diff(true, axis=1)
    called = true[:, 1:] + false[:, 1:]
    middle = (true[:, 1:] + true[:, :-1]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (np.diff(false, axis=1) * middle).sum(axis=1) / (true[:, -1] * false[:, -1])
        terms = np.divide(true[:, 1:], called, out=np.zeros_like(called), where=called > 0)
        precision = (gained * terms).sum(axis=1) / true[:, -1]
    return area, np.where(false[:, -1] > 0, precision, np.nan)


def _summands(y: Ints, p: Floats, calls: Ints) -> Floats:
    """[n, k * k + 1 + 15]: confusion cell, Brier term, and calibration gap in its bin."""
    n, k = p.shape
    columns = np.zeros((n, k * k + 1 + ECE_BINS))
    rows = np.arange(n)
    columns[rows, y * k + calls] = 1
    columns[:, k * k] = squared_errors(y, p)
    bins, gaps = calibration_terms(y, p, calls)
    columns[rows, k * k + 1 + bins] = gaps
    return columns


def _confusion_figures(confusion: Floats, present: Ints) -> dict[str, Floats]:
    """The figures of calls from confusion weights [s, k, k], [s] each."""
    total = confusion.sum(axis=(1, 2))
    hits = np.einsum("scc->sc", confusion)
    actual, called = confusion.sum(axis=2), confusion.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / actual
        others = total[:, None] - actual
        specificity = (others - (called - hits)) / others
        f1 = 2 * hits / (actual + called)
    positives = [1] if confusion.shape[1] == 2 else list(present)
    return {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": recall[:, present].mean(axis=1),
        "sensitivity": recall[:, positives].mean(axis=1),
        "specificity": specificity[:, positives].mean(axis=1),
        "f1": np.where(np.isnan(recall[:, positives]), np.nan, f1[:, positives]).mean(axis=1),
    }


def _count(name: str, y: Ints, k: int) -> int:
    if k == 2 and name in ("sensitivity", "specificity"):
        return int((y == (name == "sensitivity")).sum())
    return len(y)
