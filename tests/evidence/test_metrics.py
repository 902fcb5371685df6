"""The point figures against hand-computed values and scikit-learn, and the choice of threshold."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from covidjax.evidence.metrics import (
    CLASS_FIGURES,
    FIGURES,
    EvaluationError,
    choose_threshold,
    classification_metrics,
    confusion_matrix,
)


def two(scores):
    scores = np.asarray(scores, dtype=np.float64)
    return np.stack([1 - scores, scores], axis=1)


def test_two_class_figures_equal_hand_computed_ones():
    labels = [0, 0, 0, 1, 1]
    figures = classification_metrics(labels, two([0.1, 0.4, 0.8, 0.4, 0.9]), 0.5)
    assert set(figures) == set(FIGURES)
    # pairs: 0.4 wins 1, ties 1, loses 1; 0.9 wins 3
    assert figures["auroc"] == pytest.approx((1.5 + 3) / 6)
    assert figures["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert figures["accuracy"] == pytest.approx(3 / 5)
    assert figures["sensitivity"] == pytest.approx(1 / 2)
    assert figures["specificity"] == pytest.approx(2 / 3)
    assert figures["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert figures["f1"] == pytest.approx(2 / (2 + 1 + 1))
    assert figures["brier"] == pytest.approx((0.01 + 0.16 + 0.64 + 0.36 + 0.01) / 5)
    # the two 0.4 share a bin: |-0.4 + 0.6|; the others are alone in theirs
    assert figures["ece"] == pytest.approx((0.1 + 0.2 + 0.8 + 0.1) / 5)


def test_more_classes_are_macro_means_of_one_against_rest():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 300)
    labels = rng.integers(0, 4, 300)
    figures = classification_metrics(labels, probabilities, None)
    calls = probabilities.argmax(axis=1)
    assert figures["auroc"] == pytest.approx(
        sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    )
    assert figures["average_precision"] == pytest.approx(
        sk.average_precision_score(np.eye(4)[labels], probabilities, average="macro")
    )
    assert figures["sensitivity"] == pytest.approx(sk.recall_score(labels, calls, average="macro"))
    assert figures["sensitivity"] == figures["balanced_accuracy"]
    specificities = [np.mean(calls[labels != c] != c) for c in range(4)]
    assert figures["specificity"] == pytest.approx(np.mean(specificities))
    assert figures["brier"] == pytest.approx(
        sk.brier_score_loss(labels, probabilities, scale_by_half=False)
    )


def test_a_class_without_examples_stays_out_of_the_macro_mean():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    figures = classification_metrics(labels, probabilities, None)
    assert figures["sensitivity"] == pytest.approx((0.5 + 1) / 2)
    assert figures["balanced_accuracy"] == figures["sensitivity"]
    assert figures["specificity"] == pytest.approx(1)
    assert figures["accuracy"] == pytest.approx(3 / 4)
    assert not any(math.isnan(value) for value in figures.values())


def test_weights_count_like_repetitions_and_zero_leaves_out():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 50), rng.random(50).round(1)
    weights = rng.integers(0, 4, 50)
    weighted = classification_metrics(labels, two(scores), 0.4, weights)
    repeated = classification_metrics(labels.repeat(weights), two(scores.repeat(weights)), 0.4)
    assert weighted == pytest.approx(repeated)


def test_a_class_of_weight_zero_is_as_if_left_out():
    figures = classification_metrics([0, 0, 1], two([0.2, 0.6, 0.7]), 0.5, [1, 1, 0])
    expected = classification_metrics([0, 0], two([0.2, 0.6]), 0.5)
    assert figures == pytest.approx(expected, nan_ok=True)


def test_the_calibration_error_has_15_bins_of_equal_width():
    apart = classification_metrics([0, 1], two([0.61, 0.67]), 0.5)  # bins 9 and 10
    assert apart["ece"] == pytest.approx((0.61 + 0.33) / 2)
    together = classification_metrics([0, 1], two([0.61, 0.66]), 0.5)  # both in bin 9
    assert together["ece"] == pytest.approx((0.61 - 0.34) / 2)


def test_perfectly_calibrated_probabilities_have_a_small_calibration_error():
    rng = np.random.default_rng(2)
    scores = rng.random(50_000)
    labels = (rng.random(50_000) < scores).astype(int)
    assert classification_metrics(labels, two(scores), 0.5)["ece"] < 0.01
    assert classification_metrics(labels, two(scores**3), 0.5)["ece"] > 0.1


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_leaves_the_figures_that_need_both_undefined(only):
    figures = classification_metrics([only] * 3, two([0.2, 0.6, 0.7]), 0.5)
    undefined = {name for name, value in figures.items() if math.isnan(value)}
    assert undefined == set(CLASS_FIGURES)


@pytest.mark.parametrize("classes", [2, 4])
def test_no_examples_give_nan_and_an_empty_confusion_matrix(classes):
    figures = classification_metrics([], np.zeros((0, classes)), None)
    assert all(math.isnan(figures[name]) for name in FIGURES)
    matrix = confusion_matrix([], np.zeros((0, classes)), None)
    assert matrix.shape == (classes, classes) and matrix.sum() == 0


def test_confusion_matrix_has_true_classes_as_rows_and_calls_at_the_threshold():
    matrix = confusion_matrix([0, 0, 1, 1, 1], two([0.2, 0.5, 0.5, 0.4, 0.9]), 0.5)
    assert matrix.tolist() == [[1, 1], [1, 2]]
    assert np.issubdtype(matrix.dtype, np.integer)


def test_float32_softmax_is_accepted():
    logits = np.random.default_rng(3).normal(size=(100, 4)).astype(np.float32) * 20
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert probabilities.dtype == np.float32
    assert 0 <= classification_metrics(np.arange(100) % 4, probabilities, None)["auroc"] <= 1


@pytest.mark.parametrize(
    ("labels", "probabilities", "threshold", "message"),
    [
        ([0, 1], two([0.1, np.nan]), 0.5, "not finite.*example 1"),
        ([0, -1], two([0.1, 0.2]), 0.5, r"outside 0\.\.1"),
        ([0, 2], two([0.1, 0.2]), 0.5, r"outside 0\.\.1"),
        ([0.0, 1.0], two([0.1, 0.2]), 0.5, "integer"),
        ([0, 1, 1], two([0.1, 0.2]), 0.5, r"\(3,\)"),
        ([0, 1], [0.1, 0.2], 0.5, r"\[n, k\]"),
        ([0, 1], [[3.0, -2.0], [0.1, 0.9]], 0.5, "softmax"),
        ([0, 1], [[0.3, 0.2], [0.1, 0.9]], 0.5, "softmax"),
        ([0, 1], [[0.2, 0.3, 0.5]] * 2, 0.5, "two classes"),
        ([0, 1], two([0.1, 0.2]), float("nan"), "threshold is nan"),
    ],
)
def test_wrong_inputs_are_refused_with_a_reason(labels, probabilities, threshold, message):
    with pytest.raises(EvaluationError, match=message):
        classification_metrics(labels, probabilities, threshold)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, np.nan]])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(EvaluationError, match="weights must be"):
        classification_metrics([0, 1], two([0.1, 0.2]), 0.5, weights)


def test_threshold_of_separated_classes_is_the_midpoint_of_the_gap():
    assert choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.7]) == pytest.approx(0.4)


def test_threshold_reaches_the_best_balanced_accuracy_of_all():
    rng = np.random.default_rng(4)
    for _ in range(50):
        labels = np.append(rng.integers(0, 2, 38), [0, 1])
        scores = ((labels + rng.normal(size=40)) / 8 + 0.4).clip(0, 1).round(2)
        chosen = choose_threshold(labels, scores)
        balanced = [
            sk.balanced_accuracy_score(labels, scores >= cut) for cut in np.unique(scores)[1:]
        ]
        reached = sk.balanced_accuracy_score(labels, scores >= chosen)
        assert reached == pytest.approx(max(balanced))


def test_of_equally_good_thresholds_the_plateau_nearest_to_the_centre_is_taken():
    # below 0.2 and above 0.8 one error each; both plateaus reach 3/4
    labels, scores = [0, 1, 0, 1], [0.1, 0.3, 0.6, 0.9]
    assert choose_threshold(labels, scores) == pytest.approx(0.75)
    labels, scores = [0, 1, 0, 1], [0.1, 0.5, 0.7, 0.99]
    assert choose_threshold(labels, scores) == pytest.approx(0.3)


def test_neighboring_stretches_of_one_plateau_are_joined():
    # 0.5 carries a third of each class, so both sides of it are as good: the plateau is 0.4..0.8
    labels = [0, 0, 0, 1, 1, 1]
    scores = [0.1, 0.4, 0.5, 0.5, 0.8, 0.9]
    assert choose_threshold(labels, scores) == pytest.approx(0.6)


def test_threshold_of_equal_scores_is_the_centre():
    assert choose_threshold([0, 1, 1], [0.7, 0.7, 0.7]) == 0.5


def test_threshold_separates_neighboring_floats():
    low = 0.3
    for _ in range(4):
        high = float(np.nextafter(low, 1))
        assert low < choose_threshold([0, 1], [low, high]) <= high
        low = high


def test_threshold_weights_count_like_repetitions():
    labels, scores = np.array([0, 0, 1, 1, 0]), np.array([0.1, 0.5, 0.4, 0.8, 0.9])
    weights = np.array([1, 5, 1, 1, 2])
    repeated = choose_threshold(labels.repeat(weights), scores.repeat(weights))
    assert choose_threshold(labels, scores, weights) == repeated
    assert repeated != choose_threshold(labels, scores)


@pytest.mark.parametrize(
    ("labels", "scores"),
    [([], []), ([1, 1], [0.1, 0.2]), ([0, 1], [0.1, np.nan]), ([0, 2], [0.1, 0.2]), ([0], [0, 1])],
)
def test_no_threshold_without_two_classes_and_finite_scores(labels, scores):
    with pytest.raises(EvaluationError):
        choose_threshold(labels, scores)
