"""Estimates carry what a difference or a mean of them needs."""

import numpy as np
import pytest
from scipy.stats import t

from covidjax.evidence.estimates import (
    Estimate,
    Z,
    difference,
    effective_number,
    group_codes,
    influence_of_mean,
    mean_of,
    quantile,
)
from covidjax.evidence.metrics import EvaluationError
from covidjax.evidence.rates import rate


def normal(value, error, groups=200, seed=0):
    """An estimate with a Wald interval, its influence drawn at random."""
    influence = np.random.default_rng(seed).normal(size=groups)
    influence *= error / np.sqrt((influence**2).sum())
    return Estimate(value, value - Z * error, value + Z * error, influence, groups)


def test_the_effective_number_is_the_groups_where_they_are_alike_and_the_images_where_not():
    codes = np.arange(100).repeat(4)
    values = np.random.default_rng(0).random(100)
    assert effective_number(values.repeat(4), codes) == pytest.approx(100)
    assert effective_number(np.random.default_rng(1).random(400), codes) > 350
    assert effective_number(values, np.arange(100)) == 100
    assert effective_number(np.ones(400), codes) == pytest.approx(100)  # nothing varies


def test_the_influence_of_a_mean_gives_its_clustered_variance():
    rng = np.random.default_rng(0)
    codes = np.arange(50).repeat(3)
    values = rng.random(50).repeat(3)
    error = np.sqrt((influence_of_mean(values, codes, 50) ** 2).sum())
    assert error == pytest.approx(values[::3].std(ddof=1) / np.sqrt(50))


def test_independent_estimates_are_combined_in_quadrature():
    a, b = normal(0.9, 0.02), normal(0.8, 0.03)
    found = difference(a, b, paired=False)
    assert found.value == pytest.approx(0.1)
    assert found.high - found.value == pytest.approx(Z * np.hypot(0.02, 0.03))


def test_paired_symmetric_estimates_give_the_wald_interval_of_the_difference():
    a, b = normal(0.9, 0.02, seed=1), normal(0.8, 0.03, seed=2)
    b = b._replace(influence=0.5 * b.influence + 0.8 * a.influence)
    error = np.sqrt((b.influence**2).sum())
    b = b._replace(low=0.8 - Z * error, high=0.8 + Z * error)
    found = difference(a, b)
    expected = Z * np.sqrt(((a.influence - b.influence) ** 2).sum())
    assert found.high - found.value == pytest.approx(expected)


def test_errors_that_coincide_in_few_groups_do_not_show_that_they_always_will():
    labels, codes = np.arange(20) % 2, np.arange(20)
    one = rate(codes != 1, labels == 1, codes)
    other = rate(codes != 1, labels == 1, codes)
    found = difference(one, other)
    assert found.value == 0 and -0.3 < found.low < -0.1 and 0.1 < found.high < 0.3


def test_a_figure_does_not_differ_from_itself():
    a = normal(0.9, 0.02)._replace(low=0.84, high=0.93)
    assert difference(a, a, same=True)[1:3] == (0, 0)
    perfect = Estimate(1.0, 0.8, 1.0, np.zeros(20), 20)
    low, high = difference(perfect, perfect)[1:3]
    assert low == pytest.approx(-0.2) and high == pytest.approx(0.2)


def test_few_groups_tell_no_correlation():
    a, b = normal(0.9, 0.1, groups=8), normal(0.8, 0.1, groups=8)
    apart = difference(a, b, paired=False)
    assert difference(a, b)[1:3] == pytest.approx(apart[1:3])


def test_a_mean_of_estimates_that_err_together_is_no_better_than_one():
    a = normal(0.9, 0.02)
    together = mean_of([a, a])
    assert together.high - together.low == pytest.approx(a.high - a.low)
    independent = mean_of([a, normal(0.9, 0.02, seed=5)])
    assert independent.high - independent.low == pytest.approx((a.high - a.low) / 2**0.5, rel=0.1)


def test_students_t_counts_the_groups_and_heavy_tails_take_them_away():
    even = np.tile([1.0, -1.0], 5)
    assert quantile([even]) == pytest.approx(t.isf(0.025, 9))
    assert quantile([np.zeros(3)]) == Z
    single = np.array([10.0, *np.tile([0.1, -0.1], 25)])
    assert quantile([single], heavy=True) > 2 * quantile([single])


def test_a_row_says_where_few_groups_stand_behind_it():
    codes = np.arange(60)
    hits = codes < 50
    everything = np.ones(60, bool)
    assert "few_groups" not in rate(hits, everything, codes).row(60)
    assert rate(hits, codes < 49, codes).row(49)["few_groups"] == 49


def test_groups_must_be_one_an_example_and_none_missing():
    with pytest.raises(EvaluationError, match=r"\[3\]"):
        group_codes(["a", "b"], 3)
    with pytest.raises(EvaluationError, match="1 of 3 examples have no group"):
        group_codes(np.array(["a", None, "b"], dtype=object), 3)
    with pytest.raises(EvaluationError, match="no group"):
        group_codes([1.0, np.nan], 2)
