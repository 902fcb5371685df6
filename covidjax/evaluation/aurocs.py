"""AUROCs of several scores of the same examples, resampled together so that they can be compared.

All scores see the same resamples of groups, those of `intervals.metrics_with_intervals` with the
same seed: a score's value and interval here are those of the run's `results.json`.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from covidjax.evaluation.intervals import drawn_figures, group_codes, percentiles
from covidjax.evaluation.metrics import (
    EvaluationError,
    Floats,
    check_predictions,
    classification_metrics,
)


class Resampled(NamedTuple):
    """An AUROC (macro one-against-rest for more than two classes) and that of each resample.

    `drawn` is float [samples], or None where the variation cannot be seen: one class only, or all
    examples of a class in one group.
    """

    value: float
    drawn: Floats | None
    n: int


def resampled_aurocs(
    labels: ArrayLike,
    probabilities: Mapping[str, ArrayLike],
    groups: ArrayLike,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Resampled]:
    """The AUROC of each score of the same examples, on the same resamples of groups.

    Args:
      labels: int [n].
      probabilities: a name and float [n, k] each.
      groups: [n], patient or examination.
      samples: number of resamples, at least 2.
      seed: of the resampling.

    Raises:
      EvaluationError: as `intervals.metrics_with_intervals`.
    """
    if samples < 2:
        raise EvaluationError(f"samples must be at least 2, not {samples}")
    found = {}
    for name, probability in probabilities.items():
        y, p = check_predictions(labels, probability)
        value = classification_metrics(y, p, None)["auroc"]
        codes = group_codes(groups, len(y))
        drawn = drawn_figures(y, p, None, codes, samples, seed).get("auroc")
        found[name] = Resampled(value, None if math.isnan(value) else drawn, len(y))
    return found


def auroc_figure(score: Resampled) -> dict[str, Any]:
    """`{"value", "ci95": [low, high] or None, "n"}`, as in `results.json`."""
    interval = None if score.drawn is None else percentiles(score.drawn)
    return {"value": score.value, "ci95": interval, "n": score.n}


def difference_figure(score: Resampled, other: Resampled) -> dict[str, Any]:
    """score - other of the same examples, `{"value", "ci95", "n"}`, paired."""
    interval = None
    if score.drawn is not None and other.drawn is not None:
        interval = percentiles(score.drawn - other.drawn)
    return {"value": score.value - other.value, "ci95": interval, "n": score.n}
