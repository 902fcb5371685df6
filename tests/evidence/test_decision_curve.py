"""Net benefit, counted by hand."""

import numpy as np
import pytest
from simulated import predicted

from covidjax.evidence.decision_curve import decision_curve
from covidjax.evidence.metrics import EvaluationError


def test_net_benefit_is_true_positives_less_weighed_false_positives():
    made = predicted(200)
    found = decision_curve(made.labels, made.probabilities, made.groups)
    assert found["prevalence"] == 0.5 and len(found["threshold"]) == 99
    for place in (0, 24, 49, 79, 98):
        cut = found["threshold"][place]
        called = made.probabilities[:, 1] >= cut
        true, false = (called & (made.labels == 1)).sum(), (called & (made.labels == 0)).sum()
        expected = true / 200 - false / 200 * cut / (1 - cut)
        assert found["model"]["value"][place] == pytest.approx(expected)
        assert found["all"][place] == pytest.approx(0.5 - 0.5 * cut / (1 - cut))
        low, high = found["model"]["low"][place], found["model"]["high"][place]
        assert low - 1e-9 <= expected <= high + 1e-9 and low < high


def test_a_model_without_skill_is_never_better_than_everybody_or_nobody():
    labels = np.arange(1000) % 2
    chance = np.random.default_rng(0).random(1000)
    probabilities = np.stack([1 - chance, chance], axis=1)
    found = decision_curve(labels, probabilities, np.arange(1000))
    best = np.maximum(found["all"], 0)
    assert (np.array(found["model"]["low"]) <= best).all()


def test_one_class_has_none_and_three_are_refused():
    made = predicted(30)
    assert decision_curve(np.ones(30, dtype=int), made.probabilities, made.groups) == {}
    three = predicted(30, 3)
    with pytest.raises(EvaluationError, match="two classes"):
        decision_curve(three.labels, three.probabilities, three.groups)
