"""Two classes: what a threshold gives, and what its calls mean at an assumed prevalence."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from covidjax.evaluation.intervals import (
    cumulated,
    group_codes,
    percentiles,
    resampled_weights,
    spread,
)
from covidjax.evaluation.metrics import EvaluationError, Floats, Ints, check_predictions

LEVELS = (0.90, 0.95)
# From screening (1 in 1,000) to the share in this kind of data set.
PREVALENCES = (
    *(0.001, 0.0015, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07),
    *(0.1, 0.15, 0.2, 0.3, 0.4, 0.5),
)
# Share 0.9 of 10 negatives is 1 false positive, not 0.9999999.
ROUNDING = 1e-9


def operating_points(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Sensitivity at a specificity of at least 0.90 and 0.95, and the reverse, read off the ROC.

    The points are those that a threshold reaches, without interpolation. The threshold is looked
    up in the labels themselves, in every resample anew: these figures describe the ranking.

    Args:
      labels: int [n], 0 or 1.
      probabilities: float [n, 2].
      groups: [n], patient or examination.

    Returns:
      {"sensitivity_at_specificity_0.90": {"value", "ci95", "n", "threshold"}, ...}; class 1 is
      called from `threshold` on (inf: never). Empty where the labels hold one class. `ci95` is None
      where a class is in one group.

    Raises:
      EvaluationError: what `check_predictions` and `group_codes` refuse; more than two classes.
    """
    y, p = _two_classes(labels, probabilities)
    codes = group_codes(groups, len(y))
    if len(np.unique(y)) < 2:
        return {}
    score, positive = p[:, 1], y == 1
    values = _at_levels(*cumulated(positive, score, np.ones((1, len(y)))))
    drawn = None
    if spread(y, codes):
        parts = [
            _at_levels(*cumulated(positive, score, weights))
            for weights in resampled_weights(y, codes, samples, seed)
        ]
        drawn = {name: np.concatenate([part[name][0] for part in parts]) for name in values}
    # Halfway to the next lower score, which gives the same calls.
    falling = np.unique(score)[::-1]
    cuts = np.concatenate([[np.inf], (falling + np.append(falling[1:], falling[-1])) / 2])
    return {
        name: {
            "value": float(value[0]),
            "ci95": percentiles(drawn[name]) if drawn else None,
            "n": int((positive == name.startswith("sensitivity")).sum()),
            "threshold": float(cuts[place[0]]),
        }
        for name, (value, place) in values.items()
    }


