"""Net benefit over the threshold probability (Vickers and Elkin 2006, "Decision curve analysis").

Net benefit = true positives / n - false positives / n * t / (1 - t): whoever acts from the
probability t on finds one patient left untreated worth t / (1 - t) treated for nothing. A model is
of use at t where it beats both acting on everybody and on nobody (net benefit 0). All of it holds
at the share of positives among these images only.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from covidjax.evaluation.intervals import group_codes, resampled_weights, spread
from covidjax.evaluation.metrics import EvaluationError, Floats, Ints, check_predictions

THRESHOLDS = np.arange(1, 100) / 100


def decision_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Net benefit of acting on the probability of class 1, from 0.01 to 0.99.

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
    worth = _worth(y)
    benefit = worth * (p[:, 1:] >= THRESHOLDS)
    low = high = None
    if spread(y, codes):
        drawn = [
            weights @ benefit / weights.sum(axis=1, keepdims=True)
            for weights in resampled_weights(y, codes, samples, seed)
        ]
        low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975], axis=0)
    return {
        "prevalence": float(y.mean()),
        "threshold": THRESHOLDS.tolist(),
        "model": {
            "value": benefit.mean(axis=0).tolist(),
            "low": None if low is None else low.tolist(),
            "high": None if high is None else high.tolist(),
        },
        "all": worth.mean(axis=0).tolist(),
    }


def _worth(y: Ints) -> Floats:
    """What acting on each example is worth at each threshold [n, 99]: 1, or -t / (1 - t)."""
    return np.where(y[:, None] == 1, 1.0, -THRESHOLDS / (1 - THRESHOLDS))
