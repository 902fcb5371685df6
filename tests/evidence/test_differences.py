"""Differences of two models: paired where the images are the same, else not."""

import numpy as np
import pytest
from scipy.stats import binom
from simulated import predicted

from covidjax.evidence.differences import figure_differences, mcnemar, paired_differences
from covidjax.evidence.intervals import metrics_with_intervals
from covidjax.evidence.metrics import FIGURES, EvaluationError


def interval_width(figure):
    return figure["ci95"][1] - figure["ci95"][0]


@pytest.mark.parametrize("classes", [2, 3])
def test_each_side_has_the_figures_of_its_own_run(classes):
    a, b = predicted(200, classes), predicted(200, classes, seed=1)
    found = figure_differences(a, b, together=True)
    for key, side in (("a", a), ("b", b)):
        own = metrics_with_intervals(side.labels, side.probabilities, side.groups, side.thresholds)
        for name in FIGURES:
            assert found[name][key]["value"] == own[name]["value"]
            assert found[name][key]["ci95"] == own[name]["ci95"]
    for figure in found.values():
        assert figure["difference"]["value"] == figure["a"]["value"] - figure["b"]["value"]


def test_pairing_narrows_the_difference_of_models_that_err_alike():
    a = predicted(300)
    nudged = (a.probabilities + 0.02 * np.random.default_rng(1).random((300, 2))) / 1.02
    b = a._replace(probabilities=nudged / nudged.sum(axis=1, keepdims=True))
    together = figure_differences(a, b, together=True)
    apart = figure_differences(a, b, together=False)
    for name in ("auroc", "accuracy", "brier"):
        assert interval_width(together[name]["difference"]) < 0.5 * interval_width(
            apart[name]["difference"]
        )


def test_a_model_does_not_differ_from_itself():
    a = predicted(100)
    found = paired_differences(a, a)
    differences = {name: row["difference"] for name, row in found["figures"].items()}
    assert differences.pop("ece")["ci95"] is None
    assert all(row["ci95"] == [0, 0] and row["value"] == 0 for row in differences.values())
    assert found["delong"]["p"] == found["mcnemar"]["p"] == 1


def test_copies_of_an_image_narrow_delong_and_not_the_grouped_difference():
    a, b = predicted(100, seed=2), predicted(100, seed=3, skill=1.0)
    four = np.arange(100).repeat(4)
    names = np.array([f"{i}" for i in range(400)])
    copies = [made.at(four)._replace(names=names) for made in (a, b)]
    once, often = paired_differences(a, b), paired_differences(*copies)
    grouped = [interval_width(found["figures"]["auroc"]["difference"]) for found in (once, often)]
    assert grouped[1] == pytest.approx(grouped[0], rel=0.02)
    assert interval_width(often["delong"]) < 0.6 * interval_width(once["delong"])


def test_a_class_in_one_group_has_no_interval_and_the_accuracy_has():
    a, b = predicted(40), predicted(40, seed=1)
    groups = np.where(a.labels == 1, "same", a.groups)
    found = figure_differences(a._replace(groups=groups), b, together=True)
    assert found["auroc"]["difference"]["ci95"] is None
    assert found["auroc"]["b"]["ci95"] is None  # paired: both by the groups of a
    assert found["accuracy"]["difference"]["ci95"] is not None


def test_mcnemar_is_the_two_sided_binomial():
    right_a = np.array([True] * 50 + [True] * 12 + [False] * 3)
    right_b = np.array([True] * 50 + [False] * 12 + [True] * 3)
    found = mcnemar(right_a, right_b)
    assert (found["only_a_right"], found["only_b_right"]) == (12, 3)
    assert found["p"] == pytest.approx(2 * binom.cdf(3, 15, 0.5))


def test_calls_are_made_at_each_models_own_threshold():
    a = predicted(100)
    shifted = a.probabilities[:, 1] / 2
    b = a._replace(
        probabilities=np.stack([1 - shifted, shifted], axis=1), thresholds=np.full(100, 0.25)
    )
    found = paired_differences(a, b)
    assert found["mcnemar"]["only_a_right"] == found["mcnemar"]["only_b_right"] == 0


def test_more_classes_have_no_delong():
    found = paired_differences(predicted(90, 3), predicted(90, 3, seed=1))
    assert "delong" not in found and found["mcnemar"]["p"] <= 1


def test_other_images_or_another_order_are_refused():
    a = predicted(20)
    with pytest.raises(EvaluationError, match="same order"):
        paired_differences(a, a.at(np.arange(20)[::-1]))
    with pytest.raises(EvaluationError, match="calls must be"):
        mcnemar([True], [True, False])
