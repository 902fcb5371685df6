"""The layers of the hourglass: compiled values and gradients are those of the array operations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax.kernels import build, hourglass, native

pytestmark = pytest.mark.usefixtures("compiled")


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) + 0.5, jnp.float32)


def both_ways(function, *arguments, monkeypatch):
    """Value and gradients by the compiled kernels and by array operations, in that order."""
    found = []
    for compiled in (True, False):
        monkeypatch.setattr(build, "in_use", lambda compiled=compiled: compiled)
        y, pull = jax.vjp(lambda *x: function(*x), *arguments)
        found.append((y, *pull(draw(*y.shape, seed=9))))
    return found


def assert_close(ours, plain, tolerance=1e-5):
    for one, other in zip(ours, plain, strict=True):
        assert one.shape == other.shape
        assert np.linalg.norm(one - other) < tolerance * np.linalg.norm(other)


@pytest.mark.parametrize(
    ("shape", "outputs", "side", "stride"),
    [
        ((1, 16, 16, 32), 32, 3, 1),
        ((2, 9, 7, 36), 16, 3, 1),  # a skip's channels beside; no whole tiles
        ((1, 4, 5, 20), 48, 3, 1),
        ((1, 3, 3, 132), 16, 3, 1),
        ((1, 9, 8, 3), 16, 3, 1),  # fewer channels than a short vector
        ((1, 9, 8, 39), 32, 3, 1),  # more than a short vector beside whole ones
        ((1, 9, 8, 68), 16, 3, 1),  # inputs in two blocks
        ((1, 2, 2, 16), 16, 3, 1),  # the smallest that can be reflected
        ((1, 16, 12, 32), 32, 3, 2),
        ((2, 7, 9, 16), 16, 3, 2),  # odd sides: the last row is reflected too
        ((1, 64, 64, 16), 32, 3, 2),  # in several bands
        ((2, 35, 107, 20), 48, 3, 2),  # rows read as they lie, and their edges, in several bands
        ((6, 8, 8, 16), 16, 3, 2),  # many images are not cut into bands
        ((1, 8, 8, 32), 32, 1, 1),
        ((1, 8, 8, 32), 4, 1, 1),  # a skip
        ((2, 70, 33, 48), 3, 1, 1),  # in several parts
        ((1, 9, 8, 16), 1, 1, 1),  # the last
        ((1, 9, 8, 5), 3, 1, 1),
    ],
)
def test_reflecting_convolutions_equal_padded_ones(shape, outputs, side, stride, monkeypatch):
    images, kernel = draw(*shape), draw(side, side, shape[-1], outputs, seed=1)
    run = partial(hourglass.conv, stride=stride)
    assert_close(*both_ways(run, images, kernel, monkeypatch=monkeypatch))


@pytest.mark.parametrize("shape", [(1, 8, 8, 32), (3, 5, 7, 4), (1, 90, 95, 36), (1, 1, 1, 16)])
def test_normalization_equals_the_array_operations(shape, monkeypatch):
    channels = shape[-1]
    parts = draw(*shape), draw(channels, seed=1), draw(channels, seed=2)
    ours, plain = both_ways(hourglass.norm_act, *parts, monkeypatch=monkeypatch)
    if shape[1:3] == (1, 1):  # one pixel is its own mean: only the bias is left
        np.testing.assert_allclose(ours[0], plain[0], atol=1e-5)
    else:
        assert_close(ours, plain)


@pytest.mark.parametrize(
    ("shape", "outputs"),
    [
        ((1, 40, 64, 32), 1),
        ((2, 70, 33, 144), 1),  # in several tasks; more channels than are worked on at once
        ((1, 6, 5, 20), 1),  # no whole vectors
        ((1, 6, 5, 32), 3),
        ((1, 40, 64, 32), 32),
        ((2, 70, 33, 144), 48),  # in several tasks, and rows left over
        ((3, 2, 3, 16), 16),
    ],
)
def test_a_normalized_product_equals_the_array_operations(shape, outputs, monkeypatch):
    channels = shape[-1]
    terms = draw(channels, seed=1), draw(channels, seed=2), draw(channels, outputs, seed=3)
    found = both_ways(hourglass.norm_act_dot, draw(*shape), *terms, monkeypatch=monkeypatch)
    assert_close(*found)


@pytest.mark.parametrize(
    ("deep", "beside"), [((1, 8, 8, 32), 4), ((2, 1, 3, 5), 2), ((1, 9, 2, 16), 16)]
)
def test_merging_equals_the_array_operations(deep, beside, monkeypatch):
    skip = (deep[0], 2 * deep[1], 2 * deep[2], beside)
    parts = [draw(*deep), draw(*skip, seed=1)]
    parts += [draw(deep[-1] + beside, seed=seed) for seed in (2, 3)]
    assert_close(*both_ways(hourglass.merge, *parts, monkeypatch=monkeypatch))


def test_enlarging_is_bilinear_at_pixel_centres():
    ramp = jnp.arange(4.0).reshape(1, 1, 4, 1) * jnp.ones((1, 3, 1, 1))
    expected = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    np.testing.assert_allclose(hourglass.enlarge(ramp)[0, :, :, 0], [expected] * 6)


def test_statistics_are_of_each_image_by_itself(monkeypatch):
    monkeypatch.setattr(build, "in_use", lambda: True)
    images = draw(3, 6, 6, 4)
    scale, bias = draw(4, seed=1), draw(4, seed=2)
    together = hourglass.norm_act(images, scale, bias)
    for index in range(3):
        alone = hourglass.norm_act(images[index : index + 1], scale, bias)
        np.testing.assert_array_equal(together[index], alone[0])


def test_numbers_far_from_zero_do_not_lose_their_spread(monkeypatch):
    monkeypatch.setattr(build, "in_use", lambda: True)
    images = 1000 + draw(1, 32, 32, 4)
    found = hourglass.norm_act(images, jnp.ones(4), jnp.zeros(4))
    exact = np.asarray(images, np.float64)
    exact = (exact - exact.mean((1, 2))) / exact.std((1, 2))
    np.testing.assert_allclose(found, np.where(exact > 0, exact, 0.2 * exact), atol=2e-3)


def test_kernels_outside_the_multiple_of_lanes_are_left_to_xla(monkeypatch):
    monkeypatch.setattr(build, "in_use", lambda: True)
    images, kernel = draw(1, 6, 6, 8), draw(3, 3, 8, native.LANES + 1)
    text = str(jax.make_jaxpr(hourglass.conv)(images, kernel))
    assert "covidjax" not in text and " conv_general_dilated" in text


def test_perturbations_are_normal_of_their_place_and_key(monkeypatch):
    monkeypatch.setattr(build, "in_use", lambda: True)
    run = partial(hourglass.perturb, deviation=0.5)
    zeros = jnp.zeros((1, 300, 301, 7))
    noise = np.asarray(run(zeros, jax.random.key(0)), np.float64).ravel() / 0.5
    n = len(noise)
    assert abs(noise.mean()) < 4 / n**0.5 and abs(noise.std() - 1) < 4 / (2 * n) ** 0.5
    assert abs((noise**3).mean()) < 4 * (15 / n) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / n) ** 0.5
    assert 4.4 < np.abs(noise).max() < 6.5
    # Beyond 3 standard deviations: 0.27 % of a normal distribution.
    assert abs((np.abs(noise) > 3).mean() - 0.0026998) < 4 * (0.0027 / n) ** 0.5
    for shift in (1, 2, 7, 16, 301 * 7):
        assert abs((noise[shift:] * noise[:-shift]).mean()) < 4 / n**0.5
    other = np.asarray(run(zeros, jax.random.key(1))).ravel() / 0.5
    assert abs((noise * other).mean()) < 4 / n**0.5
    some = run(zeros[:, :10] + 1, jax.random.key(0))
    np.testing.assert_allclose(some.ravel() - 1, noise[: some.size] * 0.5, atol=1e-6)
