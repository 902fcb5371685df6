"""The bootstrap over groups draws whole groups, and every class."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from covidjax.evidence.resampling import resampled_aurocs, resampled_weights


def test_every_resample_holds_every_class_and_whole_groups():
    labels = np.array([0] * 30 + [1, 1])
    codes = np.append(np.arange(15).repeat(2), [15, 16])
    weights = np.concatenate(list(resampled_weights(labels, codes, 500, 0)))
    assert weights.shape == (500, 32)
    assert (weights @ (labels == 1) > 0).all()
    np.testing.assert_array_equal(weights[:, 0:30:2], weights[:, 1:30:2])
    drawn = weights[:, 0:30:2].sum(axis=1) + weights[:, 30] + weights[:, 31]
    np.testing.assert_array_equal(drawn, np.full(500, 17))


@pytest.mark.parametrize("digits", [1, 9], ids=["tied", "distinct"])
def test_weighted_aurocs_are_scikit_learns_with_sample_weight(digits):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3 == 0
    scores = (rng.normal(size=120) + labels).round(digits)
    weights = rng.integers(0, 4, (10, 120)).astype(float)
    found = resampled_aurocs(labels, scores, weights)
    expected = [roc_auc_score(labels, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(found, expected)
    assert np.isnan(resampled_aurocs(labels, scores, labels[None].astype(float))).all()
