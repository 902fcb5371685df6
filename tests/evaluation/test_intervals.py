"""The grouped bootstrap: exact against scikit-learn, honest in coverage, defined at the edges."""

from statistics import NormalDist

import numpy as np
import pytest

from covidjax.evaluation.intervals import (
    group_codes,
    metrics_with_intervals,
    ranking_areas,
    resampled_weights,
    weighted_figures,
)
from covidjax.evaluation.metrics import (
    CLASS_FIGURES,
    FIGURES,
    EvaluationError,
    classification_metrics,
)


def two(scores):
    return np.stack([1 - np.asarray(scores), scores], axis=1)


def predictions(rng, n, classes, digits=9):
    """Labels [n] and informative probabilities [n, classes], rounded to make ties."""
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    exponentials = np.exp(logits)
    if classes == 2:
        return labels, two((exponentials[:, 1] / exponentials.sum(axis=1)).round(digits))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    probabilities = np.floor(probabilities * 10**digits) / 10**digits
    probabilities[:, -1] = (1 - probabilities[:, :-1].sum(axis=1)).round(digits)
    return labels, probabilities


def width(result, name):
    low, high = result[name]["ci95"]
    return high - low


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("digits", [2, 9], ids=["tied", "distinct"])
def test_weighted_figures_equal_scikit_learns_with_sample_weight(classes, digits):
    rng = np.random.default_rng(classes)
    labels, probabilities = predictions(rng, 400, classes, digits)
    threshold = 0.4 if classes == 2 else None
    weights = rng.integers(0, 5, (20, 400))
    figures = weighted_figures(labels, probabilities, threshold, weights)
    for row, weight in enumerate(weights):
        expected = classification_metrics(labels, probabilities, threshold, weight)
        assert {name: figures[name][row] for name in FIGURES} == pytest.approx(expected, abs=1e-12)


def test_all_scores_equal_give_chance():
    labels = np.array([0, 0, 0, 1])
    figures = weighted_figures(labels, two(np.full(4, 0.3)), 0.5, np.ones((1, 4)))
    assert figures["auroc"][0] == 0.5
    assert figures["average_precision"][0] == 0.25


def test_a_class_without_weight_makes_its_figures_nan_and_no_others():
    labels = np.array([0, 0, 1])
    weights = np.array([[1, 1, 0], [0, 0, 1], [1, 1, 1]])
    figures = weighted_figures(labels, two([0.2, 0.6, 0.7]), 0.5, weights)
    undefined = [{name for name in FIGURES if np.isnan(figures[name][row])} for row in range(3)]
    assert undefined[0] == set(CLASS_FIGURES) - {"specificity"}
    assert undefined[1] == set(CLASS_FIGURES) - {"sensitivity", "f1"}
    assert undefined[2] == set()


@pytest.mark.parametrize("classes", [2, 4])
def test_intervals_enclose_the_values_and_the_values_are_the_point_figures(classes):
    rng = np.random.default_rng(5)
    labels, probabilities = predictions(rng, 600, classes)
    threshold = 0.5 if classes == 2 else None
    result = metrics_with_intervals(
        labels, probabilities, rng.integers(0, 300, 600), threshold, samples=500
    )
    expected = classification_metrics(labels, probabilities, threshold)
    assert {name: entry["value"] for name, entry in result.items()} == expected
    for name in set(FIGURES) - {"ece"}:  # the calibration error is biased upwards in resamples
        low, high = result[name]["ci95"]
        assert low < result[name]["value"] < high, name


def test_counts_are_those_of_the_examples_that_a_figure_is_a_mean_over():
    rng = np.random.default_rng(6)
    labels, probabilities = predictions(rng, 100, 2)
    result = metrics_with_intervals(labels, probabilities, np.arange(100), 0.5, samples=10)
    assert result["sensitivity"]["n"] == labels.sum()
    assert result["specificity"]["n"] == 100 - labels.sum()
    assert result["auroc"]["n"] == result["ece"]["n"] == 100


def test_copies_of_an_image_do_not_narrow_a_grouped_interval():
    rng = np.random.default_rng(7)
    labels, probabilities = predictions(rng, 150, 2)
    alone = metrics_with_intervals(labels, probabilities, np.arange(150), 0.5)
    four = (labels.repeat(4), probabilities.repeat(4, axis=0))
    grouped = metrics_with_intervals(*four, np.arange(150).repeat(4), 0.5)
    ungrouped = metrics_with_intervals(*four, np.arange(600), 0.5)
    for name in set(FIGURES) - {"ece"}:
        assert grouped[name]["ci95"] == pytest.approx(alone[name]["ci95"])
        # four times the images: half the width
        assert width(ungrouped, name) == pytest.approx(width(grouped, name) / 2, rel=0.2)


def clustered(rng, groups):
    """Labels by group, scores with a shared part a group: AUROC is Phi(1.5 / 2)."""
    sizes = rng.integers(1, 6, groups)
    codes = np.arange(groups).repeat(sizes)
    labels = rng.permutation(np.arange(groups) % 2)[codes]
    shared = rng.normal(size=groups)[codes]
    scores = 1.5 * labels + shared + rng.normal(size=len(codes))
    return labels, two(1 / (1 + np.exp(-scores))), codes


