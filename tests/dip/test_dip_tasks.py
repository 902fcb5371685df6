"""What the tasks take away."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax.data.noise import Noise
from covidjax.dip import tasks as dip_tasks

KEY = jax.random.key(0)
CLEAN = np.random.default_rng(0).uniform(0.2, 0.8, (64, 64)).astype(np.float32)


def test_noise_is_of_the_level_and_of_the_key():
    make = dip_tasks.make_problem
    one, same = (make("denoise", CLEAN, KEY, noise=Noise(), level=25.0) for _ in range(2))
    assert abs(np.std(one.given - CLEAN) * 255 - 25) < 2
    np.testing.assert_array_equal(one.given, same.given)
    other = make("denoise", CLEAN, jax.random.key(1), noise=Noise(), level=25.0)
    assert np.abs(other.given - one.given).max() > 0.1


def test_what_weights_are_learnt_from_is_clean_and_whole():
    pixels = np.round(255 * CLEAN).astype(np.uint8)[None]
    for task, side in (("denoise", 64), ("inpaint", 64), ("super", 32)):
        measure = dip_tasks.measurement(task, 64)
        target = dip_tasks.known_target(dip_tasks.clean_picture(pixels, 0), measure)
        assert target.measured.shape == (side, side, 1)
        np.testing.assert_array_equal(target.measured, measure(target.clean[None])[0])
        np.testing.assert_allclose(target.clean[..., 0], CLEAN, atol=0.5 / 255 + 1e-6)
        assert (np.asarray(target.mask) == 1).all()


def test_letters_are_hidden_and_only_they_are_compared():
    problem = dip_tasks.make_problem("inpaint", CLEAN, KEY)
    gone = np.asarray(problem.target.mask)[..., 0] == 0
    np.testing.assert_array_equal(gone, problem.counted)
    assert 0.002 < gone.mean() < 0.3
    assert (problem.given[gone] == 1).all()
    np.testing.assert_array_equal(problem.given[~gone], CLEAN[~gone])


def test_white_places_of_a_film_are_found_with_their_edge():
    film = CLEAN.copy()
    film[10:14, 20:22] = 1
    problem = dip_tasks.make_problem("inpaint", film, KEY, mask="white")
    gone = np.asarray(problem.target.mask)[..., 0] == 0
    assert gone.sum() == 6 * 4 and gone[9:15, 19:23].all()
    assert not problem.counted.any()  # nobody knows what is beneath


@pytest.mark.parametrize("factor", [2, 4])
def test_a_smaller_picture_is_a_mean_and_has_a_gradient(factor):
    problem = dip_tasks.make_problem("super", CLEAN, KEY, factor=factor)
    assert problem.target.measured.shape == (64 // factor, 64 // factor, 1)
    assert problem.given.shape == CLEAN.shape
    np.testing.assert_allclose(problem.target.measured.mean(), CLEAN.mean(), atol=0.01)
    measure = dip_tasks.measurement("super", 64, factor)
    gradient = jax.grad(lambda y: measure(y).sum())(jnp.asarray(CLEAN)[None, ..., None])
    np.testing.assert_allclose(gradient.sum(), (64 // factor) ** 2, rtol=1e-4)


def test_a_factor_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="config.factor=3: known are 2, 4"):
        dip_tasks.check_sizes("super", 64, 3)
