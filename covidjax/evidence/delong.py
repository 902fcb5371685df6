"""DeLong's variance of an AUROC and paired test of two.

Every image counts as independent. Where patients have several images p is too small: for grouped
data there is `differences.figure_differences`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from covidjax.evidence.metrics import EvaluationError, Floats


def delong(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """AUROCs of m models on the same examples, and the covariance of their estimates.

    DeLong, DeLong and Clarke-Pearson 1988, by the midranks of Sun and Xu 2014, "Fast Implementation
    of DeLong's Algorithm": O(n log n), ties count as half.

    Args:
      labels: 0 or 1, [n], two of each at least.
      scores: float [m, n], finite; higher speaks for class 1.

    Returns:
      areas [m], covariance [m, m].

    Raises:
      EvaluationError: wrong shapes, scores that are not finite, too few examples of a class.
    """
    y, s = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if y.ndim != 1 or s.ndim != 2 or s.shape[1] != len(y):
        raise EvaluationError(f"labels must be [n] and scores [m, n], not {y.shape} and {s.shape}")
    if not np.isfinite(s).all() or not np.isin(y, (0, 1)).all():
        raise EvaluationError("scores must be finite and labels 0 or 1")
    positives, negatives = s[:, y == 1], s[:, y == 0]
    m, n = positives.shape[1], negatives.shape[1]
    if min(m, n) < 2:
        raise EvaluationError(f"DeLong needs two examples of each class, there are {n} and {m}")
    above, below = placements(positives, negatives)
    covariance = np.cov(above) / m + np.cov(below) / n
    return above.mean(axis=1), np.atleast_2d(covariance)


def placements(positives: Floats, negatives: Floats) -> tuple[Floats, Floats]:
    """The share of the other class that each example is ranked right of, ties as half.

    Args:
      positives: scores [k, m]; higher speaks for them.
      negatives: scores [k, n].

    Returns:
      [k, m] of the positives, [k, n] of the negatives; either's mean is the AUROC.
    """
    m, n = positives.shape[1], negatives.shape[1]
    ranks = rankdata(np.concatenate([positives, negatives], axis=1), axis=1)
    above = (ranks[:, :m] - rankdata(positives, axis=1)) / n
    below = 1 - (ranks[:, m:] - rankdata(negatives, axis=1)) / m
    return above, below


def delong_test(labels: ArrayLike, a: ArrayLike, b: ArrayLike) -> dict[str, Any]:
    """Paired test of AUROC(a) - AUROC(b), for independent examples.

    Args:
      labels: as in `delong`.
      a, b: scores [n] of two models.

    Returns:
      {"difference", "ci95": [low, high], "p"}, normal, two-sided. Where the difference has no
      variance (the same ranking twice, or both without an error) p is 1 for a difference of 0 and
      nan for another.
    """
    areas, covariance = delong(labels, np.stack([np.asarray(a), np.asarray(b)]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    # Rounding leaves about 1e-17 of a variance of 0.
    error = float(np.sqrt(variance)) if variance > 1e-15 else 0.0
    if error == 0:
        p = 1.0 if abs(difference) < 1e-12 else float("nan")
    else:
        p = float(2 * norm.sf(abs(difference) / error))
    half = float(norm.ppf(0.975)) * error
    return {"difference": difference, "ci95": [difference - half, difference + half], "p": p}