def rates_at(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    groups: ArrayLike,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """{"sensitivity", "specificity": {"value", "ci95", "n"}} at a threshold, one or one an example.

    Arguments, None and what is empty: as in `operating_points`.
    """
    y, p = _two_classes(labels, probabilities)
    codes = group_codes(groups, len(y))
    if len(np.unique(y)) < 2:
        return {}
    found, drawn = _rates(y, p, threshold, codes, samples, seed)
    return {
        name: {
            "value": float(found[place, 0]),
            "ci95": None if drawn is None else percentiles(drawn[place]),
            "n": int((y == 1 - place).sum()),
        }
        for place, name in enumerate(("sensitivity", "specificity"))
    }


def predictive_values(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    groups: ArrayLike,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """PPV and NPV of the calls at a threshold, for a prevalence from 0.1 % to 50 %.

    By Bayes' rule from sensitivity and specificity (Altman and Bland 1994): the share of positives
    among these images is that of whoever collected them, and says nothing about a clinic's. It is
    assumed that sensitivity and specificity are the same there.

    Where no error of a class was seen, resampling cannot show one, and PPV would be 1 without
    doubt at any prevalence. The draws of such a rate are then those of Beta(groups of the class,
    1), whose lower end is Clopper and Pearson's exact bound, with one observation a group.

    Args:
      labels, probabilities, groups: as in `operating_points`.
      threshold: one number, or one an example [n]; class 1 is called at or above it.

    Returns:
      {"sensitivity", "specificity": number, "prevalence": [m], "ppv", "npv": {"value", "low",
      "high": [m]}}; low and high are None where a class is in one group, a value is nan where
      nothing is called so. Empty where the labels hold one class.
    """
    y, p = _two_classes(labels, probabilities)
    codes = group_codes(groups, len(y))
    if len(np.unique(y)) < 2:
        return {}
    found, rates = _rates(y, p, threshold, codes, samples, seed)
    value = _predictive(*found)
    low = high = None
    if rates is not None:
        for c, rate in ((1, 0), (0, 1)):
            if found[rate, 0] == 1:
                count = len(np.unique(codes[y == c]))
                rates[rate] = np.random.default_rng([seed, c]).random(samples) ** (1 / count)
        edges = np.nanquantile(_predictive(*rates), [0.025, 0.975], axis=1)
        low, high = np.fmin(edges[0], value[:, 0]), np.fmax(edges[1], value[:, 0])
    columns = {
        name: {
            "value": value[i, 0].tolist(),
            "low": None if low is None else low[i].tolist(),
            "high": None if high is None else high[i].tolist(),
        }
        for i, name in enumerate(("ppv", "npv"))
    }
    rates_found = {"sensitivity": float(found[0, 0]), "specificity": float(found[1, 0])}
    return {**rates_found, "prevalence": list(PREVALENCES), **columns}


def _two_classes(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Ints, Floats]:
    y, p = check_predictions(labels, probabilities)
    if p.shape[1] != 2:
        raise EvaluationError(f"operating points are of two classes, there are {p.shape[1]}")
    return y, p


def _at_levels(true: Floats, false: Floats) -> dict[str, tuple[Floats, Ints]]:
    """Each figure's values [s], and the column [s] of `cumulated`'s arrays that reaches it."""
    rows = np.arange(len(true))
    positives, negatives = true[:, -1:], false[:, -1:]
    found: dict[str, tuple[Floats, Ints]] = {}
    for level in LEVELS:
        allowed = (1 - level) * negatives + ROUNDING
        place = (false <= allowed).sum(axis=1) - 1
        # Of the thresholds with the same sensitivity the highest: no false positives for nothing.
        place = (true < true[rows, place][:, None]).sum(axis=1)
        value = true[rows, place] / positives[:, 0]
        found[f"sensitivity_at_specificity_{level:.2f}"] = value, place
    for level in LEVELS:
        place = (true < level * positives - ROUNDING).sum(axis=1)
        value = 1 - false[rows, place] / negatives[:, 0]
        found[f"specificity_at_sensitivity_{level:.2f}"] = value, place
    return found


def _rates(
    y: Ints, p: Floats, threshold: ArrayLike, codes: Ints, samples: int, seed: int
) -> tuple[Floats, Floats | None]:
    """Sensitivity and specificity [2, 1], and [2, samples] of resamples or None."""
    right = (p[:, 1] >= np.asarray(threshold, dtype=np.float64)) == (y == 1)
    terms = np.stack([right & (y == 1), right & (y == 0), y == 1, y == 0], axis=1).astype(float)

    def rates(sums: Floats) -> Floats:
        return (sums[:, :2] / sums[:, 2:]).T

    found = rates(terms.sum(axis=0)[None])
    if not spread(y, codes):
        return found, None
    drawn = [rates(weights @ terms) for weights in resampled_weights(y, codes, samples, seed)]
    return found, np.concatenate(drawn, axis=1)


def _predictive(sensitivity: Floats, specificity: Floats) -> Floats:
    """PPV and NPV [2, s, m] at the prevalences; nan where no example is called so."""
    ill = np.asarray(PREVALENCES)
    se, sp = sensitivity[:, None], specificity[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = se * ill / (se * ill + (1 - sp) * (1 - ill))
        negative = sp * (1 - ill) / (sp * (1 - ill) + (1 - se) * ill)
    return np.stack([positive, negative])
