"""The figures of a classifier with their 95 % intervals over groups, in closed form.

Images of one patient are not independent, so every interval counts groups: by an effective number
of examples (rates, AUROC) or by errors summed within groups. Which formula, and how often each
covers the truth for few positives, few groups and AUROCs near 1: `docs/statistics.md`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from covidjax.evidence.estimates import (
    Estimate,
    error_of,
    fewest_groups,
    group_codes,
    influence_of_mean,
    mean_of,
    quantile,
    spread,
)
from covidjax.evidence.metrics import (
    FIGURES,
    Floats,
    Ints,
    call_classes,
    check_predictions,
    classification_metrics,
    squared_errors,
)
from covidjax.evidence.ranking import auroc, average_precision
from covidjax.evidence.rates import f_measure, rate

FEWEST_OF_MEANS = 20  # groups in a class, below which a mean error has no interval that covers


def metrics_with_intervals(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    threshold: ArrayLike | None,
) -> dict[str, dict[str, Any]]:
    """`classification_metrics` with 95 % intervals over groups.

    Args:
      labels, probabilities, threshold: as in `classification_metrics`.
      groups: [n], the patient or examination of each example; text or numbers, none missing.

    Returns:
      {figure: {"value": float, "ci95": [low, high] or None, "n": int}}. `n` is the number of
      examples that the figure is a mean over: the positive ones for a two-class sensitivity, the
      negative ones for a specificity, all otherwise. `ci95` is None where the value is nan, where
      there are fewer than 2 groups, for the figures of `CLASS_FIGURES` where all examples of one
      class are in one group, whose variation cannot be seen, and for the calibration error, which
      has a bias and no interval that covers. Where a class that the figure rests on is in fewer
      than 50 groups, "few_groups" is their number.

    Raises:
      EvaluationError: as `classification_metrics`; groups of another length or missing.
    """
    y, p = check_predictions(labels, probabilities)
    codes = group_codes(groups, len(y))
    estimates = figure_estimates(y, p, threshold, codes)
    return {name: estimates[name].row(_count(name, y, p.shape[1])) for name in FIGURES}


def figure_estimates(
    labels: Ints, probabilities: Floats, threshold: ArrayLike | None, codes: Ints
) -> dict[str, Estimate]:
    """An estimate of each of `FIGURES` from checked predictions, all over the same groups."""
    y, p = labels, probabilities
    group_count = int(codes.max()) + 1 if len(codes) else 0
    undefined = Estimate(np.nan, np.nan, np.nan, np.zeros(group_count))
    found = dict.fromkeys(FIGURES, undefined)
    if len(y) == 0:
        return found
    values = classification_metrics(y, p, threshold)
    found = {name: undefined._replace(value=values[name]) for name in FIGURES}
    if group_count < 2:
        return found
    calls, everything = call_classes(p, threshold), np.ones(len(y), bool)
    found["accuracy"] = rate(calls == y, everything, codes)
    found["brier"] = mean_error(squared_errors(y, p), y, codes)
    present = np.unique(y).tolist()
    if len(present) < 2 or not spread(y, codes):
        return found
    positives = [1] if p.shape[1] == 2 else present
    recalls = {c: rate(calls == c, y == c, codes) for c in present}
    found["balanced_accuracy"] = mean_of(list(recalls.values()))
    found["sensitivity"] = mean_of([recalls[c] for c in positives])
    others = {c: rate(calls != c, y != c, codes) for c in positives}
    found["specificity"] = mean_of(list(others.values()))
    odds = {c: float((y != c).sum() / (y == c).sum()) for c in positives}
    found["f1"] = mean_of([f_measure(recalls[c], others[c], odds[c]) for c in positives])
    found["auroc"] = mean_of([auroc(y == c, p[:, c], codes) for c in positives])
    found["average_precision"] = mean_of(
        [average_precision(y == c, p[:, c], codes) for c in positives]
    )
    # Sums in another order differ in the last digit: the figures are scikit-learn's.
    return {name: part._replace(value=values[name]) for name, part in found.items()}


def mean_error(errors: Floats, labels: Ints, codes: Ints) -> Estimate:
    """The mean of errors [n], 0 or more, such as squared ones; its interval on the log scale.

    None with fewer than 20 groups in a class: a few large errors may not have happened to occur.
    The number of examples of each class is taken as given, as it is for the other figures, and
    Student's t counts the groups that the error comes from.
    """
    group_count = int(codes.max()) + 1
    groups = fewest_groups(labels, codes)
    value, parts = float(errors.mean()), []
    for c in np.unique(labels):
        own = labels == c
        if len(np.unique(codes[own])) > 1:
            part = influence_of_mean(errors[own], codes[own], group_count)
            parts.append(part * own.mean())
    influence = np.sum(parts, axis=0) if parts else np.zeros(group_count)
    if value <= 0 or groups < FEWEST_OF_MEANS:
        return Estimate(value, np.nan, np.nan, influence, groups)
    factor = float(np.exp(quantile(parts, heavy=True) * error_of(influence) / value))
    return Estimate(value, value / factor, value * factor, influence, groups)


def _count(name: str, y: Ints, k: int) -> int:
    if k == 2 and name in ("sensitivity", "specificity"):
        return int((y == (name == "sensitivity")).sum())
    return len(y)
