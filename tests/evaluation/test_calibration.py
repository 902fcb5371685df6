"""Temperature scaling finds the temperature that the logits were distorted with."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from covidjax.evaluation.calibration import fit_temperature, scaled_probabilities
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
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_scaling_lowers_the_calibration_error_and_keeps_the_ranking():
    logits, labels = calibrated(5_000, 2)
    overconfident = logits * 4
    fitted = fit_temperature(overconfident[:2500], labels[:2500])
    before = classification_metrics(labels[2500:], softmax(overconfident[2500:], axis=1), 0.5)
    after = classification_metrics(
        labels[2500:], scaled_probabilities(overconfident[2500:], fitted), 0.5
    )
    assert after["ece"] < before["ece"] / 2
    assert after["auroc"] == pytest.approx(before["auroc"], abs=1e-6)
    assert after["accuracy"] == before["accuracy"]


def test_no_other_temperature_has_a_lower_loss():
    logits, labels = calibrated(300, 3, seed=1)
    logits *= 2.5

    def loss(temperature):
        return -log_softmax(logits / temperature, axis=1)[np.arange(300), labels].mean()

    fitted = fit_temperature(logits, labels)
    assert loss(fitted) <= min(loss(t) for t in np.geomspace(0.01, 100, 400)) + 1e-9


def test_extreme_cases_stay_within_the_bounds():
    logits = np.array([[2.0, -2.0], [-2.0, 2.0]])
    assert 0.01 <= fit_temperature(logits, [0, 1]) < 0.5  # all right: as sharp as may be
    assert 50 < fit_temperature(logits, [1, 0]) <= 100  # all wrong: as flat as may be
    assert np.isfinite(fit_temperature(np.array([[1e4, -1e4], [0.0, 1e4]]), [0, 0]))


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((0, 2)), np.zeros(0, dtype=int)),
        (np.zeros((2, 1)), [0, 0]),
        (np.zeros((2, 2)), [0, 2]),
        (np.zeros((2, 2)), [0.0, 1.0]),
        (np.array([[0.0, np.nan], [0, 0]]), [0, 1]),
    ],
)
def test_wrong_inputs_are_refused(logits, labels):
    with pytest.raises(EvaluationError):
        fit_temperature(logits, labels)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_must_be_positive(temperature):
    with pytest.raises(EvaluationError, match="above 0"):
        scaled_probabilities(np.zeros((1, 2)), temperature)
