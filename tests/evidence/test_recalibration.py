"""Maps find what the probabilities were distorted with, and survive JSON and JAX."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from simulated import predicted

from covidjax.evidence.metrics import EvaluationError, classification_metrics
from covidjax.evidence.recalibration import (
    METHODS,
    apply,
    combine,
    described,
    fit,
)


def calibrated(n, classes, seed=0, shift=0.0):
    """Logits [n, classes] and labels drawn from their softmax; class 0 rarer by `shift`."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, classes)) - shift * np.eye(classes)[0]
    draws = rng.random((n, 1))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < draws).sum(axis=1)
    return logits, labels.clip(max=classes - 1)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_planted_temperature_is_found(classes, temperature):
    logits, labels = calibrated(20_000, classes)
    distorted = softmax(logits * temperature, axis=1)
    assert fit("temperature", labels, distorted)["slope"] == pytest.approx(
        1 / temperature, rel=0.05
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_platt_finds_slope_and_shift(classes):
    logits, labels = calibrated(20_000, classes, shift=2.0)
    distorted = softmax(2 * (logits + 2.0 * np.eye(classes)[0]), axis=1)
    found = fit("platt", labels, distorted)
    assert found["slope"] == pytest.approx(0.5, rel=0.05)
    assert found["shift"] == pytest.approx([0.0] + [2.0] * (classes - 1), abs=0.12)


def test_the_weights_of_the_loss_are_divided_out():
    """Of a network that saw both classes alike often, where one in ten is positive."""
    logits, labels = calibrated(20_000, 2, shift=-2.2)
    weights = np.array([1.0, np.exp(2.2)])
    seen = softmax(logits + np.log(weights), axis=1)
    alone = fit("temperature", labels, seen)
    undone = fit("temperature", labels, seen, weights)
    share = labels.mean()
    assert apply(undone, seen)[:, 1].mean() == pytest.approx(share, rel=0.05)
    assert abs(apply(alone, seen)[:, 1].mean() - share) > 0.05


@pytest.mark.parametrize("method", METHODS)
def test_every_map_lowers_the_loss_on_what_it_is_fitted_on_and_keeps_the_calls(method):
    logits, labels = calibrated(4_000, 2, shift=1.0)
    distorted = softmax(3 * logits + [0, 0.5], axis=1)
    found = fit(method, labels, distorted)
    after = apply(found, distorted)
    before, figures = (classification_metrics(labels, p, 0.5) for p in (distorted, after))
    assert figures["brier"] <= before["brier"] + 1e-9
    assert figures["auroc"] == pytest.approx(before["auroc"], abs=0.005)
    if method != "isotonic":
        calls = after[:, 1] >= apply(found, [[0.63, 0.37]])[0, 1]
        np.testing.assert_array_equal(calls, distorted[:, 1] >= 0.37)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_is_the_same_after_json_and_in_jax(method):
    logits, labels = calibrated(500, 2)
    p = softmax(3 * logits, axis=1)
    found = fit(method, labels, p)
    again = apply(json.loads(json.dumps(found)), p)
    np.testing.assert_array_equal(again, apply(found, p))
    np.testing.assert_allclose(apply(found, jnp.asarray(p), jnp), again, atol=2e-5)
    assert described(found).startswith(method)


def test_no_other_slope_and_shift_have_a_lower_loss_against_platts_targets():
    logits, labels = calibrated(300, 2, seed=1)
    logits *= 2.5
    counts = np.bincount(labels)
    target = np.where(labels == 1, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))

    def loss(slope, shift):
        logs = log_softmax(slope * logits + [0, shift], axis=1)
        return -(target * logs[:, 1] + (1 - target) * logs[:, 0]).mean()

    found = fit("platt", labels, softmax(logits, axis=1))
    best = loss(found["slope"], found["shift"][1])
    for slope in np.geomspace(0.1, 3, 30):
        assert best <= min(loss(slope, shift) for shift in np.linspace(-2, 2, 41)) + 1e-7


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_few_images_all_right_do_not_make_probabilities_of_0_and_1(method):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [180, 6])
    positive = np.clip(0.05 + 0.9 * labels + 0.02 * rng.normal(size=186), 0.01, 0.99)
    p = np.stack([1 - positive, positive], axis=1)
    after = apply(fit(method, labels, p), p)[:, 1]
    assert after[labels == 1].mean() < 0.95
    assert after[labels == 0].min() > 0.0005 and after[labels == 0].max() < 0.2


def test_extreme_cases_stay_within_the_bounds():
    wrong = np.array([[0.99, 0.01], [0.01, 0.99]] * 50)
    assert fit("temperature", [1, 0] * 50, wrong)["slope"] == pytest.approx(0.01)
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    for method in METHODS:
        assert np.isfinite(apply(fit(method, [0, 1], certain), certain)).all()


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
        fit("platt", labels, probabilities)


def test_what_is_of_two_classes_says_so():
    made = predicted(60, 3)
    with pytest.raises(EvaluationError, match="two classes, there are 3"):
        fit("beta", made.labels, made.probabilities)
    with pytest.raises(EvaluationError, match="no such calibration"):
        fit("plat", made.labels, made.probabilities)


def test_members_are_averaged_before_the_map_and_folds_after_it():
    rng = np.random.default_rng(0)
    outputs = rng.dirichlet([1, 1], (6, 10))  # three folds of two members, ten images
    mapping = {"method": "platt", "slope": 2.0, "shift": [0.0, -0.7]}
    folds = [outputs[place : place + 2].mean(axis=0) for place in (0, 2, 4)]
    expected = np.mean([apply(mapping, fold) for fold in folds], axis=0)
    np.testing.assert_allclose(combine(mapping, list(outputs), 2), expected)
    traced = combine(mapping, jnp.asarray(outputs), 2, jnp)
    np.testing.assert_allclose(traced, expected, atol=1e-5)
