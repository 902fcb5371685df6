"""Calibration figures see what the calibration error hides, and say no more than they show."""

import numpy as np
import pytest
from scipy.special import expit
from simulated import predicted
from sklearn.metrics import log_loss

from covidjax.evidence.calibration import calibration_figures, verdict
from covidjax.evidence.intervals import metrics_with_intervals
from covidjax.evidence.metrics import EvaluationError


def drawn(n=4000, rare=-2.0, slope=1.0, shift=0.0, seed=0):
    """Labels [n] drawn from true probabilities, and the same distorted in log odds, [n, 2]."""
    rng = np.random.default_rng(seed)
    odds = 1.5 * rng.normal(size=n) + rare
    labels = (rng.random(n) < expit(odds)).astype(int)
    p = expit(slope * odds + shift)
    return labels, np.stack([1 - p, p], axis=1), np.arange(n) // 2


def test_honest_probabilities_are_called_calibrated():
    figures = calibration_figures(*drawn(n=12_000))
    assert figures["slope"]["value"] == pytest.approx(1, abs=0.1)
    assert figures["intercept"]["value"] == pytest.approx(0, abs=0.1)
    assert figures["observed_expected"]["value"] == pytest.approx(1, abs=0.1)
    assert verdict(figures) == "calibrated"


@pytest.mark.parametrize(
    ("distorted", "figure", "value"),
    [
        ({"slope": 2.0}, "slope", 0.5),
        ({"shift": 0.7}, "intercept", -0.7),
        ({"slope": 0.72}, "slope", 1.39),
    ],
)
def test_what_was_distorted_is_found_and_not_called_calibrated(distorted, figure, value):
    figures = calibration_figures(*drawn(n=12_000, **distorted))
    assert figures[figure]["value"] == pytest.approx(value, abs=0.12)
    low, high = figures[figure]["ci95"]
    assert low < figures[figure]["value"] < high
    assert verdict(figures).startswith("calibration not shown: ")


def test_too_high_on_the_whole_shows_where_the_class_is_rare_and_the_error_is_small():
    """A class-weighted loss on a rare class: mean 0.049 at a prevalence of 0.034."""
    labels, p, groups = drawn(rare=-5.0, shift=0.6)
    figures = calibration_figures(labels, p, groups)
    assert figures["ece"]["value"] < 0.02
    assert figures["observed_expected"]["value"] < 0.75
    assert figures["mean_probability"] > 1.3 * figures["prevalence"]


def test_few_images_show_nothing():
    assert "slope" in verdict(calibration_figures(*drawn(n=60)))


def test_the_intervals_cover_slope_and_intercept():
    inside = {"slope": 0, "intercept": 0}
    for seed in range(120):
        figures = calibration_figures(*drawn(n=500, seed=seed))
        for name, value in (("slope", 1.0), ("intercept", 0.0)):
            low, high = figures[name]["ci95"]
            inside[name] += low <= value <= high
    assert min(inside.values()) >= 0.91 * 120


@pytest.mark.parametrize("classes", [2, 3])
def test_figures_are_those_of_the_metrics_with_the_same_intervals(classes):
    made = predicted(400, classes)
    given = (made.labels, made.probabilities, made.groups)
    found = calibration_figures(*given)
    expected = metrics_with_intervals(*given, made.thresholds)
    assert found["brier"]["value"] == pytest.approx(expected["brier"]["value"], abs=1e-12)
    assert found["brier"]["ci95"] == pytest.approx(expected["brier"]["ci95"], abs=1e-12)
    assert found["ece"]["value"] == pytest.approx(expected["ece"]["value"], abs=1e-12)
    assert found["ece"]["ci95"] is None
    assert found["log_loss"]["value"] == pytest.approx(log_loss(made.labels, made.probabilities))


def test_the_curve_has_bins_of_equally_many_images_inside_their_intervals():
    made = predicted(600)
    curve = calibration_figures(made.labels, made.probabilities, made.groups)["curve"]
    assert curve["n"] == [60] * 10
    order = np.argsort(made.probabilities[:, 1])
    first = made.labels[order[:60]].mean()
    assert curve["observed"][0] == pytest.approx(first)
    for low, value, high in zip(curve["low"], curve["observed"], curve["high"], strict=True):
        assert low <= value <= high
    assert np.all(np.diff(curve["predicted"]) > 0)


def test_equal_probabilities_stay_in_one_bin():
    p = np.repeat([0.2, 0.8], 50)
    labels = np.tile([0, 1], 50)
    curve = calibration_figures(labels, np.stack([1 - p, p], axis=1), np.arange(100))["curve"]
    assert curve["predicted"] == pytest.approx([0.2, 0.8]) and curve["n"] == [50, 50]


def test_separate_classes_have_no_slope_and_one_outcome_neither():
    labels = np.repeat([0, 1], 20)
    p = np.linspace(0.1, 0.9, 40)
    both = np.stack([1 - p, p], axis=1)
    figures = calibration_figures(labels, both, np.arange(40))
    assert np.isnan(figures["slope"]["value"]) and figures["intercept"]["ci95"] is None
    assert "the slope has no interval" in verdict(figures)
    one = calibration_figures(np.ones(40, int), both, np.arange(40))
    assert np.isnan(one["slope"]["value"]) and np.isnan(one["observed_expected"]["value"])


def test_groups_that_are_alike_do_not_make_the_images_errors_vanish():
    labels = np.tile([0, 0, 0, 1, 1], 5)
    p = np.tile([0.1, 0.5, 0.7, 0.6, 0.9], 5)
    figures = calibration_figures(labels, np.stack([1 - p, p], axis=1), np.arange(5).repeat(5))
    for name in ("observed_expected", "intercept", "slope"):
        low, high = figures[name]["ci95"]
        assert high - low > 0.5, name


def test_one_group_has_no_interval_and_wrong_inputs_are_refused():
    made = predicted(40)
    found = calibration_figures(made.labels, made.probabilities, ["a"] * 40)
    assert found["brier"]["ci95"] is None and set(found["curve"]["low"]) == {None}
    assert found["slope"]["ci95"] is None
    with pytest.raises(EvaluationError):
        calibration_figures([0, 1], np.array([[3.0, -2.0], [1.0, 1.0]]), [0, 1])
