"""Two classes: what a threshold gives, and what its calls mean at an assumed prevalence."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidjax.evidence.estimates import Estimate, group_codes, spread
from covidjax.evidence.metrics import EvaluationError, Floats, Ints, check_predictions
from covidjax.evidence.ranking import called_counts
from covidjax.evidence.rates import rate

LEVELS = (0.90, 0.95)
# From screening (1 in 1,000) to the share in this kind of data set.
PREVALENCES = (
    *(0.001, 0.0015, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07),
    *(0.1, 0.15, 0.2, 0.3, 0.4, 0.5),
)
# Share 0.9 of 10 negatives is 1 false positive, not 0.9999999.
ROUNDING = 1e-9


def operating_points(
    labels: ArrayLike, probabilities: ArrayLike, groups: ArrayLike
) -> dict[str, dict[str, Any]]:
    """Sensitivity at a specificity of at least 0.90 and 0.95, and the reverse, read off the ROC.

    The points are those that a threshold reaches, without interpolation. The threshold is looked
    up in the labels themselves: these figures describe the ranking, and their intervals hold the
    error of the threshold too (see `rate_at`).

    Args:
      labels: int [n], 0 or 1.
      probabilities: float [n, 2].
      groups: [n], patient or examination.

    Returns:
      {"sensitivity_at_specificity_0.90": {"value", "ci95", "n", "threshold"}, ...}; class 1 is
      called from `threshold` on (inf: never). Empty where the labels hold one class. `ci95` is None
      where a class is in one group.

    Raises:
      EvaluationError: what `check_predictions` and `group_codes` refuse; more than two classes.
    """
    y, p = _two_classes(labels, probabilities)
    codes = group_codes(groups, len(y))
    if len(np.unique(y)) < 2:
        return {}
    positive, score = y == 1, p[:, 1]
    # Halfway to the next lower score, which gives the same calls.
    falling = np.unique(score)[::-1]
    cuts = np.concatenate([[np.inf], (falling + np.append(falling[1:], falling[-1])) / 2])
    found = {}
    for of, fixed in (("sensitivity", "specificity"), ("specificity", "sensitivity")):
        for level in LEVELS:
            estimate, place = rate_at(positive, score, codes, fixed, level)
            count = int((positive == (of == "sensitivity")).sum())
            found[f"{of}_at_{fixed}_{level:.2f}"] = estimate.row(count) | {
                "threshold": float(cuts[place])
            }
    return found


def rate_at(
    positive: NDArray[np.bool_], score: Floats, codes: Ints, fixed: str, level: float
) -> tuple[Estimate, int]:
    """The best sensitivity at a specificity of at least `level` (fixed="specificity"), or reversed.

    The distance to each limit is that of the rate at the threshold found and the change of the
    rate between the thresholds at the ends of the fixed rate's own interval, added in quadrature:
    without the second part the interval covers 66 to 82 %.

    Returns:
      the estimate (its influence is that of the rate at the threshold), and the threshold's place
      among the distinct scores: how many of the highest are called.
    """
    true, false = called_counts(positive, score)
    falling = np.append(np.inf, np.unique(score)[::-1])

    def place(wanted: float) -> int:
        if fixed == "specificity":
            return int((false <= (1 - wanted) * false[-1] + ROUNDING).sum()) - 1
        return int((true < wanted * true[-1] - ROUNDING).sum())

    def value(at: int) -> float:
        return float(true[at] / true[-1] if fixed == "specificity" else 1 - false[at] / false[-1])

    at = place(level)
    # Of thresholds with the same sensitivity, the highest adds no false positives.
    chosen = int((true < true[at]).sum()) if fixed == "specificity" else at
    called = score >= falling[at]
    rates = rate(called, positive, codes), rate(~called, ~positive, codes)
    own, other = rates if fixed == "specificity" else rates[::-1]
    if not (own.has_interval and other.has_interval):
        return own._replace(value=value(chosen)).without_interval(), chosen
    stricter, laxer = value(place(other.high)), value(place(other.low))
    below = np.hypot(own.value - own.low, max(0.0, own.value - stricter))
    above = np.hypot(own.high - own.value, max(0.0, laxer - own.value))
    low, high = max(0.0, own.value - below), min(1.0, own.value + above)
    return own._replace(value=value(chosen), low=float(low), high=float(high)), chosen


def rates_at(
    labels: ArrayLike, probabilities: ArrayLike, threshold: ArrayLike, groups: ArrayLike
) -> dict[str, dict[str, Any]]:
    """{"sensitivity", "specificity": {"value", "ci95", "n"}} at a threshold, one or one an example.

    Arguments, None and what is empty: as in `operating_points`. "few_groups" as in
    `intervals.metrics_with_intervals`.
    """
    y, p = _two_classes(labels, probabilities)
    codes = group_codes(groups, len(y))
    if len(np.unique(y)) < 2:
        return {}
    found = {}
    for c, (name, estimate) in zip((1, 0), _rates(y, p, threshold, codes).items(), strict=True):
        found[name] = estimate.row(int((y == c).sum()))
    return found


def predictive_values(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    groups: ArrayLike,
    prevalences: Sequence[float] = PREVALENCES,
) -> dict[str, Any]:
    """PPV and NPV of the calls at a threshold, for a prevalence from 0.1 % to 50 %.

    By Bayes' rule from sensitivity and specificity (Altman and Bland 1994): the share of positives
    among these images is that of whoever collected them, and says nothing about a clinic's. It is
    assumed that sensitivity and specificity are the same there.

    The odds of a predictive value are those of the prevalence times a ratio of two rates; the
    rates' distances to their limits are combined on the log scale (Zou and Donner 2008). Where a
    rate is 0 or 1, so that its log is not finite, both rates stand at their limits instead.

    Args:
      labels, probabilities, groups: as in `operating_points`.
      threshold: one number, or one an example [n]; class 1 is called at or above it.

    Returns:
      {"sensitivity", "specificity": number, "prevalence": [m], "ppv", "npv": {"value", "low",
      "high": [m]}}; low and high are None where a class is in one group, a value is nan where
      nothing is called so. Empty where the labels hold one class.
    """
    y, p = _two_classes(labels, probabilities)
    codes = group_codes(groups, len(y))
    if len(np.unique(y)) < 2:
        return {}
    rates = _rates(y, p, threshold, codes)
    sensitivity, specificity = rates["sensitivity"], rates["specificity"]
    ill = np.asarray(prevalences)
    return {
        "sensitivity": sensitivity.value,
        "specificity": specificity.value,
        "prevalence": list(prevalences),
        "ppv": _predictive(sensitivity, specificity, ill),
        "npv": _predictive(specificity, sensitivity, 1 - ill),
    }


def _two_classes(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Ints, Floats]:
    y, p = check_predictions(labels, probabilities)
    if p.shape[1] != 2:
        raise EvaluationError(f"operating points are of two classes, there are {p.shape[1]}")
    return y, p


def _rates(y: Ints, p: Floats, threshold: ArrayLike, codes: Ints) -> dict[str, Estimate]:
    """Without intervals where a class is in one group."""
    called = p[:, 1] >= np.asarray(threshold, dtype=np.float64)
    found = {
        "sensitivity": rate(called, y == 1, codes),
        "specificity": rate(~called, y == 0, codes),
    }
    if spread(y, codes):
        return found
    return {name: part.without_interval() for name, part in found.items()}


def _predictive(own: Estimate, other: Estimate, share: Floats) -> dict[str, Any]:
    """For the calls whose rate among their own class (`share` of all) is `own`."""
    value = _odds(own.value, 1 - other.value, share)
    if not (own.has_interval and other.has_interval):
        return {"value": value.tolist(), "low": None, "high": None}
    with np.errstate(divide="ignore", invalid="ignore"):
        hit = np.log([own.low, own.value, own.high])
        miss = np.log([1 - other.high, 1 - other.value, 1 - other.low])
    if np.isfinite([hit[1], miss[1]]).all():
        center = hit[1] - miss[1]
        low = center - np.hypot(hit[1] - hit[0], miss[2] - miss[1])
        high = center + np.hypot(hit[2] - hit[1], miss[1] - miss[0])
        ends = [_odds(np.exp(edge), 1.0, share) for edge in (low, high)]
    else:
        ends = [
            _odds(own.low, 1 - other.low, share),
            _odds(own.high, 1 - other.high, share),
        ]
    low_end, high_end = np.minimum(ends[0], value), np.maximum(ends[1], value)
    return {"value": value.tolist(), "low": low_end.tolist(), "high": high_end.tolist()}


def _odds(hit: float, miss: float, share: Floats) -> Floats:
    """hit * share against miss * (1 - share), as a probability [m]; nan where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if np.isinf(hit):
            return np.ones(len(share))
        return np.asarray(hit * share / (hit * share + miss * (1 - share)), np.float64)
