"""DeLong: by the definition, and by simulation."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from covidjax.evidence.delong import delong, delong_test
from covidjax.evidence.metrics import EvaluationError


def two_models(rng, n=200, shared=0.7):
    labels = (rng.random(n) < 0.4).astype(int)
    common = rng.normal(size=n)
    scores = [
        skill * labels + shared * common + rng.normal(size=n) * (1 - shared) for skill in (1, 1)
    ]
    return labels, np.stack(scores)


def by_definition(labels, scores):
    """The covariance of DeLong et al. 1988, all pairs compared one by one."""
    positives, negatives = scores[:, labels == 1], scores[:, labels == 0]
    wins = (positives[:, :, None] > negatives[:, None]) * 1.0
    wins += (positives[:, :, None] == negatives[:, None]) * 0.5
    areas = wins.mean(axis=(1, 2))
    by_positive, by_negative = wins.mean(axis=2), wins.mean(axis=1)
    m, n = by_positive.shape[1], by_negative.shape[1]
    one = (by_positive - areas[:, None]) @ (by_positive - areas[:, None]).T / (m - 1)
    other = (by_negative - areas[:, None]) @ (by_negative - areas[:, None]).T / (n - 1)
    return areas, one / m + other / n


@pytest.mark.parametrize("digits", [1, 12], ids=["tied", "distinct"])
def test_areas_and_covariance_are_those_of_the_definition(digits):
    labels, scores = two_models(np.random.default_rng(0))
    scores = scores.round(digits)
    areas, covariance = delong(labels, scores)
    expected_areas, expected = by_definition(labels, scores)
    np.testing.assert_allclose(areas, expected_areas)
    np.testing.assert_allclose(covariance, expected)
    assert areas[1] == pytest.approx(roc_auc_score(labels, scores[1]))


def test_one_model_alone_has_a_variance():
    labels, scores = two_models(np.random.default_rng(1))
    areas, covariance = delong(labels, scores[:1])
    assert areas.shape == (1,) and covariance.shape == (1, 1) and covariance[0, 0] > 0


def test_equal_models_differ_at_p_below_5_percent_in_about_5_of_100_data_sets():
    rng = np.random.default_rng(2)
    results = []
    for _ in range(1000):
        labels, scores = two_models(rng)
        results.append(delong_test(labels, *scores))
    rejected = np.mean([result["p"] < 0.05 for result in results])
    covered = np.mean([result["ci95"][0] <= 0 <= result["ci95"][1] for result in results])
    assert 0.03 < rejected < 0.07
    assert covered == pytest.approx(1 - rejected, abs=1e-9)


def test_a_better_model_is_found_and_the_sign_is_a_minus_b():
    rng = np.random.default_rng(3)
    labels = np.arange(400) % 2
    good, poor = 2 * labels + rng.normal(size=400), rng.normal(size=400)
    result = delong_test(labels, good, poor)
    assert result["p"] < 1e-6 and result["ci95"][0] > 0.2
    assert delong_test(labels, poor, good)["difference"] == -result["difference"]


def test_without_variance_p_is_1_for_no_difference_and_undefined_for_one():
    labels, scores = two_models(np.random.default_rng(4))
    same = delong_test(labels, scores[0], 3 * scores[0] + 1)
    assert same == {"difference": 0.0, "ci95": [0.0, 0.0], "p": 1.0}
    opposite = delong_test(labels, labels, 1 - labels)
    assert opposite["difference"] == 1 and np.isnan(opposite["p"])


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([0, 0, 0, 1], np.zeros((2, 4))),
        ([0, 0, 1, 1], np.zeros((2, 3))),
        ([0, 0, 1, 1], np.full((2, 4), np.nan)),
        ([0, 0, 1, 2], np.zeros((2, 4))),
    ],
)
def test_wrong_inputs_are_refused(labels, scores):
    with pytest.raises(EvaluationError):
        delong(labels, scores)
