"""AUROC and average precision: scikit-learn's values, intervals that cover."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.coverage import Cell, covered
from covidjax.evidence.delong import delong
from covidjax.evidence.ranking import auroc, average_precision


def scored(n=200, digits=9, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4 == 0
    return labels, (rng.normal(size=n) + 1.5 * labels).round(digits), np.arange(n) // 2


@pytest.mark.parametrize("digits", [0, 1, 9], ids=["few values", "tied", "distinct"])
def test_values_are_scikit_learns(digits):
    labels, scores, codes = scored(digits=digits)
    assert auroc(labels, scores, codes).value == pytest.approx(roc_auc_score(labels, scores))
    found = average_precision(labels, scores, codes)
    assert found.value == pytest.approx(average_precision_score(labels, scores))


def test_the_influences_give_delongs_variance_where_every_image_is_its_own_group():
    labels, scores, _ = scored()
    found = auroc(labels, scores, np.arange(200))
    _, covariance = delong(labels.astype(int), scores[None])
    assert found.error**2 == pytest.approx(covariance[0, 0])


def test_the_influence_on_the_average_precision_is_its_change_without_the_group():
    labels, scores, codes = scored(n=1000)
    found = average_precision(labels, scores, codes)
    changes = np.array(
        [
            found.value - average_precision_score(labels[codes != g], scores[codes != g])
            for g in range(200)
        ]
    )
    assert np.corrcoef(changes, found.influence[:200])[0, 1] > 0.995
    assert found.influence[:200].std() == pytest.approx(changes.std(), rel=0.05)


def test_copies_of_every_image_change_no_interval():
    labels, scores, _ = scored()
    codes = np.arange(200)
    for figure in (auroc, average_precision):
        once = figure(labels, scores, codes)
        often = figure(labels.repeat(3), scores.repeat(3), codes.repeat(3))
        # Ten more: with clusters Student's t stands where the normal quantile was.
        assert often.low == pytest.approx(once.low, abs=0.01)
        assert often.high == pytest.approx(once.high, abs=0.01)


def test_groups_that_are_alike_do_not_make_the_images_errors_vanish():
    labels = np.tile([0, 0, 0, 1, 1], 5) == 1
    scores = np.tile([0.1, 0.5, 0.7, 0.6, 0.9], 5)
    found = average_precision(labels, scores, np.arange(5).repeat(5))
    assert found.high - found.low > 0.3


def test_a_perfect_ranking_has_the_exact_lower_bound_of_the_rarer_class():
    labels = np.arange(110) < 10
    found = auroc(labels, labels.astype(float), np.arange(110))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 10))
    worst = auroc(labels, -labels.astype(float), np.arange(110))
    assert (worst.value, worst.low) == (0, 0)
    assert worst.high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_equal_scores_rank_nothing_and_one_group_has_no_interval():
    labels, _, codes = scored()
    assert auroc(labels, np.full(200, 0.3), codes)[:3] == (0.5, 0.5, 0.5)
    alone = np.where(labels, 0, codes + 1)
    assert not auroc(labels, scored()[1], alone).has_interval


@pytest.mark.parametrize(
    ("cell", "before"),
    [
        (Cell(55, 1576, 0.998, 2), 0.80),
        (Cell(20, 200, 0.98, 1), 0.88),
        (Cell(10, 200, 0.95, 1), 0.88),
    ],
)
def test_the_interval_covers_where_the_percentile_bootstrap_does_not(cell, before):
    now, _ = covered("reported", cell, 250)["AUROC"]
    assert now >= 0.92  # 93 % or more, of 250 data sets
    bootstrap, _ = covered("percentile bootstrap", cell, 120)["AUROC"]
    assert bootstrap <= before


def test_the_interval_of_many_patients_is_not_wider_than_it_must_be():
    share, width = covered("reported", Cell(400, 234, 0.974, 1), 200)["AUROC"]
    wald = covered("logit DeLong", Cell(400, 234, 0.974, 1), 200)["AUROC"][1]
    assert 0.91 <= share <= 0.99 and width < 1.1 * wald