def auroc_interval(labels, probabilities, groups, samples, seed):
    """The AUROC's interval alone, by the functions that metrics_with_intervals calls."""
    codes = group_codes(groups, len(labels))
    areas = [
        ranking_areas(labels == 1, probabilities[:, 1], weights)[0]
        for weights in resampled_weights(labels, codes, samples, seed)
    ]
    return np.quantile(np.concatenate(areas), [0.025, 0.975])


def test_the_interval_covers_the_true_auroc_in_about_95_of_100_data_sets():
    rng = np.random.default_rng(8)
    truth = NormalDist().cdf(1.5 / 2)
    covered = {"grouped": 0, "ungrouped": 0}
    for seed in range(300):
        labels, probabilities, codes = clustered(rng, 100)
        for kind, groups in (("grouped", codes), ("ungrouped", np.arange(len(codes)))):
            low, high = auroc_interval(labels, probabilities, groups, 300, seed)
            covered[kind] += low <= truth <= high
    assert 0.91 <= covered["grouped"] / 300 <= 0.98
    assert covered["ungrouped"] / 300 < 0.88
    result = metrics_with_intervals(labels, probabilities, codes, 0.5, samples=300, seed=5)
    expected = auroc_interval(labels, probabilities, codes, 300, 5)
    assert result["auroc"]["ci95"] == pytest.approx(expected)


def test_the_same_seed_repeats_and_the_order_of_examples_does_not_matter():
    rng = np.random.default_rng(9)
    labels, probabilities = predictions(rng, 200, 2)
    groups = np.array([f"patient {i}" for i in rng.integers(0, 80, 200)])
    first = metrics_with_intervals(labels, probabilities, groups, 0.5, samples=200, seed=3)
    order = rng.permutation(200)
    second = metrics_with_intervals(
        labels[order], probabilities[order], groups[order], 0.5, samples=200, seed=3
    )
    for name in FIGURES:
        assert second[name]["ci95"] == pytest.approx(first[name]["ci95"])
    other = metrics_with_intervals(labels, probabilities, groups, 0.5, samples=200, seed=4)
    assert other["auroc"]["ci95"] != first["auroc"]["ci95"]


def test_every_resample_holds_every_class_and_whole_groups():
    labels = np.array([0] * 30 + [1, 1])
    codes = np.append(np.arange(15).repeat(2), [15, 16])
    weights = np.concatenate(list(resampled_weights(labels, codes, 500, 0)))
    assert weights.shape == (500, 32)
    assert (weights @ (labels == 1) > 0).all()
    np.testing.assert_array_equal(weights[:, 0:30:2], weights[:, 1:30:2])
    drawn = weights[:, 0:30:2].sum(axis=1) + weights[:, 30] + weights[:, 31]
    np.testing.assert_array_equal(drawn, np.full(500, 17))


def test_a_class_within_one_group_has_no_interval_but_the_other_figures_have():
    labels = np.array([0] * 20 + [1, 1, 1])
    scores = np.linspace(0.1, 0.9, 23)
    groups = np.append(np.arange(20), [20, 20, 20])
    result = metrics_with_intervals(labels, two(scores), groups, 0.5, samples=50)
    assert {name for name in FIGURES if result[name]["ci95"] is None} == set(CLASS_FIGURES)
    assert result["auroc"]["value"] == 1.0


def test_one_group_one_class_and_no_examples_have_no_interval():
    scores = np.array([0.2, 0.4, 0.7])
    one_group = metrics_with_intervals([0, 1, 1], two(scores), ["a"] * 3, 0.5)
    assert all(entry["ci95"] is None for entry in one_group.values())
    assert one_group["auroc"] == {"value": 1.0, "ci95": None, "n": 3}
    one_class = metrics_with_intervals([1, 1, 1], two(scores), [1, 2, 3], 0.5, samples=20)
    assert np.isnan(one_class["auroc"]["value"]) and one_class["auroc"]["ci95"] is None
    assert one_class["accuracy"]["ci95"] is not None
    nothing = metrics_with_intervals([], np.zeros((0, 2)), [], 0.5)
    assert all(entry["ci95"] is None and entry["n"] == 0 for entry in nothing.values())


def test_groups_must_be_one_an_example_and_none_missing():
    with pytest.raises(EvaluationError, match=r"\[3\]"):
        group_codes(["a", "b"], 3)
    with pytest.raises(EvaluationError, match="1 of 3 examples have no group"):
        group_codes(np.array(["a", None, "b"], dtype=object), 3)
    with pytest.raises(EvaluationError, match="no group"):
        group_codes([1.0, np.nan], 2)


def test_one_resample_is_refused():
    with pytest.raises(EvaluationError, match="samples"):
        metrics_with_intervals([0, 1], two([0.1, 0.9]), [0, 1], 0.5, samples=1)
