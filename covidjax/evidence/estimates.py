"""A figure with its interval, and figures made of several: means, differences.

An `Estimate` carries, beside value and interval, what each group contributed to the value's error
(its influence). The influences of two figures over the same groups give their correlation, and so
the interval of a difference or a mean without any resampling.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from covidjax.evidence.metrics import EvaluationError, Floats, Ints

TAIL = 0.025  # on either side of a 95 % interval
Z = float(norm.isf(TAIL))
TELLING = 10  # groups in a class, from which two figures' correlation is used
FEW = 50  # groups; with fewer in a class the row says so


class Estimate(NamedTuple):
    """A figure.

    Attributes:
      value: nan where it is undefined.
      low, high: the 95 % interval; nan where there is none.
      influence: float [groups], what each group adds to the error of `value`. The sum of their
        squares is the variance, clusters included.
      groups: of the class that has the fewest, which limits what can be known.
    """

    value: float
    low: float
    high: float
    influence: Floats
    groups: int = 0

    @property
    def has_interval(self) -> bool:
        return not np.isnan([self.value, self.low, self.high]).any()

    @property
    def error(self) -> float:
        """The standard error, clusters included."""
        return error_of(self.influence)

    def without_interval(self) -> "Estimate":
        """The value alone."""
        return self._replace(low=np.nan, high=np.nan)

    def row(self, n: int) -> dict[str, Any]:
        """`{"value", "ci95": [low, high] or None, "n"}`, as in `results.json`.

        With fewer than 50 groups in a class, "few_groups" is their number.
        """
        interval = [float(self.low), float(self.high)] if self.has_interval else None
        found = {"value": float(self.value), "ci95": interval, "n": n}
        return found | ({"few_groups": self.groups} if 0 < self.groups < FEW else {})


def group_codes(groups: ArrayLike, n: int) -> Ints:
    """groups as indices int64 [n] of the sorted distinct groups, or EvaluationError."""
    values = np.asarray(groups)
    if values.shape != (n,):
        raise EvaluationError(f"groups must be [{n}], one an example, not {list(values.shape)}")
    codes = pd.factorize(values, sort=True)[0].astype(np.int64)
    if (codes < 0).any():
        raise EvaluationError(
            f"{int((codes < 0).sum())} of {n} examples have no group, the first is example "
            f"{int(np.argmax(codes < 0))}; give an image without a known patient a group of its own"
        )
    return codes


def spread(labels: Ints, codes: Ints) -> bool:
    """Whether every class of labels [n] is in two groups or more, so that its variation shows."""
    return fewest_groups(labels, codes) > 1


def fewest_groups(labels: Ints, codes: Ints) -> int:
    """Groups of the class of labels [n] that is in the fewest."""
    return min(len(np.unique(codes[labels == c])) for c in np.unique(labels))


def influence_of_mean(values: Floats, codes: Ints, group_count: int) -> Floats:
    """What each group [group_count] adds to the error of the mean of values [n].

    Its squares add up to the cluster-robust variance of the mean, times g / (g - 1).
    """
    deviations = (values - values.mean()) / len(values)
    present = len(np.unique(codes))
    factor = float(np.sqrt(present / (present - 1))) if present > 1 else np.nan
    return summed(factor * deviations, codes, group_count)


def error_of(influence: Floats, each: Floats | None = None) -> float:
    """The standard error of influences [groups]; not below that of the images' own [n].

    Two groups that happen to be alike do not make the images' own errors vanish.
    """
    alone = 0.0 if each is None else (each**2).sum()
    return float(np.sqrt(max((influence**2).sum(), alone)))


def summed(values: Floats, codes: Ints, group_count: int) -> Floats:
    """The sum of values [n] within each group, [group_count]."""
    return np.bincount(codes, weights=values, minlength=group_count).astype(np.float64)


def effective_number(values: Floats, codes: Ints) -> float:
    """How many independent examples the n grouped ones are worth, for their mean.

    n over the design effect 1 + (k - 1) r of Kish (1965), with k the size of the group of an
    average example and r the intraclass correlation by analysis of variance, kept in [0, 1]. Where
    the values do not vary, nothing tells r, and it is taken to be 1: the most cautious.
    """
    n, sizes = len(values), np.unique(codes, return_counts=True)[1]
    groups = len(sizes)
    if groups == n:
        return float(n)
    codes = np.unique(codes, return_inverse=True)[1]
    means = np.bincount(codes, weights=values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / max(groups - 1, 1)
    within = float(((values - means[codes]) ** 2).sum()) / (n - groups)
    typical = (n - (sizes**2).sum() / n) / max(groups - 1, 1)
    scale = between + (typical - 1) * within
    correlation = min(max((between - within) / scale, 0.0), 1.0) if scale > 0 else 1.0
    return float(n / (1 + ((sizes**2).sum() / n - 1) * correlation))


def quantile(influences: Sequence[Floats], *, heavy: bool = False) -> float:
    """Student's t for an error that independent parts contribute to (Satterthwaite 1946).

    Args:
      influences: of each part, such as the positive and the negative examples, [groups] each.
      heavy: the contributions may have heavy tails, and their kurtosis takes degrees of freedom
        away: a variance that rests on few large errors is known as badly as one of few examples.
    """
    variances = np.array([(part**2).sum() for part in influences])
    free = np.array([np.count_nonzero(part) - 1.0 for part in influences])
    if heavy:
        fourth = np.array([(part**4).sum() for part in influences])
        for place, count in enumerate(free + 1):
            if variances[place] > 0:
                kurtosis = count * fourth[place] / variances[place] ** 2
                free[place] = min(free[place], 2 * count / max(kurtosis - 1, 1e-9))
    used = (variances > 0) & (free > 0)
    if not used.any():
        return Z
    freedom = variances[used].sum() ** 2 / (variances[used] ** 2 / free[used]).sum()
    return float(t.isf(TAIL, freedom))


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The unweighted mean of figures over the same groups, such as of the classes' sensitivities.

    The intervals' distances from the values are combined with the correlations of the figures
    (MOVER: Zou and Donner 2008, "Construction of confidence limits about effect measures").
    """
    if len(estimates) == 1:
        return estimates[0]
    count = len(estimates)
    value = float(np.mean([part.value for part in estimates]))
    influence = np.mean([part.influence for part in estimates], axis=0)
    groups = min(part.groups for part in estimates)
    if not all(part.has_interval for part in estimates):
        return Estimate(value, np.nan, np.nan, influence, groups)
    related = _correlations(estimates)
    distances = np.array([[e.value - e.low, e.high - e.value] for e in estimates])
    below, above = (np.sqrt(max(0.0, d @ related @ d)) / count for d in distances.T)
    return Estimate(value, value - float(below), value + float(above), influence, groups)


