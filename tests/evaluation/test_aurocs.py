"""AUROCs resampled together: the run's own figures, and paired differences."""

import numpy as np
import pytest

from covidjax.evaluation.aurocs import auroc_figure, difference_figure, resampled_aurocs
from covidjax.evaluation.intervals import metrics_with_intervals
from covidjax.evaluation.metrics import EvaluationError


def scored(seed=0, k=2, n=90):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return labels, rng.dirichlet(np.ones(k), n) * 0.6 + 0.4 * np.eye(k)[labels], np.arange(n) // 3


@pytest.mark.parametrize("k", [2, 4])
def test_a_figure_is_that_of_the_results(k):
    labels, p, groups = scored(k=k)
    score = resampled_aurocs(labels, {"a": p}, groups, samples=100, seed=5)["a"]
    reported = metrics_with_intervals(labels, p, groups, None, samples=100, seed=5)
    assert auroc_figure(score) == reported["auroc"]


def test_the_difference_is_paired():
    labels, p, groups = scored()
    worse = np.clip(p + 0.002 * np.random.default_rng(1).standard_normal((90, 1)) * [1, -1], 0, 1)
    found = resampled_aurocs(labels, {"a": p, "b": worse, "c": p}, groups, samples=200)
    same = difference_figure(found["a"], found["c"])
    assert same == {"value": 0, "ci95": [0, 0], "n": 90}
    low, high = difference_figure(found["a"], found["b"])["ci95"]
    one, other = auroc_figure(found["a"])["ci95"]
    assert high - low < (other - one) / 3


def test_what_cannot_be_seen_has_no_interval():
    labels, p, groups = scored()
    alone = np.where(labels == 1, 0, groups + 1)
    score = resampled_aurocs(labels, {"a": p}, alone, samples=50)["a"]
    assert auroc_figure(score)["ci95"] is None
    assert difference_figure(score, score)["ci95"] is None
    single = resampled_aurocs(np.zeros(90, int), {"a": p}, groups, samples=50)["a"]
    assert np.isnan(auroc_figure(single)["value"]) and auroc_figure(single)["ci95"] is None


def test_one_resample_is_refused():
    labels, p, groups = scored()
    with pytest.raises(EvaluationError, match="samples"):
        resampled_aurocs(labels, {"a": p}, groups, samples=1)
