"""Operating points and predictive values, against slow and plain ways to compute them."""

import numpy as np
import pytest
from simulated import predicted
from sklearn.metrics import roc_curve

from benchmarks.coverage import Cell, covered
from covidjax.evidence.metrics import EvaluationError
from covidjax.evidence.operating import (
    PREVALENCES,
    operating_points,
    predictive_values,
    rates_at,
)


def two(scores):
    return np.stack([1 - np.asarray(scores), scores], axis=1)


@pytest.mark.parametrize("digits", [1, 2, 12])
def test_points_are_the_best_that_a_threshold_reaches(digits):
    made = predicted(300)
    scores = made.probabilities[:, 1].round(digits)
    points = operating_points(made.labels, two(scores), made.groups)
    false, true, _ = roc_curve(made.labels, scores, drop_intermediate=False)
    for level in (0.90, 0.95):
        expected = true[1 - false >= level - 1e-9].max()
        assert points[f"sensitivity_at_specificity_{level:.2f}"]["value"] == pytest.approx(expected)
        expected = (1 - false[true >= level - 1e-9]).max()
        assert points[f"specificity_at_sensitivity_{level:.2f}"]["value"] == pytest.approx(expected)


def test_the_threshold_gives_what_is_promised():
    made = predicted(300)
    points = operating_points(made.labels, made.probabilities, made.groups)
    for name, point in points.items():
        rates = rates_at(made.labels, made.probabilities, point["threshold"], made.groups)
        figure, _, other, level = name.split("_")
        assert rates[figure]["value"] == pytest.approx(point["value"])
        assert rates[figure]["n"] == point["n"] == 150
        assert rates[other]["value"] >= float(level)


def test_the_threshold_between_separate_classes_lies_halfway():
    labels = np.repeat([0, 1], 20)
    scores = np.concatenate([np.linspace(0.125, 0.25, 20), np.linspace(0.75, 0.875, 20)])
    points = operating_points(labels, two(scores), np.arange(40))
    assert points["sensitivity_at_specificity_0.90"]["threshold"] == 0.5
    assert {point["value"] for point in points.values()} == {1.0}


def test_the_interval_of_a_point_is_wider_than_that_of_the_rate_at_its_threshold():
    """For the threshold was looked up in the same images."""
    made = predicted(300)
    points = operating_points(made.labels, made.probabilities, made.groups)
    for name, point in points.items():
        rates = rates_at(made.labels, made.probabilities, point["threshold"], made.groups)
        low, high = rates[name.split("_")[0]]["ci95"]
        assert point["ci95"][0] < low < point["value"] < high < point["ci95"][1]


@pytest.mark.parametrize("positives", [50, 400])
def test_points_and_predictive_values_cover(positives):
    found = covered("figures", Cell(positives, 200, 0.95, 1), 120)
    for name in ("sensitivity at 0.90", "PPV at 1 %", "sensitivity"):
        assert found[name][0] >= 0.9, name


def test_predictive_values_at_the_images_own_prevalence_are_the_counted_ones():
    labels = np.array([1] * 50 + [0] * 50)
    scores = np.array([0.9] * 45 + [0.2] * 5 + [0.1] * 40 + [0.8] * 10)
    found = predictive_values(labels, two(scores), 0.5, np.arange(100))
    assert found["prevalence"][-1] == 0.5
    assert found["sensitivity"] == 0.9 and found["specificity"] == pytest.approx(0.8)
    assert found["ppv"]["value"][-1] == pytest.approx(45 / 55)
    assert found["npv"]["value"][-1] == pytest.approx(40 / 45)
    # one in a thousand: of 0.9 + 199.8 called positive, 0.9 are
    assert found["ppv"]["value"][0] == pytest.approx(0.9 / (0.9 + 199.8))
    for name in ("ppv", "npv"):
        low, value, high = (np.array(found[name][key]) for key in ("low", "value", "high"))
        assert (low < value).all() and (value < high).all()


def test_no_false_positive_is_not_certainty():
    labels = np.array([1] * 40 + [0] * 60)
    scores = np.where(labels == 1, 0.9, 0.1)
    scores[0] = 0.2
    found = predictive_values(labels, two(scores), 0.5, np.arange(100))
    ppv = {key: found["ppv"][key][0] for key in ("low", "value", "high")}
    assert ppv["value"] == ppv["high"] == 1
    # specificity 0.025 ** (1 / 60) = 0.94, its exact lower bound; sensitivity at its own
    lowest, false = 0.868, 1 - 0.025 ** (1 / 60)
    assert ppv["low"] == pytest.approx(lowest * 0.001 / (lowest * 0.001 + false * 0.999), rel=0.01)


def test_each_example_may_have_its_folds_threshold():
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.3, 0.6, 0.8])
    found = predictive_values(labels, two(scores), [0.2, 0.2, 0.7, 0.7], [0, 1, 2, 3])
    assert found["sensitivity"] == found["specificity"] == 1


def test_nothing_called_positive_makes_the_ppv_undefined_and_the_npv_not():
    made = predicted(60)
    found = predictive_values(made.labels, made.probabilities, np.inf, made.groups)
    assert all(np.isnan(found["ppv"][key]).all() for key in ("value", "low", "high"))
    assert found["npv"]["value"] == pytest.approx([1 - share for share in PREVALENCES])


def test_one_class_has_nothing_and_a_class_in_one_group_no_interval():
    one = predicted(20)
    ones = np.ones(20, dtype=int)
    assert operating_points(ones, one.probabilities, one.groups) == {}
    assert predictive_values(ones, one.probabilities, 0.5, one.groups) == {}
    groups = np.where(one.labels == 1, "same", one.groups)
    points = operating_points(one.labels, one.probabilities, groups)
    assert {point["ci95"] for point in points.values()} == {None}
    assert predictive_values(one.labels, one.probabilities, 0.5, groups)["ppv"]["low"] is None


def test_three_classes_are_refused():
    made = predicted(30, 3)
    with pytest.raises(EvaluationError, match="two classes"):
        operating_points(made.labels, made.probabilities, made.groups)
