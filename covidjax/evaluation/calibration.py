"""Temperature scaling: one number that makes a classifier's probabilities honest.

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks", section 4.2. The
logits are divided by one temperature, fitted on held-out examples. The ranking of the examples of
a two-class model and every call by the largest probability stay the same. A threshold chosen before
must be chosen again on the scaled probabilities.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from covidjax.evaluation.metrics import EvaluationError, Floats

LOWEST, HIGHEST = 0.01, 100.0


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T that minimises the mean of -log softmax(logits / T)[label].

    The loss has one minimum (it is convex in 1 / T). Where every example is right by its largest
    logit the minimum lies at 0, and where the logits mislead at infinity: T is kept in
    [0.01, 100], and such a result says that the held-out part is too small or the model too poor.

    Args:
      logits: float [n, k], finite, of examples that the model was not trained on.
      labels: int [n], 0 .. k-1.

    Raises:
      EvaluationError: no examples, wrong shapes, labels out of range, logits that are not finite.
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if z.ndim != 2 or z.shape[1] < 2 or y.shape != z.shape[:1] or len(y) == 0:
        raise EvaluationError(
            f"logits must be [n, k] with n >= 1, k >= 2 and labels [n], not {z.shape}, {y.shape}"
        )
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= z.shape[1]:
        raise EvaluationError(f"labels must be integers in 0..{z.shape[1] - 1}")
    if not np.isfinite(z).all():
        raise EvaluationError(f"{int((~np.isfinite(z)).sum())} of {z.size} logits are not finite")
    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(z / np.exp(log_temperature), axis=1)[rows, y].mean())

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def scaled_probabilities(logits: ArrayLike, temperature: float) -> Floats:
    """softmax(logits / temperature), float64 [n, k] from logits [n, k]; temperature > 0."""
    if not temperature > 0:
        raise EvaluationError(f"the temperature must be above 0, not {temperature}")
    return softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)
