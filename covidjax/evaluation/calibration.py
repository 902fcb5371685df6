"""Temperature scaling, and how honest the probabilities are before and after it.

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks", section 4.2: the
logits are divided by one temperature, fitted on held-out examples. Here the logits are the
logarithms of the probabilities, which gives the same. For two classes the ranking stays, so AUROC
does; a threshold scaled like a probability gives the same calls.

The temperature is as good as the validation part is like what comes after: under a shift it can
make the probabilities worse. So the figures before and after stand side by side.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from covidjax.evaluation.intervals import group_codes, percentiles, resampled_weights
from covidjax.evaluation.metrics import (
    ECE_BINS,
    EvaluationError,
    Floats,
    Ints,
    bin_indices,
    check_predictions,
    confidences,
    squared_errors,
)

LOWEST, HIGHEST = 0.01, 100.0
TINY = 1e-38  # about the smallest probability that float32 holds


def fit_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The temperature T that minimises the mean cross entropy of softmax(log(probabilities) / T).

    The targets are Platt's (1999, "Probabilistic Outputs for Support Vector Machines", section
    2.2): (m + 1) / (m + 2) for the label of an example whose class has m of them, the rest shared
    by the others. Hard targets would drive T to 0, and every probability to 0 or 1, where the
    few validation images happen to be all right; with many images there is no difference. The loss
    has one minimum (it is convex in 1 / T); T is kept in [0.01, 100].

    Args:
      labels: int [n], 0 .. k-1.
      probabilities: float [n, k], of examples that the model was not trained on.

    Raises:
      EvaluationError: no examples, or what `check_predictions` refuses.
    """
    y, p = check_predictions(labels, probabilities)
    if len(y) == 0:
        raise EvaluationError("a temperature needs examples to be fitted on, there are none")
    k = p.shape[1]
    counts = np.bincount(y, minlength=k)[y][:, None]
    targets = np.where(np.eye(k)[y] == 1, (counts + 1) / (counts + 2), 1 / (counts + 2) / (k - 1))
    logits = _logits(p)

    def loss(log_temperature: float) -> float:
        return -float((targets * log_softmax(logits / np.exp(log_temperature), axis=1)).mean())

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def scale(probabilities: ArrayLike, temperature: ArrayLike) -> Floats:
    """softmax(log(probabilities) / temperature), float64 [n, k].

    Args:
      probabilities: float [n, k], rows in [0, 1]. `scale([[1 - t, t]], T)[0, 1]` is the threshold
        t on the new scale.
      temperature: above 0; one number, or one an example [n] (each fold's own).
    """
    cooled = np.asarray(temperature, dtype=np.float64)
    if not (cooled > 0).all():
        raise EvaluationError(f"the temperature must be above 0, not {cooled.min()}")
    return softmax(_logits(probabilities) / cooled.reshape(-1, 1), axis=1)


def calibration_figures(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Brier score, ECE, log loss and the calibration curve, with intervals over groups.

    Returns:
      {"brier", "ece", "log_loss": {"value", "ci95", "n"}, "curve": {"predicted", "observed", "low",
      "high", "n"}}. `brier` and `ece` are those of `classification_metrics`; `log_loss` is the mean
      of -log of the label's probability (nats). The curve has one entry a bin that holds examples,
      of the 15 equal ones of the ECE: the mean predicted probability (of class 1; of the called
      class for more than two), the share that came true, its 95 % interval. Intervals are None
      where there are fewer than 2 groups (in the bin).
    """
    y, p = check_predictions(labels, probabilities)
    codes = group_codes(groups, len(y))
    bins, columns = _summands(y, p)
    value = _from_sums(columns.sum(axis=0)[None], float(len(y)))
    many = len(y) > 0 and int(codes.max()) > 0
    drawn: dict[str, Floats] = {}
    if many:
        parts = [
            _from_sums(weights @ columns, weights.sum(axis=1, keepdims=True))
            for weights in resampled_weights(y, codes, samples, seed)
        ]
        drawn = {name: np.concatenate([part[name] for part in parts]) for name in value}
    found: dict[str, Any] = {
        name: {
            "value": float(value[name][0, 0]),
            "ci95": percentiles(drawn[name]) if many else None,
            "n": len(y),
        }
        for name in ("brier", "ece", "log_loss")
    }
    curve: dict[str, list[Any]] = {"predicted": [], "observed": [], "low": [], "high": [], "n": []}
    for index in np.unique(bins):
        several = len(np.unique(codes[bins == index])) > 1
        low, high = percentiles(drawn["observed"][:, index]) if several else (None, None)
        here = (value["predicted"][0, index], value["observed"][0, index])
        row = (float(here[0]), float(here[1]), low, high, int((bins == index).sum()))
        for column, entry in zip(curve.values(), row, strict=True):
            column.append(entry)
    return found | {"curve": curve}


def _logits(probabilities: ArrayLike) -> Floats:
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), TINY))


def _summands(y: Ints, p: Floats) -> tuple[Ints, Floats]:
    """Bin [n], and [n, 2 + 3 * 15]: Brier term, log loss, and a bin's count, outcome, predicted."""
    n = len(y)
    predicted, outcome = confidences(y, p, np.argmax(p, axis=1).astype(np.int64))
    bins, rows = bin_indices(predicted), np.arange(n)
    columns = np.zeros((n, 2 + 3 * ECE_BINS))
    columns[:, 0] = squared_errors(y, p)
    columns[:, 1] = -_logits(p[rows, y])
    columns[rows, 2 + bins] = 1
    columns[rows, 2 + ECE_BINS + bins] = outcome
    columns[rows, 2 + 2 * ECE_BINS + bins] = predicted
    return bins, columns


def _from_sums(sums: Floats, total: Floats | float) -> dict[str, Floats]:
    """The figures [s, 1] and the curve [s, 15] of sums [s, 2 + 3 * 15] over weights `total`."""
    counts, outcome, predicted = np.split(sums[:, 2:], 3, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "brier": sums[:, :1] / total,
            "log_loss": sums[:, 1:2] / total,
            "ece": np.abs(outcome - predicted).sum(axis=1, keepdims=True) / total,
            "observed": outcome / counts,
            "predicted": predicted / counts,
        }


def calibrated_threshold(
    thresholds: Sequence[float | None], temperatures: Sequence[float]
) -> float | None:
    """On calibrated probabilities: the mean over the folds; None for more than two classes."""
    found = [
        scale([[1 - cut, cut]], temperature)[0, 1]
        for cut, temperature in zip(thresholds, temperatures, strict=True)
        if cut is not None
    ]
    return float(np.mean(found)) if found else None
