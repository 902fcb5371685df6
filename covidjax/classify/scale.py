"""One scale for all of a run's probabilities, and the threshold on it.

What a fold's map and threshold are fitted on: the validation predictions of all folds, but for the
images whose groups the fold tests. A fold of the COVID-19 task has six positive validation images,
five folds have five times as many; and no tested image's label has a part in its own calibration.
(The other folds' networks, whose outputs take part, were trained on it.)

The map and the threshold of the run as a whole, which `predict` and `external` use, are fitted on
all validation predictions. With one fold they are that fold's.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.classify import loss as objective
from covidjax.evidence import metrics, recalibration
from covidjax.evidence.metrics import Floats
from covidjax.evidence.operating import operating_points
from covidjax.evidence.predictions import Predicted


class Scale(NamedTuple):
    """The maps and thresholds of a run.

    Attributes:
      maps: of each fold, by its number; `recalibration.Map`.
      thresholds: of each fold, on the calibrated probability of class 1; None for more classes.
      map, threshold: of the run as a whole.
    """

    maps: Mapping[int, recalibration.Map]
    thresholds: Mapping[int, float] | None
    map: recalibration.Map
    threshold: float | None


def fit(
    config: ml_collections.ConfigDict,
    validation: Predicted,
    tested: Predicted,
    training_labels: NDArray[np.integer],
) -> Scale:
    """Fits maps and thresholds.

    Args:
      config: `calibration`, `threshold`, `balance`.
      validation: the networks' own probabilities of the validation images, fold by fold.
      tested: of the test images; only its groups and folds are looked at.
      training_labels: of the training images of all folds, by which the loss weighed the classes.
    """
    weights = class_weights(training_labels, config.balance, validation.probabilities.shape[1])
    two = validation.probabilities.shape[1] == 2

    def fitted(seen: Predicted) -> tuple[recalibration.Map, float | None]:
        found = recalibration.fit(config.calibration, seen.labels, seen.probabilities, weights)
        if not two:
            return found, None
        if config.threshold != "validation":
            return found, float(config.threshold)
        scores = recalibration.apply(found, seen.probabilities)[:, 1]
        return found, metrics.choose_threshold(seen.labels, scores)

    folds = dict.fromkeys(tested.folds.tolist())
    each = {fold: fitted(learnable(validation, tested, fold)) for fold in folds}
    whole = fitted(validation) if len(each) > 1 else next(iter(each.values()))
    cuts = {fold: cut for fold, (_, cut) in each.items() if cut is not None}
    return Scale({fold: found for fold, (found, _) in each.items()}, cuts if two else None, *whole)


def learnable(part: Predicted, tested: Predicted, fold: int) -> Predicted:
    """The images of a part whose groups the fold does not test."""
    return part.at(~np.isin(part.groups, tested.groups[tested.folds == fold]))


def calibrated(scale: Scale, part: Predicted) -> Predicted:
    """A part on the scale: each image by the map and the threshold of its fold."""
    found: Floats = np.zeros_like(part.probabilities)
    cuts = None if scale.thresholds is None else np.zeros(len(part.labels))
    for fold in np.unique(part.folds).tolist():
        own = part.folds == fold
        found[own] = recalibration.apply(scale.maps[fold], part.probabilities[own])
        if cuts is not None and scale.thresholds is not None:
            cuts[own] = scale.thresholds[fold]
    return part._replace(probabilities=found, thresholds=cuts)


def operating_cuts(
    scale: Scale, validation: Predicted, tested: Predicted
) -> dict[str, dict[int, float]]:
    """{operating point: {fold: the threshold that reaches it on what the fold learns from}}.

    Empty for more than two classes.
    """
    found: dict[str, dict[int, float]] = {}
    if scale.thresholds is None:
        return found
    for fold, mapping in scale.maps.items():
        own = learnable(validation, tested, fold)
        p = recalibration.apply(mapping, own.probabilities)
        for name, point in operating_points(own.labels, p, own.groups).items():
            found.setdefault(name, {})[fold] = point["threshold"]
    return {name: cuts for name, cuts in found.items() if len(cuts) == len(scale.maps)}


def class_weights(labels: NDArray[np.integer], balance: str, k: int) -> Sequence[float] | None:
    """How much more than its share each class counts in the loss, [k]; None where it does not."""
    if balance not in ("loss", "sampling") or len(np.unique(labels)) < k:
        return None
    weights = objective.example_weights(labels, "loss")
    return [float(weights[labels == c][0]) for c in range(k)]
