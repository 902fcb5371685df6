"""All that is said about a run's predictions beside its figures.

For two classes: calibration, operating points, predictive values, decision curve, folds, grouping.
For more: calibration (of the called class's probability), folds and grouping; the rest needs a
threshold on one class.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from covidjax.evidence.calibration import calibration_figures, verdict
from covidjax.evidence.decision_curve import decision_curve
from covidjax.evidence.grouping import grouping
from covidjax.evidence.metrics import FIGURES, classification_metrics
from covidjax.evidence.operating import operating_points, predictive_values, rates_at
from covidjax.evidence.predictions import Predicted
from covidjax.evidence.subgroups import subgroup_figures


def evidence(
    tested: Predicted,
    raw: Predicted,
    cuts: Mapping[str, Mapping[int, float]],
    training: Mapping[int, Sequence[str]],
) -> dict[str, Any]:
    """Keys to add to `results.json`; those that do not apply are left out.

    Args:
      tested: what the figures are about, each image once, calibrated.
      raw: the same as the networks gave it.
      cuts: {operating point: {fold: the threshold that reaches it on validation}}.
      training: names of the images of training and validation, by number of the fold.

    Returns:
      - `calibration`: {"before", "after": of `calibration_figures`, "verdict": of
        `calibration.verdict`}.
      - `operating_points`: of `operating_points`, each with "chosen_on_validation": sensitivity and
        specificity on the tested images at the threshold that reaches the level on validation.
      - `predictive_values`, `decision_curve`, `grouping`, `subgroups`: of their functions.
      - `folds`: {"foldN": {figure: number}}, and `across_folds`: {figure: {"pooled", "mean",
        "sd", "lowest", "highest"}} of the two folds and more where it is defined.

    Raises:
      EvaluationError: predictions that are none.
    """
    y, p, groups = tested.labels, tested.probabilities, tested.groups
    after = calibration_figures(y, p, groups)
    found: dict[str, Any] = {
        "calibration": {
            "before": calibration_figures(y, raw.probabilities, groups),
            "after": after,
            "verdict": verdict(after),
        }
    }
    if tested.thresholds is not None:
        points = operating_points(y, p, groups)
        for name, point in points.items():
            if name in cuts:
                thresholds = np.array([cuts[name][fold] for fold in tested.folds.tolist()])
                point["chosen_on_validation"] = rates_at(y, p, thresholds, groups)
        found["operating_points"] = points
        found["predictive_values"] = predictive_values(y, p, tested.thresholds, groups)
        found["decision_curve"] = decision_curve(y, p, groups)
    if len(np.unique(tested.folds)) > 1:
        found["folds"] = folds = fold_figures(tested)
        found["across_folds"] = across_folds(tested, folds)
    found["grouping"] = grouping(tested, training)
    found["subgroups"] = subgroup_figures(tested)
    return {name: part for name, part in found.items() if part}


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
