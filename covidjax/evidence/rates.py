"""Shares of examples, with intervals that hold for few examples and for groups of them."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, t

from covidjax.evidence.estimates import TAIL, Estimate, effective_number, influence_of_mean
from covidjax.evidence.metrics import Ints


def rate(hits: NDArray[np.bool_], where: NDArray[np.bool_], codes: Ints) -> Estimate:
    """The share of hits among the examples `where`, with Clopper and Pearson's interval.

    The number of examples is the effective one (`estimates.effective_number`), as Korn and
    Graubard (1998) have it for survey data: with all examples alike the number of groups. Where
    there are clusters it is lessened by the squared ratio of Student's t for the examples and for
    the groups, for few groups hardly tell how much alike they are.

    Args:
      hits, where: bool [n].
      codes: int [n], the group of each example.

    Returns:
      The estimate; undefined without examples, without an interval where they are in one group.
    """
    group_count = int(codes.max()) + 1 if len(codes) else 0
    own, values = codes[where], hits[where].astype(np.float64)
    if len(own) == 0:
        return Estimate(np.nan, np.nan, np.nan, np.zeros(group_count))
    value, groups = float(values.mean()), len(np.unique(own))
    if groups < 2:
        return Estimate(value, np.nan, np.nan, np.zeros(group_count), groups)
    number = effective_number(values, own)
    if groups < len(own):
        number *= float(t.isf(TAIL, len(own) - 1) / t.isf(TAIL, groups - 1)) ** 2
    low, high = clopper_pearson(value, max(number, 1.0))
    return Estimate(value, low, high, influence_of_mean(values, own, group_count), groups)


def clopper_pearson(value: float, number: float) -> tuple[float, float]:
    """The exact 95 % interval of a share `value` of `number` independent examples."""
    hits = value * number
    low = float(beta.ppf(TAIL, hits, number - hits + 1)) if value > 0 else 0.0
    high = float(beta.isf(TAIL, hits + 1, number - hits)) if value < 1 else 1.0
    return min(low, value), max(high, value)


def f_measure(recall: Estimate, specificity: Estimate, odds: float) -> Estimate:
    """F1 = 2 J / (1 + J), with J = recall / (1 + odds * (1 - specificity)), Jaccard's index.

    The rates' distances to their limits are combined on the scale of log J (Zou and Donner 2008).

    Args:
      recall, specificity: of the class.
      odds: examples of the other classes for each one of the class, taken as given.
    """
    called = 1 + odds * (1 - specificity.value)
    index = recall.value / called
    slope = 2 / (1 + index) ** 2
    influence = (slope / called) * (recall.influence + index * odds * specificity.influence)
    groups = min(recall.groups, specificity.groups)
    value = 2 * index / (1 + index)
    if not (recall.has_interval and specificity.has_interval):
        return Estimate(value, np.nan, np.nan, influence, groups)
    fewer, more = (1 + odds * (1 - end) for end in (specificity.high, specificity.low))
    if index == 0:
        low, high = 0.0, recall.high / fewer
    else:
        below = np.hypot(_log_ratio(recall.value, recall.low), np.log(more / called))
        above = np.hypot(np.log(recall.high / recall.value), np.log(called / fewer))
        low, high = index * np.exp(-below), index * np.exp(above)
    low, high = (2 * min(end, 1.0) / (1 + min(end, 1.0)) for end in (float(low), float(high)))
    return Estimate(value, low, high, influence, groups)


def _log_ratio(value: float, low: float) -> float:
    return float(np.log(value / low)) if low > 0 else np.inf
