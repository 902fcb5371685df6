"""The figures' intervals: around the values, by groups, defined at the edges."""

import numpy as np
import pytest

from covidjax.evidence.intervals import metrics_with_intervals
from covidjax.evidence.metrics import CLASS_FIGURES, FIGURES, classification_metrics

WITHOUT = {"ece"}  # has a bias that no interval of this kind covers


def two(scores):
    return np.stack([1 - np.asarray(scores), scores], axis=1)


def predictions(rng, n, classes):
    """Labels [n] and informative probabilities [n, classes]."""
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def width(result, name):
    low, high = result[name]["ci95"]
    return high - low


@pytest.mark.parametrize("classes", [2, 4])
def test_intervals_enclose_the_values_and_the_values_are_the_point_figures(classes):
    rng = np.random.default_rng(5)
    labels, probabilities = predictions(rng, 600, classes)
    threshold = 0.5 if classes == 2 else None
    result = metrics_with_intervals(labels, probabilities, rng.integers(0, 300, 600), threshold)
    expected = classification_metrics(labels, probabilities, threshold)
    assert {name: entry["value"] for name, entry in result.items()} == expected
    for name in set(FIGURES) - WITHOUT:
        low, high = result[name]["ci95"]
        assert 0 <= low < result[name]["value"] < high <= 1, name
    assert result["ece"]["ci95"] is None


def test_counts_are_those_of_the_examples_that_a_figure_is_a_mean_over():
    rng = np.random.default_rng(6)
    labels, probabilities = predictions(rng, 100, 2)
    result = metrics_with_intervals(labels, probabilities, np.arange(100), 0.5)
    assert result["sensitivity"]["n"] == labels.sum()
    assert result["specificity"]["n"] == 100 - labels.sum()
    assert result["auroc"]["n"] == result["ece"]["n"] == 100


def test_few_patients_of_a_class_are_named_in_the_rows_that_rest_on_them():
    rng = np.random.default_rng(1)
    labels = (np.arange(300) < 40).astype(int)
    scores = 1 / (1 + np.exp(-rng.normal(size=300) - labels))
    result = metrics_with_intervals(labels, two(scores), np.arange(300), 0.5)
    few = {name: row["few_groups"] for name, row in result.items() if "few_groups" in row}
    assert set(few.values()) == {40}
    assert set(few) == {*CLASS_FIGURES, "brier"} - {"specificity"}


def test_copies_of_an_image_do_not_narrow_a_grouped_interval():
    rng = np.random.default_rng(7)
    labels, probabilities = predictions(rng, 150, 2)
    alone = metrics_with_intervals(labels, probabilities, np.arange(150), 0.5)
    four = (labels.repeat(4), probabilities.repeat(4, axis=0))
    grouped = metrics_with_intervals(*four, np.arange(150).repeat(4), 0.5)
    ungrouped = metrics_with_intervals(*four, np.arange(600), 0.5)
    for name in set(FIGURES) - WITHOUT:
        assert grouped[name]["ci95"] == pytest.approx(alone[name]["ci95"], rel=0.03)
        # four times the images: half the width
        assert width(ungrouped, name) == pytest.approx(width(grouped, name) / 2, rel=0.2)


def test_the_order_of_examples_does_not_matter():
    rng = np.random.default_rng(9)
    labels, probabilities = predictions(rng, 200, 2)
    groups = np.array([f"patient {i}" for i in rng.integers(0, 80, 200)])
    first = metrics_with_intervals(labels, probabilities, groups, 0.5)
    order = rng.permutation(200)
    second = metrics_with_intervals(labels[order], probabilities[order], groups[order], 0.5)
    for name in set(FIGURES) - WITHOUT:
        assert second[name]["ci95"] == pytest.approx(first[name]["ci95"])


def test_a_class_within_one_group_has_no_interval_but_the_accuracy_has():
    labels = np.array([0] * 20 + [1, 1, 1])
    groups = np.append(np.arange(20), [20, 20, 20])
    result = metrics_with_intervals(labels, two(np.linspace(0.1, 0.9, 23)), groups, 0.5)
    missing = {name for name in FIGURES if result[name]["ci95"] is None}
    assert missing == {*CLASS_FIGURES, "brier", "ece"}
    assert result["auroc"]["value"] == 1.0


def test_one_group_one_class_and_no_examples_have_no_interval():
    scores = np.array([0.2, 0.4, 0.7])
    one_group = metrics_with_intervals([0, 1, 1], two(scores), ["a"] * 3, 0.5)
    assert all(entry["ci95"] is None for entry in one_group.values())
    assert one_group["auroc"] == {"value": 1.0, "ci95": None, "n": 3}
    one_class = metrics_with_intervals([1, 1, 1], two(scores), [1, 2, 3], 0.5)
    assert np.isnan(one_class["auroc"]["value"]) and one_class["auroc"]["ci95"] is None
    assert one_class["accuracy"]["ci95"] is not None
    nothing = metrics_with_intervals([], np.zeros((0, 2)), [], 0.5)
    assert all(entry["ci95"] is None and entry["n"] == 0 for entry in nothing.values())
