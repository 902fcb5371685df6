"""Noise models: the first two moments, what a key decides, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from covidjax.data import noise
from covidjax.data.noise import NOISES, Noise

SIDE, BATCH = 128, 8
VALUES = (0.1, 0.5, 0.9)
add = partial(jax.jit, static_argnums=3)(noise.add_noise)


def flat(value: float, batch: int = BATCH) -> jax.Array:
    return jnp.full((batch, SIDE, SIDE, 1), value)


def drawn(value: float, level: float, what: Noise, seed: int = 0, batch: int = BATCH) -> np.ndarray:
    levels = jnp.full(batch, level)
    return np.asarray(add(flat(value, batch), levels, jax.random.key(seed), what), np.float64)


def assert_moments(pixels: np.ndarray, mean: float, variance: float) -> None:
    """Within five standard errors, the fourth moment estimated: 131,072 independent pixels."""
    count = pixels.size
    spread = np.sqrt(np.mean((pixels - pixels.mean()) ** 4) - pixels.var() ** 2)
    assert abs(pixels.mean() - mean) < 5 * np.sqrt(variance / count)
    assert abs(pixels.var() - variance) < 5 * spread / np.sqrt(count)
    assert 5 * spread / np.sqrt(count) < 0.06 * variance  # tight enough to see a wrong formula


@pytest.mark.parametrize("value", VALUES)
def test_gaussian_has_the_level_as_its_standard_deviation_of_255(value):
    assert_moments(drawn(value, 25.0, Noise("gaussian")), value, (25 / 255) ** 2)


@pytest.mark.parametrize("value", VALUES)
def test_speckle_grows_with_the_value(value):
    assert_moments(drawn(value, 0.2, Noise("speckle")), value, (0.2 * value) ** 2)


@pytest.mark.parametrize("value", VALUES)
def test_salt_and_pepper_kills_a_share_of_the_pixels_half_to_each_end(value):
    mean = 0.9 * value + 0.05
    square = 0.9 * value**2 + 0.05
    pixels = drawn(value, 0.1, Noise("salt_and_pepper"))
    assert_moments(pixels, mean, square - mean**2)
    assert set(np.unique(np.float32(pixels))) == {0.0, 1.0, np.float32(value)}


def exact_low_dose(value: float, dose: float, what: Noise) -> tuple[float, float]:
    """Mean and variance by summing over photons and integrating over the electronics."""
    expected = dose * what.photons * np.exp(-what.absorption * value)
    photons = np.arange(stats.poisson.ppf(1e-10, expected), stats.poisson.ppf(1 - 1e-10, expected))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    counts = np.maximum(photons[:, None] + what.electronic * nodes, 1)
    values = -np.log(counts / (dose * what.photons)) / what.absorption
    share = stats.poisson.pmf(photons, expected)[:, None] * weights / weights.sum()
    mean = float(np.sum(share * values))
    return mean, float(np.sum(share * values**2) - mean**2)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("dose", [1.0, 0.2])
def test_low_dose_has_the_moments_of_its_formula(value, dose):
    what = Noise("low_dose", absorption=2.5, photons=4000, electronic=4.0)
    mean, variance = exact_low_dose(value, dose, what)
    assert_moments(drawn(value, dose, what), mean, variance)
    rate = dose * 4000 * np.exp(-2.5 * value)
    assert variance == pytest.approx((rate + 16) / (rate * 2.5) ** 2, rel=6 / rate + 0.01)


@pytest.mark.parametrize(("dose", "shift", "ratio"), [(0.1, 0.013, 1.10), (0.5, 0.002, 1.01)])
def test_few_photons_bend_low_dose_away_from_its_formula_by_what_is_said(dose, shift, ratio):
    what = Noise("low_dose")
    mean, variance = exact_low_dose(0.9, dose, what)
    rate = dose * what.photons * np.exp(-what.absorption * 0.9)
    formula = (rate + what.electronic**2) / (rate * what.absorption) ** 2
    assert mean - 0.9 == pytest.approx(shift, abs=5e-4)
    assert np.sqrt(variance / formula) == pytest.approx(ratio, abs=5e-3)
    assert_moments(drawn(0.9, dose, what), mean, variance)


def test_counts_and_values_are_inverse_to_each_other():
    what = Noise("low_dose")
    values = jnp.linspace(0, 1, 11)
    back = noise.from_counts(noise.to_counts(values, 0.5, what), 0.5, what)
    np.testing.assert_allclose(back, values, atol=1e-6)
    assert float(noise.from_counts(jnp.zeros(()), 0.5, what)) == pytest.approx(
        np.log(0.5 * what.photons) / what.absorption
    )


def test_grid_lines_have_mean_zero_and_half_the_squared_amplitude():
    pixels = drawn(0.5, 20.0, Noise("grid"), batch=64)
    assert pixels.mean() == pytest.approx(0.5, abs=1e-3)  # whole periods, but for the edge
    assert pixels.var() == pytest.approx((20 / 255) ** 2 / 2, rel=0.02)
    assert pixels.max() == pytest.approx(0.5 + 20 / 255, rel=1e-3)


def test_grid_lines_run_down_or_across_in_a_narrow_band():
    pixels = drawn(0.5, 20.0, Noise("grid"), batch=64)[..., 0]
    down = np.ptp(pixels, axis=1).max(axis=1) < 1e-6
    across = np.ptp(pixels, axis=2).max(axis=1) < 1e-6
    assert (down ^ across).all() and 16 < down.sum() < 48
    for image in np.where(down[:, None], pixels[:, 0, :], pixels[:, :, 0]):
        power = np.abs(np.fft.rfft((image - image.mean()) * np.hanning(SIDE))) ** 2
        peak = power.argmax()
        assert power[max(peak - 2, 0) : peak + 3].sum() > 0.95 * power.sum()
        low, high = (SIDE / period for period in reversed(noise.GRID_PERIODS))
        assert low - 1 <= peak <= high + 1


def test_blur_correlates_neighbors_and_keeps_the_variance():
    pixels = drawn(0.5, 25.0, Noise(blur=0.8), batch=32)[..., 0]
    assert pixels.var() == pytest.approx((25 / 255) ** 2, rel=0.02)
    centred = pixels - pixels.mean()
    taps = noise.blur_kernel(0.8)
    for lag in (1, 2):
        found = np.mean(centred * np.roll(centred, lag, axis=1)) / centred.var()
        assert found == pytest.approx(np.sum(taps[lag:] * taps[:-lag]), abs=0.01)
    assert np.mean(centred * np.roll(centred, 8, axis=2)) / centred.var() == pytest.approx(
        0, abs=0.01
    )


def test_dead_pixels_and_grid_lines_add_to_the_main_kind():
    pixels = drawn(0.5, 10.0, Noise("gaussian", dead=0.1, grid=20.0), batch=64)
    alive = pixels[(pixels != 0) & (pixels != 1)]
    assert alive.size / pixels.size == pytest.approx(0.9, abs=0.002)
    assert alive.var() == pytest.approx((10 / 255) ** 2 + (20 / 255) ** 2 / 2, rel=0.02)


@pytest.mark.parametrize("kind", ["gaussian", "low_dose", "grid"])
def test_an_images_noise_depends_on_its_number_and_not_on_the_batch(kind):
    extras = {"blur": 0.3, "dead": 0.01, "grid": 3.0} if kind == "gaussian" else {}
    what, key = Noise(kind, **extras), jax.random.key(3)
    images = jax.random.uniform(jax.random.key(1), (5, 16, 16, 1))
    levels = jnp.full(5, NOISES[kind].tested[0])
    whole = add(images, levels, key, what, jnp.arange(5))
    turned = add(images[::-1], levels, key, what, jnp.arange(5)[::-1])
    np.testing.assert_allclose(turned[::-1], whole, atol=1e-6)
    same = add(jnp.broadcast_to(images[:1], images.shape), levels, key, what, jnp.arange(5))
    assert not np.allclose(same[0], same[1])
    other = add(images, levels, jax.random.key(4), what, jnp.arange(5))
    assert not np.allclose(other, whole)


def test_each_image_has_its_own_level():
    levels = jnp.array([0.0, 10.0, 50.0])
    noisy = add(flat(0.5, 3), levels, jax.random.key(0), Noise())
    np.testing.assert_allclose(np.std(noisy, axis=(1, 2, 3)) * 255, levels, rtol=0.03)


def test_levels_fill_their_range_and_equal_ends_fix_them():
    key = jax.random.key(0)
    drawn_levels = np.asarray(noise.draw_levels(key, 4000, 5, 55))
    assert 5 <= drawn_levels.min() < 5.2 and 54.8 < drawn_levels.max() <= 55
    assert drawn_levels.mean() == pytest.approx(30, abs=1)
    doses = np.asarray(noise.draw_levels(key, 4000, 0.01, 1, logarithmic=True))
    assert np.log10(doses).mean() == pytest.approx(-1, abs=0.05)
    assert doses.min() >= 0.01 and doses.max() <= 1.0001
    np.testing.assert_array_equal(noise.draw_levels(key, 3, 25, 25), [25, 25, 25])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "gausian"}, "kind 'gausian' is unknown: known are gaussian, low_dose"),
        ({"blur": -1.0}, "noise.blur must be at least 0"),
        ({"dead": 1.0}, r"noise.dead must be in \[0, 1\)"),
        ({"photons": 0.0}, "noise.photons must be above 0"),
        ({"electronic": float("nan")}, "noise.electronic must be at least 0"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Noise(**fields)


def test_every_kind_has_a_function_and_levels_inside_its_range():
    assert NOISES.keys() == noise.FUNCTIONS.keys()
    for kind in NOISES.values():
        assert all(kind.low <= level <= kind.high for level in kind.tested)
