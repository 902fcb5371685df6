"""Rates have Clopper and Pearson's interval, by groups."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm, t
from sklearn.metrics import f1_score

from covidjax.evidence.rates import f_measure, rate


def test_independent_images_have_the_exact_binomial_interval():
    hits = np.arange(40) < 37
    found = rate(hits, np.ones(40, bool), np.arange(40))
    expected = binomtest(37, 40).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("hit", [True, False])
def test_no_error_in_groups_is_bounded_by_the_number_of_groups(hit):
    codes = np.arange(10).repeat(3)
    found = rate(np.full(30, hit), np.ones(30, bool), codes)
    bound = 0.025 ** (1 / (10 * (t.isf(0.025, 29) / t.isf(0.025, 9)) ** 2))
    assert (found.low, found.high) == pytest.approx((bound, 1) if hit else (0, 1 - bound))


def test_copies_of_every_image_change_nothing():
    rng = np.random.default_rng(0)
    hits, codes = rng.random(50) < 0.8, np.arange(50)
    once = rate(hits, np.ones(50, bool), codes)
    often = rate(hits.repeat(4), np.ones(200, bool), codes.repeat(4))
    assert often[:3] == pytest.approx(once[:3], rel=0.01)  # Student's t for 50 groups


@pytest.mark.parametrize(("groups", "size"), [(3, 20), (5, 20), (10, 20), (2, 20)])
def test_few_large_groups_are_covered(groups, size):
    """The groups' correlation is estimated as 0 as often as not."""
    rng, inside = np.random.default_rng(groups), 0
    codes = np.arange(groups).repeat(size)
    for _ in range(400):
        shared = rng.normal(size=groups)[codes]
        hits = np.sqrt(0.3) * shared + np.sqrt(0.7) * rng.normal(size=len(codes)) < norm.ppf(0.8)
        found = rate(hits, np.ones(len(codes), bool), codes)
        inside += found.low <= 0.8 <= found.high
    assert inside >= 0.92 * 400


def test_no_examples_are_undefined_and_one_group_has_no_interval():
    nothing = rate(np.zeros(3, bool), np.zeros(3, bool), np.arange(3))
    assert np.isnan(nothing.value)
    one = rate(np.ones(3, bool), np.ones(3, bool), np.zeros(3, int))
    assert one.value == 1 and not one.has_interval


def test_f1_is_scikit_learns_between_its_limits():
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 4 == 0
    calls = rng.random(200) < np.where(labels, 0.8, 0.1)
    codes = np.arange(200)
    recall = rate(calls, labels, codes)
    found = f_measure(recall, rate(~calls, ~labels, codes), 3.0)
    assert found.value == pytest.approx(f1_score(labels, calls))
    assert 0 < found.low < found.value < found.high < 1
    nobody = np.zeros(200, bool)
    none = f_measure(rate(nobody, labels, codes), rate(~nobody, ~labels, codes), 3.0)
    assert none.value == none.low == 0 < none.high < 1
