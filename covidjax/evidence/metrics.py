"""Point figures of a classifier, computed by scikit-learn, and the choice of a threshold.

Two classes: class 1 is the positive one, and an example is called positive where its probability
is at or above the threshold. More classes: an example is called by its largest probability, and
AUROC, average precision, sensitivity, specificity and F1 are unweighted means of the one-against-
rest figures over the classes that the labels hold. (Kaggle's TEST part has no COVID-19 image: its
macro figures are means over the other three classes; a call of COVID-19 there still counts as an
error.)
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

FIGURES = (
    "auroc",
    "average_precision",
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "f1",
    "brier",
    "ece",
)
# Figures that need every class: undefined where the labels hold one class only.
CLASS_FIGURES = FIGURES[:2] + FIGURES[3:7]
ECE_BINS = 15

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class EvaluationError(ValueError):
    """Labels, probabilities, weights or groups that no figure can be computed from."""


def classification_metrics(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike | None,
    weights: ArrayLike | None = None,
) -> dict[str, float]:
    """The figures of `FIGURES` for one set of predictions.

    - `brier`: mean of (p_1 - y)^2 for two classes, in [0, 1]; for more, the original sum over the
      classes of (p_c - [y = c])^2, in [0, 2] (Brier 1950). The original form for two classes would
      be twice ours.
    - `ece`: expected calibration error (Naeini et al. 2015) over 15 equal-width bins of the
      predicted probability: of class 1 for two classes, of the called class for more (Guo et al.
      2017). In [0, 1].
    - `balanced_accuracy`: mean of the classes' sensitivities; for more than two classes it equals
      `sensitivity`.

    Args:
      labels: int [n], class indices 0 .. k-1.
      probabilities: float [n, k], rows in [0, 1] that sum to 1.
      threshold: two classes: class 1 is called where its probability is >= threshold, which is one
        number or one an example [n] (each fold's own); None is 0.5. More classes: must be None.
      weights: float [n], not negative; None weighs all alike. Weight 0 is as if left out.

    Returns:
      One float a figure. Those of `CLASS_FIGURES` are nan where the labels hold one class only,
      and all are nan for no examples.

    Raises:
      EvaluationError: wrong shapes, labels out of range, probabilities that are not probabilities
        (nan included), a threshold for more than two classes.
    """
    from sklearn import metrics as sk  # a second to import, which no start waits for

    y, p = check_predictions(labels, probabilities)
    calls = call_classes(p, threshold)
    w = check_weights(weights, len(y))
    y, p, calls, w = y[w > 0], p[w > 0], calls[w > 0], w[w > 0]
    figures = dict.fromkeys(FIGURES, float("nan"))
    if len(y) == 0:
        return figures
    figures["accuracy"] = float(sk.accuracy_score(y, calls, sample_weight=w))
    figures["brier"] = float(np.average(squared_errors(y, p), weights=w))
    figures["ece"] = _calibration_error(y, p, calls, w)
    present = [int(c) for c in np.unique(y)]
    if len(present) > 1:
        figures |= _ranking_figures(y, p, w, present)
        figures |= _calling_figures(y, calls, w, present, p.shape[1])
    return figures


def confusion_matrix(
    labels: ArrayLike, probabilities: ArrayLike, threshold: ArrayLike | None
) -> Ints:
    """Counts [k, k]: rows are the true classes, columns the called ones.

    Arguments and errors are those of `classification_metrics`; all zeros for no examples.
    """
    y, p = check_predictions(labels, probabilities)
    k = p.shape[1]
    cells = y * k + call_classes(p, threshold)
    return np.bincount(cells, minlength=k * k).reshape(k, k).astype(np.int64)


def choose_threshold(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """The threshold on class 1's score that maximizes balanced accuracy (score >= threshold).

    Between two neighboring distinct scores every threshold gives the same calls. Neighboring
    stretches with the same best balanced accuracy form a plateau; the middle of the best plateau
    is returned, which for a single stretch is the midpoint between two neighboring scores. Of
    several best plateaus the one whose middle is nearest to 0.5 is taken. Thresholds that call
    every example the same are not considered; where all scores are equal the answer is 0.5.

    Args:
      labels: int [n], 0 or 1, both present.
      scores: float [n], finite; probabilities of class 1.
      weights: float [n], not negative, or None.

    Raises:
      EvaluationError: wrong shapes, scores that are not finite, labels of one class only.
    """
    y, s = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if y.ndim != 1 or s.shape != y.shape:
        raise EvaluationError(f"labels and scores must be [n] both, not {y.shape} and {s.shape}")
    w = check_weights(weights, len(y))
    if not np.isfinite(s).all():
        raise EvaluationError(f"{int((~np.isfinite(s)).sum())} of {len(s)} scores are not finite")
    positive = np.bincount(np.unique(s, return_inverse=True)[1], weights=w * (y == 1))
    negative = np.bincount(np.unique(s, return_inverse=True)[1], weights=w * (y == 0))
    if positive.sum() == 0 or negative.sum() == 0 or not np.isin(y, (0, 1)).all():
        raise EvaluationError(
            "a threshold needs examples of class 0 and of class 1, and of no other: "
            f"the {len(y)} labels given hold {[int(c) for c in np.unique(y)]}; choose it on a "
            "validation part with both classes, or give a fixed one"
        )
    values = np.unique(s)
    if len(values) == 1:
        return 0.5
    # Cut i lies between values[i] and values[i + 1]: the values up to i are called negative.
    below = np.cumsum(negative)[:-1] / negative.sum()
    above = 1 - np.cumsum(positive)[:-1] / positive.sum()
    return _middle_of_best(values, (below + above) / 2)


def check_predictions(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Ints, Floats]:
    """labels as int64 [n] and probabilities as float64 [n, k], k >= 2, or EvaluationError.

    Rows may miss a sum of 1 by 0.01 (bfloat16 softmax); they are not rescaled.
    """
    y = np.asarray(labels)
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2 or y.shape != p.shape[:1]:
        raise EvaluationError(
            f"labels must be [n] and probabilities [n, k] with k >= 2, not {y.shape} and {p.shape}"
        )
    if len(y) and y.dtype.kind not in "biu":
        raise EvaluationError(f"labels must be integer class indices, not {y.dtype}")
    y = y.astype(np.int64)
    outside = (y < 0) | (y >= p.shape[1])
    if outside.any():
        raise EvaluationError(
            f"{int(outside.sum())} of {len(y)} labels are outside 0..{p.shape[1] - 1}, "
            f"the first is {y[outside][0]}; leave out the examples that are not of the task"
        )
    if not np.isfinite(p).all():
        bad = ~np.isfinite(p).all(axis=1)
        raise EvaluationError(
            f"{int(bad.sum())} of {len(p)} examples have a probability that is not finite, "
            f"the first is example {int(np.argmax(bad))}"
        )
    wrong = (p.min(axis=1) < -1e-6) | (p.max(axis=1) > 1 + 1e-6) | (abs(p.sum(axis=1) - 1) > 0.01)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise EvaluationError(
            f"{int(wrong.sum())} of {len(p)} rows are no probabilities, the first is example "
            f"{first}: {p[first]}; give softmax(logits), not logits"
        )
    return y, np.clip(p, 0.0, 1.0)


def check_weights(weights: ArrayLike | None, n: int) -> Floats:
    """weights as float64 [n], ones for None, or EvaluationError."""
    if weights is None:
        return np.ones(n)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (n,):
        raise EvaluationError(f"weights must be [{n}], not {list(w.shape)}")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise EvaluationError("weights must be finite and not negative")
    return w


def call_classes(probabilities: Floats, threshold: ArrayLike | None) -> Ints:
    """The called class [n] of checked probabilities [n, k]; of equal largest ones the first."""
    k = probabilities.shape[1]
    if k > 2:
        if threshold is not None:
            raise EvaluationError(
                f"a threshold is for two classes; for {k} the largest probability calls: give None"
            )
        return np.argmax(probabilities, axis=1).astype(np.int64)
    cut = np.asarray(0.5 if threshold is None else threshold, dtype=np.float64)
    if np.isnan(cut).any():
        raise EvaluationError("the threshold is nan")
    return (probabilities[:, 1] >= cut).astype(np.int64)


def squared_errors(labels: Ints, probabilities: Floats) -> Floats:
    """Every example's term [n] of the Brier score, as `classification_metrics` defines it."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] - labels) ** 2
    return ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)


