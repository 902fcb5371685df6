"""Temperature scaling finds the temperature that the logits were distorted with."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from simulated import predicted
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from covidjax.evaluation.calibration import calibration_figures, fit_temperature, scale
from covidjax.evaluation.intervals import metrics_with_intervals
from covidjax.evaluation.metrics import EvaluationError, classification_metrics


def calibrated(n, classes, seed=0):
    """Logits [n, classes] and labels drawn from their softmax."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, classes))
    draws = rng.random((n, 1))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < draws).sum(axis=1)
    return logits, labels.clip(max=classes - 1)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_planted_temperature_is_found(classes, temperature):
    logits, labels = calibrated(20_000, classes)
    distorted = softmax(logits * temperature, axis=1)
    assert fit_temperature(labels, distorted) == pytest.approx(temperature, rel=0.05)


def test_scaling_lowers_the_calibration_error_and_keeps_the_ranking():
    logits, labels = calibrated(5_000, 2)
    overconfident = softmax(logits * 4, axis=1)
    fitted = fit_temperature(labels[:2500], overconfident[:2500])
    before = classification_metrics(labels[2500:], overconfident[2500:], 0.5)
    after = classification_metrics(labels[2500:], scale(overconfident[2500:], fitted), 0.5)
    assert after["ece"] < before["ece"] / 2
    assert after["auroc"] == pytest.approx(before["auroc"], abs=1e-6)
    assert after["accuracy"] == before["accuracy"]


def test_a_scaled_threshold_gives_the_same_calls():
    probabilities = predicted(200).probabilities
    for temperature in (0.3, 2.5):
        threshold = scale([[1 - 0.37, 0.37]], temperature)[0, 1]
        calls = scale(probabilities, temperature)[:, 1] >= threshold
        np.testing.assert_array_equal(calls, probabilities[:, 1] >= 0.37)


def test_no_other_temperature_has_a_lower_loss_against_platts_targets():
    logits, labels = calibrated(300, 2, seed=1)
    logits *= 2.5
    counts = np.bincount(labels)
    target = np.where(labels == 1, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))

    def loss(temperature):
        logs = log_softmax(logits / temperature, axis=1)
        return -(target * logs[:, 1] + (1 - target) * logs[:, 0]).mean()

    fitted = fit_temperature(labels, softmax(logits, axis=1))
    assert loss(fitted) <= min(loss(t) for t in np.geomspace(0.01, 100, 400)) + 1e-9


def test_few_images_all_right_do_not_make_probabilities_of_0_and_1():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [180, 6])
    positive = np.clip(0.05 + 0.9 * labels + 0.02 * rng.normal(size=186), 0.01, 0.99)
    probabilities = np.stack([1 - positive, positive], axis=1)
    assert 0.5 < fit_temperature(labels, probabilities) < 2


def test_extreme_cases_stay_within_the_bounds():
    wrong = np.array([[0.99, 0.01], [0.01, 0.99]] * 50)
    assert 50 < fit_temperature([1, 0] * 50, wrong) <= 100  # as flat as may be
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(fit_temperature([0, 0], certain))
    assert np.isfinite(scale(certain, 0.01)).all()


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        (np.zeros(0, dtype=int), np.zeros((0, 2))),
        ([0, 0], np.ones((2, 1))),
        ([0, 2], np.full((2, 2), 0.5)),
        ([0, 1], np.array([[0.5, np.nan], [0.5, 0.5]])),
        ([0, 1], np.array([[3.0, -2.0], [1.0, 1.0]])),
    ],
)
def test_wrong_inputs_are_refused(labels, probabilities):
    with pytest.raises(EvaluationError):
        fit_temperature(labels, probabilities)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), [1.0, -1.0]])
def test_a_temperature_must_be_positive(temperature):
    with pytest.raises(EvaluationError, match="above 0"):
        scale(np.full((2, 2), 0.5), temperature)


@pytest.mark.parametrize("classes", [2, 3])
def test_figures_are_those_of_the_metrics_with_the_same_intervals(classes):
    made = predicted(400, classes)
    given = (made.labels, made.probabilities, made.groups)
    found = calibration_figures(*given, samples=300, seed=4)
    expected = metrics_with_intervals(*given, made.thresholds, samples=300, seed=4)
    for name in ("brier", "ece"):
        assert found[name]["value"] == pytest.approx(expected[name]["value"], abs=1e-12)
        assert found[name]["ci95"] == pytest.approx(expected[name]["ci95"], abs=1e-12)
    assert found["log_loss"]["value"] == pytest.approx(log_loss(made.labels, made.probabilities))


def test_the_curve_is_scikit_learns_with_intervals_that_enclose_it():
    made = predicted(600)
    curve = calibration_figures(made.labels, made.probabilities, made.groups, samples=400)["curve"]
    observed, mean = calibration_curve(made.labels, made.probabilities[:, 1], n_bins=15)
    assert curve["observed"] == pytest.approx(observed)
    assert curve["predicted"] == pytest.approx(mean)
    assert sum(curve["n"]) == 600
    for low, value, high in zip(curve["low"], curve["observed"], curve["high"], strict=True):
        assert low <= value + 1e-12 and value <= high + 1e-12
    widths = np.array(curve["high"]) - np.array(curve["low"])
    assert widths.max() > 0.1


def test_one_group_has_no_interval():
    made = predicted(40)
    found = calibration_figures(made.labels, made.probabilities, ["a"] * 40)
    assert found["brier"]["ci95"] is None and set(found["curve"]["low"]) == {None}
