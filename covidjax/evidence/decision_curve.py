"""Net benefit over the threshold probability (Vickers and Elkin 2006, "Decision curve analysis").

Net benefit = true positives / n - false positives / n * t / (1 - t): whoever acts from the
probability t on finds one patient left untreated worth t / (1 - t) treated for nothing. A model is
of use at t where it beats both acting on everybody and on nobody (net benefit 0). All of it holds
at the share of positives among these images only.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from covidjax.evidence.estimates import group_codes, spread
from covidjax.evidence.metrics import EvaluationError, Floats, check_predictions
from covidjax.evidence.rates import rate

THRESHOLDS = np.arange(1, 100) / 100


def decision_curve(
    labels: ArrayLike, probabilities: ArrayLike, groups: ArrayLike
) -> dict[str, Any]:
    """Net benefit of acting on the probability of class 1, from 0.01 to 0.99.

    Net benefit is linear in sensitivity and specificity, whose distances to their limits are added
    in quadrature (Zou and Donner 2008), with the share of positives taken as given.

    Args:
      labels: int [n], 0 or 1.
      probabilities: float [n, 2]; calibrated ones, for a threshold means what it says only there.
      groups: [n], patient or examination.

    Returns:
      {"prevalence": share of positives, "threshold": [99], "model": {"value", "low", "high": [99]},
      "all": [99]}, low and high None where a class is in one group. Empty where the labels hold one
      class.

    Raises:
      EvaluationError: what `check_predictions` and `group_codes` refuse; more than two classes.
    """
    y, p = check_predictions(labels, probabilities)
    codes = group_codes(groups, len(y))
    if p.shape[1] != 2:
        raise EvaluationError(f"a decision curve is of two classes, there are {p.shape[1]}")
    if len(np.unique(y)) < 2:
        return {}
    share = float(y.mean())
    price = (1 - share) * THRESHOLDS / (1 - THRESHOLDS)
    called = [p[:, 1] >= threshold for threshold in THRESHOLDS]
    hits = _table([rate(call, y == 1, codes)[:3] for call in called])
    alarms = _table([rate(call, y == 0, codes)[:3] for call in called])
    value = share * hits[0] - price * alarms[0]
    low = high = None
    if spread(y, codes):
        low = value - np.hypot(share * (hits[0] - hits[1]), price * (alarms[2] - alarms[0]))
        high = value + np.hypot(share * (hits[2] - hits[0]), price * (alarms[0] - alarms[1]))
    return {
        "prevalence": share,
        "threshold": THRESHOLDS.tolist(),
        "model": {
            "value": value.tolist(),
            "low": None if low is None else low.tolist(),
            "high": None if high is None else high.tolist(),
        },
        "all": (share - price).tolist(),
    }


def _table(rows: list[tuple[float, float, float]]) -> Floats:
    """Value, low and high [3, 99]."""
    return np.asarray(rows, np.float64).T
