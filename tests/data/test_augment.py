"""Augmentation: what each strength does, that it does nothing else, and that it follows its key."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from covidjax.data import augment as module
from covidjax.data.augment import Augmentation

OFF = Augmentation(**{field.name: 0.0 for field in dataclasses.fields(Augmentation)})
SIDE = 16
KEY = jax.random.key(0)
COUNT = 200


@jax.jit
def run(images: jax.Array, key: jax.Array, strengths: dict[str, jax.Array]) -> jax.Array:
    return module.augment(images, key, Augmentation(**strengths))


def augment(images: jax.Array, key: jax.Array, strength: Augmentation) -> np.ndarray:
    """With traced strengths and one shape, so that it is compiled once."""
    assert len(images) == COUNT
    return np.asarray(run(images, key, dataclasses.asdict(strength)))


def smooth_images(count: int = COUNT) -> jax.Array:
    """Blobs in [0.1, 0.9], the same picture `count` times."""
    noise = np.random.default_rng(0).random((SIDE, SIDE))
    blob = ndimage.gaussian_filter(noise, 2)
    blob = 0.1 + 0.8 * (blob - blob.min()) / np.ptp(blob)
    return jnp.asarray(np.repeat(blob[None, :, :, None], count, axis=0), jnp.float32)


def only(**strengths: float) -> Augmentation:
    return dataclasses.replace(OFF, **strengths)


def matrix(rows: list[list[float]]) -> jax.Array:
    return jnp.asarray([rows], jnp.float32)


def test_bytes_become_floats_from_0_to_1():
    images = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1)
    floats = module.to_float(images)
    assert floats.dtype == jnp.float32
    np.testing.assert_allclose(floats.ravel(), np.arange(256) / 255, rtol=1e-6)


def test_normalized_images_have_zero_mean_and_unit_variance_whatever_the_exposure():
    image = smooth_images(3) * jnp.asarray([1.0, 0.5, 0.4])[:, None, None, None] + 0.05
    result = module.normalize(image)
    np.testing.assert_allclose(result.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std((1, 2, 3)), 1, atol=0.03)
    np.testing.assert_allclose(result[0], result[1], atol=0.03)
    black = module.normalize(jnp.zeros((1, SIDE, SIDE, 1)))
    np.testing.assert_array_equal(black, 0)  # and not NaN


def test_all_strengths_at_zero_leave_the_images_as_they_are():
    images = smooth_images()
    np.testing.assert_allclose(augment(images, KEY, OFF), images, atol=1e-5)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Augmentation)])
def test_each_strength_changes_images_on_its_own_and_each_image_by_its_own_draw(name):
    images = smooth_images()
    strength = only(**{name: 0.5 if name != "rotation" else 15.0})
    result = augment(images, KEY, strength)
    assert result.shape == images.shape and result.dtype == np.float32
    assert np.isfinite(result).all()
    changed = np.abs(result - images).max(axis=(1, 2, 3)) > 1e-3
    if name == "flip":  # half of them, all in the same way
        assert 0.3 < changed.mean() < 0.7
    else:
        assert changed.mean() > 0.8
        assert len(np.unique(result.reshape(len(images), -1).round(4), axis=0)) > 140


def test_the_key_alone_decides():
    images = smooth_images()
    one = augment(images, KEY, Augmentation())
    np.testing.assert_array_equal(one, augment(images, jax.random.key(0), Augmentation()))
    assert not np.array_equal(one, augment(images, jax.random.key(1), Augmentation()))


def test_defaults_keep_images_near_the_unit_range():
    result = augment(smooth_images(), KEY, Augmentation())
    assert np.percentile(result, 1) > -0.3 and np.percentile(result, 99) < 1.6


# Geometry.


def test_the_identity_returns_the_image():
    images = smooth_images(1)
    result = module.warp(images, matrix([[1, 0, 0], [0, 1, 0]]))
    np.testing.assert_allclose(result, images, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[-1, 0, 0], [0, 1, 0]], np.flipud),
        ([[1, 0, 0], [0, -1, 0]], np.fliplr),
        ([[0, 1, 0], [1, 0, 0]], np.transpose),
        ([[0, 1, 0], [-1, 0, 0]], np.rot90),  # output (r, c) reads input (c, -r)
    ],
)
def test_exact_maps_move_pixels_exactly(rows, expected):
    images = smooth_images(1)
    result = module.warp(images, matrix(rows))[0, :, :, 0]
    np.testing.assert_allclose(result, expected(np.asarray(images[0, :, :, 0])), atol=1e-5)


def test_positions_outside_repeat_the_edge():
    images = smooth_images(1)
    step = 2 / (SIDE - 1)  # of one pixel
    result = module.warp(images, matrix([[1, 0, 5 * step], [0, 1, -3 * step]]))[0, :, :, 0]
    padded = np.pad(np.asarray(images[0, :, :, 0]), 5, mode="edge")
    np.testing.assert_allclose(result, padded[10 : 10 + SIDE, 2 : 2 + SIDE], atol=1e-5)


def test_warp_is_bilinear_as_scipys():
    images = smooth_images(1)
    rows = np.array([[0.9, 0.2, 0.1], [-0.15, 1.1, -0.05]])
    result = module.warp(images, matrix(rows.tolist()))[0, :, :, 0]
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2, indexing="ij"))
    source = np.einsum("ij,jhw->ihw", rows[:, :2], grid) + rows[:, 2, None, None]
    pixels = (source + 1) * (SIDE - 1) / 2
    expected = ndimage.map_coordinates(images[0, :, :, 0], pixels, order=1, mode="nearest")
    np.testing.assert_allclose(result, expected, atol=1e-4)


def affine(**strengths: float) -> np.ndarray:
    return np.asarray(module.affine_matrices(KEY, 4000, only(**strengths)))


def test_rotations_fill_the_range_of_degrees_and_nothing_else():
    maps = affine(rotation=20.0)
    angle = np.rad2deg(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert -20 <= angle.min() < -19 and 19 < angle.max() <= 20
    linear = maps[:, :, :2]
    identity = np.broadcast_to(np.eye(2), linear.shape)
    np.testing.assert_allclose(linear @ linear.transpose(0, 2, 1), identity, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(linear), 1, atol=1e-5)
    np.testing.assert_array_equal(maps[:, :, 2], 0)


def test_zoom_and_stretch_fill_their_logarithmic_ranges():
    zoom = affine(scale=0.2)
    np.testing.assert_allclose(zoom[:, 0, 0], zoom[:, 1, 1], rtol=1e-6)
    logs = np.log(zoom[:, 0, 0])
    assert -0.2001 <= logs.min() < -0.19 and 0.19 < logs.max() <= 0.2001
    stretch = affine(stretch=0.3)
    ratio = np.log(stretch[:, 0, 0] / stretch[:, 1, 1])
    assert -0.3001 <= ratio.min() < -0.29 and 0.29 < ratio.max() <= 0.3001
    np.testing.assert_allclose(stretch[:, 0, 0] * stretch[:, 1, 1], 1, rtol=1e-5)


def test_shifts_fill_their_share_of_the_side_both_ways_independently():
    shift = affine(shift=0.1)[:, :, 2] / 2  # in [-1, 1] the side is 2 long
    assert (np.abs(shift) <= 0.1001).all() and (np.abs(shift).max(axis=0) > 0.099).all()
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.05


@pytest.mark.parametrize("flip", [0.0, 0.25, 0.5, 1.0])
def test_mirrors_are_left_right_and_as_frequent_as_asked(flip):
    maps = affine(flip=flip)
    np.testing.assert_array_equal(maps[:, 0, 0], 1)
    assert set(np.unique(maps[:, 1, 1])) <= {-1.0, 1.0}
    assert abs((maps[:, 1, 1] < 0).mean() - flip) <= (0.03 if 0 < flip < 1 else 0)


# Film.


def test_brightness_and_contrast_stay_within_their_ranges():
    images = smooth_images()
    offset = augment(images, KEY, only(brightness=0.2)) - images
    np.testing.assert_allclose(np.ptp(offset, axis=(1, 2, 3)), 0, atol=1e-5)
    assert 0.19 < np.abs(offset).max() < 0.2001
    deviation = augment(images, KEY, only(contrast=0.3)).std((1, 2, 3))
    logs = np.log(deviation / np.asarray(images).std((1, 2, 3)))
    assert 0.29 < logs.max() < 0.301 and -0.301 < logs.min() < -0.29


def test_the_tone_curve_is_a_power():
    images = smooth_images()
    result = augment(images, KEY, only(gamma=0.4))
    power = np.log(result) / np.log(np.asarray(images))
    np.testing.assert_allclose(np.ptp(power, axis=(1, 2, 3)), 0, atol=1e-3)
    logs = np.log(power[:, 0, 0, 0])
    assert 0.39 < logs.max() < 0.401 and -0.401 < logs.min() < -0.39


def test_noise_is_white_and_no_stronger_than_asked():
    images = jnp.full((COUNT, SIDE, SIDE, 1), 0.5)
    noise = augment(images, KEY, only(noise=0.05)) - 0.5
    deviation = noise.std((1, 2, 3))
    assert 0.04 < deviation.max() < 0.058 and deviation.min() < 0.005
    neighbors = np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]
    assert abs(neighbors) < 0.02


def test_shading_is_smooth_and_no_stronger_than_asked():
    images = jnp.full((COUNT, SIDE, SIDE, 1), 0.5)
    gain = augment(images, KEY, only(shading=0.2)) / 0.5
    assert 0.15 < np.abs(gain - 1).max() < 0.2001
    assert np.abs(np.diff(gain, axis=1)).max() < 0.1  # 0.4 over 5 pixels at the most


def test_the_blur_kernel_is_binomial_and_keeps_flat_fields():
    point = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(16.0)
    kernel = module.binomial_blur(point)[0, 1:4, 1:4, 0]
    np.testing.assert_allclose(kernel, [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    np.testing.assert_allclose(module.binomial_blur(jnp.full((1, 5, 5, 1), 0.7)), 0.7, rtol=1e-6)


def test_erasing_sets_one_rectangle_to_the_mean():
    images = smooth_images()
    result = np.asarray(module.erase(images, KEY, 0.4))[..., 0]
    mean = float(images[0].mean())
    sizes = set()
    for picture in result:
        erased = picture != np.asarray(images[0, :, :, 0])
        if not erased.any():
            continue
        np.testing.assert_allclose(picture[erased], mean, rtol=1e-5)
        rows, columns = erased.any(1), erased.any(0)
        assert erased.sum() == rows.sum() * columns.sum()  # one rectangle
        assert np.ptp(np.flatnonzero(rows)) + 1 == rows.sum()
        sizes |= {rows.sum(), columns.sum()}
    assert 5 <= max(sizes) <= 0.4 * SIDE + 1
