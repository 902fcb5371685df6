"""How honest probabilities are: in the large, in their slope, along their range.

Van Calster et al. 2019, "Calibration: the Achilles heel of predictive analytics": the ratio of
observed to expected cases and the intercept say whether risks are too high or too low on the whole,
the slope whether they are too extreme (below 1) or too timid. The expected calibration error shows
none of this where one class is rare, and has a bias that grows as images get fewer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import t

from covidjax.evidence.estimates import (
    TAIL,
    Estimate,
    error_of,
    fewest_groups,
    group_codes,
    influence_of_mean,
    summed,
)
from covidjax.evidence.intervals import mean_error
from covidjax.evidence.metrics import (
    ECE_BINS,
    Floats,
    Ints,
    calibration_terms,
    check_predictions,
    confidences,
    squared_errors,
)
from covidjax.evidence.rates import rate

CURVE_BINS = 10
NEAREST = 1e-9  # of a probability to 0 and 1, before its log odds
SLOPES = (0.8, 1.25)  # that the slope's interval has to lie in, to be called calibrated
INTERCEPT = 0.2  # in log odds, either side of 0
NAMES = {
    "brier": "Brier score",
    "ece": "ECE",
    "log_loss": "log loss",
    "observed_expected": "observed / expected",
    "intercept": "calibration intercept",
    "slope": "calibration slope",
}


def calibration_figures(
    labels: ArrayLike, probabilities: ArrayLike, groups: ArrayLike
) -> dict[str, Any]:
    """Brier score, ECE, log loss, calibration in the large, slope and curve, over groups.

    The probability of class 1 for two classes, of the called class for more, is compared with
    whether it came true.

    Returns:
      {"brier", "ece", "log_loss", "observed_expected", "intercept", "slope": {"value", "ci95",
      "n"}, "prevalence", "mean_probability": numbers, "curve": {"predicted", "observed", "low",
      "high", "n"}}. `log_loss` is the mean of -log of the label's probability (nats). `intercept`
      is the shift of the log odds that makes the mean probability the prevalence; `slope` is of a
      logistic regression on the log odds. The curve has up to 10 bins of equally many images: mean
      predicted probability, share that came true, its 95 % interval. What is undefined (one
      outcome only) is nan; `ci95` and the curve's ends are None where there are fewer than 2
      groups; the ECE has no interval.
    """
    y, p = check_predictions(labels, probabilities)
    codes, n = group_codes(groups, len(y)), len(y)
    group_count = int(codes.max()) + 1 if n else 0
    calls = np.argmax(p, axis=1).astype(np.int64)
    predicted, outcome = confidences(y, p, calls)
    several = group_count > 1
    rows: dict[str, Estimate] = {}
    nothing = Estimate(np.nan, np.nan, np.nan, np.zeros(group_count))
    if n:
        losses = -np.log(np.maximum(p[np.arange(n), y], np.finfo(np.float64).tiny))
        for name, errors in (("brier", squared_errors(y, p)), ("log_loss", losses)):
            rows[name] = mean_error(errors, y, codes)
        bins, gaps = calibration_terms(y, p, calls)
        error = np.abs(np.bincount(bins, weights=gaps, minlength=ECE_BINS)).sum() / n
        rows["ece"] = nothing._replace(value=float(error))
    if len(np.unique(outcome)) == 2:
        rows["observed_expected"] = _observed_expected(predicted, outcome, codes)
        rows["intercept"], rows["slope"] = _recalibrated(predicted, outcome, codes)
    found: dict[str, Any] = {}
    for name in NAMES:
        row = rows.get(name, nothing)
        found[name] = (row if several else row.without_interval()).row(n)
    found["prevalence"] = float(outcome.mean()) if n else float("nan")
    found["mean_probability"] = float(predicted.mean()) if n else float("nan")
    return found | {"curve": _curve(predicted, outcome, codes)}


def verdict(figures: Mapping[str, Any]) -> str:
    """`calibrated` or `calibration not shown: WHY`, of `calibration_figures`.

    Calibrated needs the slope's interval within 0.8 to 1.25 and the intercept's within 0.2 of 0,
    which few images never show.
    """
    reasons = []
    for name, (least, most) in (("slope", SLOPES), ("intercept", (-INTERCEPT, INTERCEPT))):
        interval = figures[name]["ci95"]
        if interval is None:
            reasons.append(f"the {name} has no interval")
        elif interval[0] < least or interval[1] > most:
            low, high = interval
            reasons.append(f"{name} [{low:.2f}, {high:.2f}] is not within {least:g} to {most:g}")
    return f"calibration not shown: {'; '.join(reasons)}" if reasons else "calibrated"


def _observed_expected(predicted: Floats, outcome: Ints, codes: Ints) -> Estimate:
    """Observed over expected cases, its interval on the log scale.

    Errors are summed in groups, and no smaller than if every image were a group of its own.
    """
    group_count = int(codes.max()) + 1
    observed, expected = float(outcome.mean()), float(predicted.mean())
    if expected <= 0:
        return Estimate(np.nan, np.nan, np.nan, np.zeros(group_count))
    ratio = observed / expected
    each = outcome - ratio * predicted
    influence = influence_of_mean(each, codes, group_count) / expected
    groups = fewest_groups(outcome, codes)
    error = error_of(influence, each / len(each) / expected)
    factor = float(np.exp(t.isf(TAIL, max(groups - 1, 1)) * error / ratio))
    return Estimate(ratio, ratio / factor, ratio * factor, influence, groups)


def _recalibrated(predicted: Floats, outcome: Ints, codes: Ints) -> tuple[Estimate, Estimate]:
    """Intercept (at slope 1) and slope, with errors summed in groups (sandwich) and Student's t.

    They are no smaller than if every image were a group of its own.
    """
    group_count = int(codes.max()) + 1
    odds = logit(np.clip(predicted, NEAREST, 1 - NEAREST))
    nothing = Estimate(np.nan, np.nan, np.nan, np.zeros(group_count))

    def excess(shift: float) -> float:
        return float((expit(odds + shift) - outcome).sum())

    shift = float(brentq(excess, -60, 60))
    intercept = _sandwich(shift, np.ones((len(odds), 1)), odds + shift, outcome, codes, 0)
    design = np.stack([np.ones_like(odds), odds], axis=1)
    if _separated(odds, outcome):  # then odds that were clipped say too much
        return intercept.without_interval(), nothing
    if np.ptp(odds) == 0:
        return intercept, nothing
    from sklearn.linear_model import LogisticRegression  # a second to import

    scale = float(odds.std())
    model = LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8)
    model.fit((odds / scale)[:, None], outcome)
    slope, constant = float(model.coef_[0, 0]) / scale, float(model.intercept_[0])
    return intercept, _sandwich(slope, design, constant + slope * odds, outcome, codes, 1)


def _sandwich(
    value: float, design: Floats, odds: Floats, outcome: Ints, codes: Ints, place: int
) -> Estimate:
    """One coefficient of a logistic regression, its interval by the clusters' scores."""
    group_count = int(codes.max()) + 1
    p = expit(odds)
    bread = np.linalg.pinv(design.T @ (design * (p * (1 - p))[:, None]))
    each = (design * (outcome - p)[:, None]) @ bread[place]
    influence = summed(each, codes, group_count) * float(
        np.sqrt(group_count / max(group_count - 1, 1))
    )
    # The fewer cases decide how well either is known.
    cases = fewest_groups(outcome, codes)
    half = float(t.isf(TAIL, max(cases - 1, 1)) * error_of(influence, each))
    return Estimate(value, value - half, value + half, influence, cases)


def _separated(odds: Floats, outcome: Ints) -> bool:
    """Whether one score parts the outcomes, so that the slope has no bound."""
    return bool(
        odds[outcome == 1].min() >= odds[outcome == 0].max()
        or odds[outcome == 1].max() <= odds[outcome == 0].min()
    )


def _curve(predicted: Floats, outcome: Ints, codes: Ints) -> dict[str, list[Any]]:
    """Up to 10 bins of equally many images; equal probabilities stay together."""
    curve: dict[str, list[Any]] = {"predicted": [], "observed": [], "low": [], "high": [], "n": []}
    if len(predicted) == 0:
        return curve
    values = np.sort(predicted)
    edges = np.unique(values[(np.arange(1, CURVE_BINS) * len(values)) // CURVE_BINS])
    bins = np.searchsorted(edges, predicted, side="right")
    for index in np.unique(bins):
        own = bins == index
        share = rate(outcome == 1, own, codes)
        ends = (share.low, share.high) if share.has_interval else (None, None)
        row = (float(predicted[own].mean()), share.value, *ends, int(own.sum()))
        for column, entry in zip(curve.values(), row, strict=True):
            column.append(entry)
    return curve