def difference(a: Estimate, b: Estimate, *, paired: bool = True, same: bool = False) -> Estimate:
    """a - b, for two figures over the same groups (paired) or over independent ones.

    Independent figures: MOVER, the square root of the sum of the squared distances of a's lower
    and b's upper limit, and the reverse. Paired ones lose the correlation of the two times the
    products of the distances on the same side (with 10 groups and more in each class: fewer tell no
    correlation), and are never narrower than the Wald interval of the clustered variance, for
    AUROCs the paired DeLong interval for clusters (Obuchowski 1997). That interval alone covers 86
    to 92 % where one AUROC is above 0.98 (`docs/statistics.md`). With `same` both are figures of
    the same predictions, and there is no difference.
    """
    value, groups = a.value - b.value, min(a.groups, b.groups)
    influence = a.influence - b.influence if paired else np.zeros(0)
    if not (a.has_interval and b.has_interval):
        return Estimate(value, np.nan, np.nan, influence, groups)
    a_below, a_above = a.value - a.low, a.high - a.value
    b_below, b_above = b.value - b.low, b.high - b.value
    shared = least = 0.0
    if paired and groups >= TELLING:
        # Errors that coincide in a few groups do not show that they always will.
        related = min(_correlations([a, b])[0, 1], 1 - 2 / groups)
        shared = related * (a_below * b_below + a_above * b_above)
    if paired:
        least = Z**2 * float((influence**2).sum())
    below = np.sqrt(max(a_below**2 + b_above**2 - shared, least))
    above = np.sqrt(max(a_above**2 + b_below**2 - shared, least))
    if same:
        below = above = 0.0
    return Estimate(value, value - float(below), value + float(above), influence, groups)


def _correlations(estimates: Sequence[Estimate]) -> NDArray[np.float64]:
    """[m, m], of the errors; 0 beside a figure whose error does not vary."""
    table = np.stack([part.influence for part in estimates])
    errors = np.sqrt((table**2).sum(axis=1))
    safe = np.where(errors > 0, errors, np.inf)
    related = (table / safe[:, None]) @ (table / safe[:, None]).T
    np.fill_diagonal(related, 1.0)
    return np.asarray(related, np.float64)