def confidences(labels: Ints, probabilities: Floats, calls: Ints) -> tuple[Floats, Ints]:
    """Predicted probability [n] and whether it came true [n]: what calibration compares.

    Of class 1 for two classes, of the called class for more.
    """
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], labels
    return probabilities[np.arange(len(calls)), calls], (labels == calls).astype(np.int64)


def calibration_terms(labels: Ints, probabilities: Floats, calls: Ints) -> tuple[Ints, Floats]:
    """Every example's bin [n] and outcome minus predicted probability [n], for the ECE."""
    predicted, outcome = confidences(labels, probabilities, calls)
    return bin_indices(predicted), outcome - predicted


def bin_indices(predicted: Floats) -> Ints:
    """The equal-width bin [n], 0 .. 14, of probabilities [n]; 1.0 belongs to the last."""
    return np.minimum((predicted * ECE_BINS).astype(np.int64), ECE_BINS - 1)


def _calibration_error(y: Ints, p: Floats, calls: Ints, w: Floats) -> float:
    bins, gaps = calibration_terms(y, p, calls)
    return float(np.abs(np.bincount(bins, weights=w * gaps)).sum() / w.sum())


def _ranking_figures(y: Ints, p: Floats, w: Floats, present: Sequence[int]) -> dict[str, float]:
    from sklearn import metrics as sk

    positives = [1] if p.shape[1] == 2 else present
    areas = [sk.roc_auc_score(y == c, p[:, c], sample_weight=w) for c in positives]
    precisions = [sk.average_precision_score(y == c, p[:, c], sample_weight=w) for c in positives]
    return {"auroc": float(np.mean(areas)), "average_precision": float(np.mean(precisions))}


