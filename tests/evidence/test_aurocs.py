"""AUROCs of several scores: the run's own figures, and paired differences."""

import numpy as np
import pytest

from covidjax.evidence.aurocs import auroc_estimates
from covidjax.evidence.estimates import difference
from covidjax.evidence.intervals import metrics_with_intervals


def scored(seed=0, k=2, n=90):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return labels, rng.dirichlet(np.ones(k), n) * 0.6 + 0.4 * np.eye(k)[labels], np.arange(n) // 3


@pytest.mark.parametrize("k", [2, 4])
def test_a_figure_is_that_of_the_results(k):
    labels, p, groups = scored(k=k)
    score = auroc_estimates(labels, {"a": p}, groups)["a"]
    assert score.row(90) == metrics_with_intervals(labels, p, groups, None)["auroc"]


def test_the_difference_is_paired():
    labels, p, groups = scored(n=600)
    worse = np.clip(p + 0.002 * np.random.default_rng(1).standard_normal((600, 1)) * [1, -1], 0, 1)
    found = auroc_estimates(labels, {"a": p, "b": worse, "c": p}, groups)
    same = difference(found["a"], found["c"])
    assert same.value == 0 and same.high - same.low < 0.2 * (found["a"].high - found["a"].low)
    apart = difference(found["a"], found["b"])
    assert apart.high - apart.low < (found["a"].high - found["a"].low) / 3


def test_what_cannot_be_seen_has_no_interval():
    labels, p, groups = scored()
    alone = np.where(labels == 1, 0, groups + 1)
    score = auroc_estimates(labels, {"a": p}, alone)["a"]
    assert score.row(90)["ci95"] is None
    assert difference(score, score).row(90)["ci95"] is None
    single = auroc_estimates(np.zeros(90, int), {"a": p}, groups)["a"]
    assert np.isnan(single.value) and single.row(90)["ci95"] is None
