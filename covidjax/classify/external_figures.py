"""The figures of radiographs from elsewhere, and what their share of positives does to them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covidjax.classify.external import External
from covidjax.evidence import intervals, metrics
from covidjax.evidence.estimates import group_codes
from covidjax.evidence.rates import rate
from covidjax.runs import results

SPLIT = "external"
# Figures that another share of positives would change, and the groups that each class must have.
OF_PREVALENCE = ("accuracy", "f1", "average_precision", "brier", "ece", "ppv")
FEWEST_GROUPS = 30


def evaluate(
    external: External,
    probabilities: NDArray[np.float64],
    threshold: float | None,
    classes: Sequence[str],
    folder: Path,
    *,
    phantom: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes `predictions_external.csv` into the run's folder, and returns the figures.

    Args:
      external: what is left after `without_known`.
      probabilities: [n, classes], those that `covidjax.predict` gives: calibrated, the mean over
        the run's networks.
      threshold: on class 1's calibrated probability, the run's own; None for
        more than two classes.
      classes: names.
      folder: the run's workdir.
      phantom: the run is synthetic.

    Returns:
      What belongs under `splits` as `external` (figures with intervals; those that need two
      classes are undefined where the folder has one), and what belongs in `results.json` as
      `external`: {"folder", "images", "labels": {class: images}, "groups": {class: groups},
      "threshold", "confusion_matrix", "left_out": {image: reason}, "notes": {image: note}} and, for
      two classes, "prevalence" and "ppv" of the folder. "struck" names the figures that depend on
      the folder's prevalence, where a class has fewer than 30 groups.
    """
    results.write_predictions(
        folder / f"predictions_{SPLIT}.csv",
        list(external.names),
        list(external.groups),
        external.labels,
        None,
        probabilities,
        classes,
        phantom=phantom,
    )
    figures = intervals.metrics_with_intervals(
        external.labels, probabilities, external.groups, threshold
    )
    counts = np.bincount(external.labels, minlength=len(classes)).tolist()
    matrix = metrics.confusion_matrix(external.labels, probabilities, threshold)
    facts: Mapping[str, Any] = {
        "folder": external.folder.name,
        "images": len(external.names),
        "labels": dict(zip(classes, counts, strict=True)),
        **_by_prevalence(external, probabilities, threshold, classes),
        "threshold": threshold,
        "confusion_matrix": matrix.tolist(),
        "left_out": external.left_out,
        "notes": {name: external.notes[name] for name in external.names if name in external.notes},
    }
    return figures, dict(facts)


def _by_prevalence(
    external: External,
    probabilities: NDArray[np.float64],
    threshold: float | None,
    classes: Sequence[str],
) -> dict[str, Any]:
    """How many groups each class has, and for two classes prevalence and PPV."""
    y, codes = external.labels, group_codes(external.groups, len(external.labels))
    groups = {name: len(np.unique(codes[y == c])) for c, name in enumerate(classes)}
    found: dict[str, Any] = {"groups": groups}
    if len(classes) == 2:
        called = metrics.call_classes(probabilities, threshold) == 1
        found |= {"prevalence": float(y.mean())}
        found |= {"ppv": rate(y == 1, called, codes).row(int(called.sum()))}
    return found | {"struck": list(OF_PREVALENCE) if min(groups.values()) < FEWEST_GROUPS else []}
