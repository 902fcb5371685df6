"""Two models' predictions: the figures' differences over groups, and McNemar's test."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from covidjax.evidence.delong import delong_test
from covidjax.evidence.estimates import difference, group_codes
from covidjax.evidence.intervals import figure_estimates
from covidjax.evidence.metrics import (
    EvaluationError,
    call_classes,
    check_predictions,
)
from covidjax.evidence.predictions import Predicted


def paired_differences(a: Predicted, b: Predicted) -> dict[str, Any]:
    """Compares two models' predictions of the same images, in the same order; a - b.

    Every image is called at the threshold that its own network came with.

    Returns:
      {"figures": of `figure_differences`, "mcnemar": of `mcnemar`} and, for two classes with two
      examples each or more, "delong": of `delong_test`.
    """
    if not np.array_equal(a.names, b.names) or not np.array_equal(a.labels, b.labels):
        raise EvaluationError("paired predictions must be of the same images in the same order")
    found: dict[str, Any] = {
        "figures": figure_differences(a, b, together=True),
        "mcnemar": mcnemar(
            call_classes(a.probabilities, a.thresholds) == a.labels,
            call_classes(b.probabilities, b.thresholds) == b.labels,
        ),
    }
    if a.probabilities.shape[1] == 2 and np.bincount(a.labels, minlength=2).min() > 1:
        found["delong"] = delong_test(a.labels, a.probabilities[:, 1], b.probabilities[:, 1])
    return found


def figure_differences(a: Predicted, b: Predicted, *, together: bool) -> dict[str, dict[str, Any]]:
    """The figures of a and of b, and a - b with its 95 % interval over groups.

    Args:
      a, b: predictions; of the same images in the same order for `together`.
      together: the difference is paired, with the groups of a; else the two are independent.

    Returns:
      {figure: {"a": {"value", "ci95"}, "b": {...}, "difference": {...}}}; `ci95` is None as in
      `metrics_with_intervals`.
    """
    sides = []
    for side in (a, b):
        y, p = check_predictions(side.labels, side.probabilities)
        codes = group_codes(a.groups if together else side.groups, len(y))
        sides.append(figure_estimates(y, p, side.thresholds, codes))
    same = together and np.array_equal(a.probabilities, b.probabilities)
    same = same and np.array_equal(np.asarray(a.thresholds), np.asarray(b.thresholds))
    result = {}
    for name in sides[0]:
        one, other = sides[0][name], sides[1][name]
        columns = (one, other, difference(one, other, paired=together, same=same))
        result[name] = {
            key: {part: row for part, row in estimate.row(0).items() if part != "n"}
            for key, estimate in zip(("a", "b", "difference"), columns, strict=True)
        }
    return result


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> dict[str, Any]:
    """Exact McNemar test of two models' calls, right or wrong, bool [n] each.

    It takes every image for independent, as DeLong's test does.

    Returns:
      {"only_a_right", "only_b_right": counts, "p"}: the two-sided binomial probability of so uneven
      a split of the images that one model alone is right on; 1 where there are none.
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise EvaluationError(f"calls must be [n] both, not {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return {"only_a_right": only_a, "only_b_right": only_b, "p": p}
