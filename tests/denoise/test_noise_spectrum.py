"""The spectrum of known noise has the known height."""

import numpy as np
import pytest
from scipy import ndimage

from covidjax.denoise.measures.noise_spectrum import radial_spectrum
from covidjax.evidence.metrics import EvaluationError

SIGMA = 25 / 255
WHITE = np.random.default_rng(0).normal(0, SIGMA, (40, 64, 64))


def test_white_noise_has_its_variance_at_every_frequency():
    found = radial_spectrum(WHITE)
    np.testing.assert_allclose(found.power, SIGMA**2, rtol=0.15)
    assert found.power.mean() == pytest.approx(SIGMA**2, rel=0.02)
    assert found.frequencies[0] > 0 and found.frequencies[-1] <= 0.5
    assert (np.diff(found.frequencies) > 0).all()


def test_filtered_noise_has_the_filters_squared_transfer_function():
    blurred = ndimage.gaussian_filter(WHITE, (0, 1, 1), mode="wrap")
    found = radial_spectrum(blurred)
    expected = SIGMA**2 * np.exp(-4 * np.pi**2 * found.frequencies**2)
    low = found.frequencies < 0.35
    np.testing.assert_allclose(found.power[low], expected[low], rtol=0.2)


def test_sides_that_differ_and_a_constant_offset_change_nothing():
    found = radial_spectrum(WHITE[:, :, :48] + 0.3)
    np.testing.assert_allclose(found.power, SIGMA**2, rtol=0.25)


def test_no_image_has_no_spectrum():
    with pytest.raises(EvaluationError, match=r"\[0, 8, 8\]"):
        radial_spectrum(np.zeros((0, 8, 8)))