def _calling_figures(
    y: Ints, calls: Ints, w: Floats, present: Sequence[int], k: int
) -> dict[str, float]:
    from sklearn import metrics as sk

    recalls = sk.recall_score(
        y, calls, labels=range(k), average=None, sample_weight=w, zero_division=0
    )
    f1s = sk.f1_score(y, calls, labels=range(k), average=None, sample_weight=w, zero_division=0)
    true_negatives = [
        sk.recall_score(y != c, calls != c, sample_weight=w, zero_division=0) for c in range(k)
    ]
    positives = [1] if k == 2 else list(present)
    return {
        "balanced_accuracy": float(np.mean(recalls[list(present)])),
        "sensitivity": float(np.mean(recalls[positives])),
        "specificity": float(np.mean(np.asarray(true_negatives)[positives])),
        "f1": float(np.mean(f1s[positives])),
    }


def _middle_of_best(values: Floats, balanced: Floats) -> float:
    """The middle of the best plateau nearest to 0.5; cut i is values[i] < threshold <= [i + 1]."""
    best = balanced >= balanced.max() - 1e-12  # sums of weights differ in the last digit
    edges = np.diff(np.concatenate([[0], best.astype(np.int64), [0]]))
    low, high = values[np.flatnonzero(edges == 1)], values[np.flatnonzero(edges == -1)]
    middles = low / 2 + high / 2
    middles = np.where(middles > low, middles, high)  # neighbors in floating point
    return float(middles[np.argmin(np.abs(middles - 0.5))])
