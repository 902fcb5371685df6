"""AUROCs of several scores of the same examples, as estimates that can be compared."""

from collections.abc import Mapping

from numpy.typing import ArrayLike

from covidjax.evidence.estimates import Estimate, group_codes
from covidjax.evidence.intervals import figure_estimates
from covidjax.evidence.metrics import check_predictions


def auroc_estimates(
    labels: ArrayLike, probabilities: Mapping[str, ArrayLike], groups: ArrayLike
) -> dict[str, Estimate]:
    """The AUROC of each score (macro one-against-rest for more than two classes).

    Values and intervals are those that `intervals.metrics_with_intervals` gives. The difference of
    two is `estimates.difference`.

    Args:
      labels: int [n].
      probabilities: a name and float [n, k] each.
      groups: [n], patient or examination.

    Raises:
      EvaluationError: as `intervals.metrics_with_intervals`.
    """
    found = {}
    for name, probability in probabilities.items():
        y, p = check_predictions(labels, probability)
        found[name] = figure_estimates(y, p, None, group_codes(groups, len(y)))["auroc"]
    return found
