"""The transform makes the noise's standard deviation 1, and its inverse has no bias."""

import numpy as np
import pytest

from covidjax.denoise.measures import anscombe


def counts(expected: float, sigma: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.poisson(expected, 100_000) + rng.normal(0, sigma, 100_000)


@pytest.mark.parametrize("expected", [10, 50, 500])
@pytest.mark.parametrize("sigma", [0.0, 3.0])
def test_the_variance_becomes_1(expected, sigma):
    stable = anscombe.forward(counts(expected, sigma), sigma)
    assert stable.var() == pytest.approx(1, abs=0.08 if expected > 10 else 0.15)


@pytest.mark.parametrize("expected", [2, 10, 100])
@pytest.mark.parametrize("sigma", [0.0, 3.0])
def test_the_inverse_of_the_mean_is_the_expected_count(expected, sigma):
    mean = anscombe.forward(counts(expected, sigma), sigma).mean()
    found = anscombe.inverse(mean, sigma)
    assert found == pytest.approx(expected, rel=0.02, abs=0.15 if expected > 2 else 0.4)
    algebraic = (mean / 2) ** 2 - 3 / 8 - sigma**2
    assert abs(found - expected) < abs(algebraic - expected)


def test_values_below_every_transform_are_no_counts():
    assert anscombe.inverse(np.array([-1.0, 0.0]), 1.0).tolist() == [0, 0]
