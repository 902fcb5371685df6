"""All that is said about a run's predictions beside its figures.

For two classes: calibration, operating points, predictive values, decision curve, folds, grouping.
For more: calibration (of the called class's probability), folds and grouping; the rest needs a
threshold on one class.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from covidjax.evaluation.calibration import calibration_figures, fit_temperature, scale
from covidjax.evaluation.decision_curve import decision_curve
from covidjax.evaluation.grouping import grouping
from covidjax.evaluation.metrics import FIGURES, EvaluationError, classification_metrics
from covidjax.evaluation.operating import operating_points, predictive_values, rates_at
from covidjax.evaluation.predictions import Predicted


def evidence(
    tested: Predicted,
    validation: Predicted,
    training: Mapping[int, Sequence[str]],
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Keys to add to `results.json`; those that do not apply are left out.

    Args:
      tested: what the figures are about, each image once.
      validation: fits the temperature and, for comparison, the operating points, fold by fold.
      training: names of the images of training and validation, by number of the fold.
      samples, seed: of the bootstrap over groups.

    Returns:
      - `calibration`: {"temperatures": one a fold, in the order of the folds; "before", "after":
        of `calibration_figures`}.
      - `operating_points`: of `operating_points`, each with "chosen_on_validation": sensitivity and
        specificity on the tested images at the threshold that reaches the level on validation.
      - `predictive_values`, `decision_curve` (of the calibrated probabilities), `grouping`: of
        their functions.
      - `folds`: {"foldN": {figure: number}}, and `across_folds`: {figure: {"pooled", "mean",
        "sd", "lowest", "highest"}} of the two folds and more where it is defined.

    Raises:
      EvaluationError: predictions that are none; a fold without validation images.
    """
    shared = {"samples": samples, "seed": seed}
    y, p, groups = tested.labels, tested.probabilities, tested.groups
    temperatures = fold_temperatures(validation, list(dict.fromkeys(tested.folds.tolist())))
    scaled = scale(p, np.array([temperatures[fold] for fold in tested.folds.tolist()]))
    found: dict[str, Any] = {
        "calibration": {
            "temperatures": list(temperatures.values()),
            "before": calibration_figures(y, p, groups, **shared),
            "after": calibration_figures(y, scaled, groups, **shared),
        }
    }
    if tested.thresholds is not None:
        points = operating_points(y, p, groups, **shared)
        for name, point in points.items():
            cuts = _validation_cuts(validation, name)
            if cuts:
                thresholds = np.array([cuts[fold] for fold in tested.folds.tolist()])
                point["chosen_on_validation"] = rates_at(y, p, thresholds, groups, **shared)
        found["operating_points"] = points
        found["predictive_values"] = predictive_values(y, p, tested.thresholds, groups, **shared)
        found["decision_curve"] = decision_curve(y, scaled, groups, **shared)
    if len(temperatures) > 1:
        found["folds"] = folds = fold_figures(tested)
        found["across_folds"] = across_folds(tested, folds)
    found["grouping"] = grouping(tested, training, **shared)
    return {name: part for name, part in found.items() if part}


def fold_temperatures(validation: Predicted, folds: Sequence[int]) -> dict[int, float]:
    """Each fold's temperature, fitted on its own validation images."""
    found = {}
    for fold in folds:
        own = validation.at(validation.folds == fold)
        if len(own.labels) == 0:
            raise EvaluationError(f"fold {fold} has no validation images to fit a temperature on")
        found[fold] = fit_temperature(own.labels, own.probabilities)
    return found


def fold_figures(tested: Predicted) -> dict[str, dict[str, float]]:
    """The figures of each fold's images alone, by the fold's name."""
    found = {}
    for fold in dict.fromkeys(tested.folds.tolist()):
        own = tested.at(tested.folds == fold)
        found[f"fold{fold}"] = classification_metrics(own.labels, own.probabilities, own.thresholds)
    return found


def across_folds(
    tested: Predicted, folds: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Each figure pooled over all images, beside the mean and spread of the folds' own.

    A pooled AUROC ranks images by the scores of different networks: where their scales differ it is
    lower than the folds' mean (Forman and Scholz 2010). The standard deviation (n - 1) over folds
    is no standard error: the folds' networks share most of their training images.
    """
    pooled = classification_metrics(tested.labels, tested.probabilities, tested.thresholds)
    result = {}
    for name in FIGURES:
        values = np.array([figures[name] for figures in folds.values()])
        values = values[~np.isnan(values)]
        if len(values) > 1:
            result[name] = {
                "pooled": pooled[name],
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)),
                "lowest": float(values.min()),
                "highest": float(values.max()),
            }
    return result


def _validation_cuts(validation: Predicted, point: str) -> dict[int, float]:
    """Each fold's threshold that reaches the operating point on its validation images."""
    found = {}
    for fold in np.unique(validation.folds):
        own = validation.at(validation.folds == fold)
        # Without intervals: one group.
        points = operating_points(own.labels, own.probabilities, np.zeros(len(own.labels)))
        if not points:
            return {}
        found[int(fold)] = points[point]["threshold"]
    return found
