"""AUROC and average precision of one class against the rest, with intervals over groups."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit, owens_t
from scipy.stats import norm

from covidjax.evidence.delong import placements
from covidjax.evidence.estimates import (
    TAIL,
    Estimate,
    Z,
    effective_number,
    error_of,
    influence_of_mean,
    quantile,
    summed,
)
from covidjax.evidence.metrics import Floats, Ints

END = 1e-9  # of the interval (0, 1) in which an AUROC is searched


def auroc(positive: NDArray[np.bool_], scores: Floats, codes: Ints) -> Estimate:
    """The AUROC with a score interval: all values that its error would not be too large for.

    A value A is in the interval where the estimate is no further from A than the larger of

    - Z standard errors of an AUROC of A with normal scores of equal variance in both classes, and
      as many independent examples as the grouped ones are worth (`estimates.effective_number`);
    - the standard error of DeLong's estimate for clusters (Obuchowski 1997), carried from the
      estimate to A in proportion to the former; times Student's t where there are clusters.

    An interval from the estimate's own error alone is too short where few positive examples happen
    to be ranked well (77 to 90 % coverage on the logit scale); see `docs/statistics.md` for both.
    Of an AUROC of 1 only the lower bound is left: TAIL ** (1 / k), with k the groups of the rarer
    class, holds whatever the scores' distribution, for k disjoint pairs were all ranked right.

    Args:
      positive: bool [n], both kinds there.
      scores: float [n], higher speaks for positive.
      codes: int [n], the group of each example.
    """
    above, below = placements(scores[positive][None], scores[~positive][None])
    value, group_count = float(above.mean()), int(codes.max()) + 1
    own, others = codes[positive], codes[~positive]
    groups = min(len(np.unique(own)), len(np.unique(others)))
    if groups < 2:
        return Estimate(value, np.nan, np.nan, np.zeros(group_count), groups)
    parts = [
        influence_of_mean(above[0], own, group_count),
        influence_of_mean(below[0], others, group_count),
    ]
    influence = parts[0] + parts[1]
    if np.ptp(scores) == 0:  # no score ranks anything: 0.5 is no estimate
        return Estimate(value, value, value, influence, groups)
    if value in (0.0, 1.0):
        bound = float(TAIL ** (1 / groups))
        low, high = (0.0, 1 - bound) if value == 0 else (bound, 1.0)
        return Estimate(value, low, high, influence, groups)
    numbers = effective_number(above[0], own), effective_number(below[0], others)
    clustered = len(np.unique(codes)) < len(codes)
    times = quantile(parts) if clustered else Z
    robust = times**2 * float((influence**2).sum())
    ratio = max(1.0, robust / (Z**2 * _variance(value, *numbers)))

    def excess(moved: float) -> float:
        a = float(expit(moved))
        return (value - a) ** 2 - Z**2 * ratio * _variance(a, *numbers)

    center, ends = float(logit(value)), (float(logit(END)), float(logit(1 - END)))
    low = expit(brentq(excess, ends[0], center)) if excess(ends[0]) > 0 else 0.0
    high = expit(brentq(excess, center, ends[1])) if excess(ends[1]) > 0 else 1.0
    return Estimate(value, float(low), float(high), influence, groups)


def average_precision(positive: NDArray[np.bool_], scores: Floats, codes: Ints) -> Estimate:
    """Average precision: the sum over thresholds of (recall step) * precision.

    The interval is symmetric on the logit scale (Boyd, Eng and Page 2013, "Area under the
    precision-recall curve"), with the error from each group's influence (the infinitesimal
    jackknife) and Student's t for the positive groups, and never smaller than if every image
    were a group of its own. Of 1 the lower bound is that of an AUROC of 1. Arguments as in `auroc`.
    """
    true, false = called_counts(positive, scores)
    gained, true = np.diff(true), true[1:]
    called, count = true + false[1:], true[-1]
    step = np.unique(-scores, return_inverse=True)[1]  # the threshold at which each is called
    value = float((gained * true / called).sum() / count)
    # One more example of either kind changes the precision at its threshold and at all below it.
    later = (gained / called)[::-1].cumsum()[::-1]
    falls = (gained * true / called**2)[::-1].cumsum()[::-1]
    each = np.where(positive, (true / called)[step] + later[step] - value, 0.0) - falls[step]
    group_count = int(codes.max()) + 1
    own, others = np.unique(codes[positive]), np.unique(codes[~positive])
    groups = min(len(own), len(others))
    if groups < 2:
        return Estimate(value, np.nan, np.nan, np.zeros(group_count), groups)
    factor = float(np.sqrt(len(own) / (len(own) - 1)))
    influence = factor * summed(each / count, codes, group_count)
    if value == 1:
        return Estimate(value, TAIL ** (1 / groups), 1.0, influence, groups)
    rare = np.where(np.isin(np.arange(group_count), own), influence, 0.0)
    error = error_of(influence, factor * each / count)
    half = quantile([rare], heavy=True) * error / (value * (1 - value))
    low, high = expit(logit(value) - half), expit(logit(value) + half)
    return Estimate(value, float(low), float(high), influence, groups)


def called_counts(positive: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """True and false positives, [d + 1] each, as the threshold falls.

    Entry 0 calls nothing; entry j calls the j highest of the d distinct scores.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    true = np.cumsum(positive[order])[ends].astype(np.float64)
    return np.append(0.0, true), np.append(0.0, ends + 1 - true)


def _variance(a: float, positives: float, negatives: float) -> float:
    """The variance of an estimated AUROC `a`, for normal scores of equal variance.

    `positives` and `negatives` are how many independent examples there are of each class.

    The general form is Bamber's (1975); P(one example stands right of two of the other class) is
    that of a pair of normal variables with correlation 1/2, by Owen's T function.
    """
    h = norm.ppf(a)
    shared = a - 2 * owens_t(h, np.sqrt(1 / 3)) - a**2
    single = max(a * (1 - a) - 2 * shared, 0.0) / (positives * negatives)
    return float(max(shared, 0.0) * (1 / positives + 1 / negatives) + single)
