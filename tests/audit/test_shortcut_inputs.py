"""The audit's inputs: what is said to be left out is left out."""

import numpy as np
import pandas as pd
import pytest

from covidjax.audit import shortcut_inputs as inputs
from covidjax.images.thorax import HALF_AXIS


def noise(n=3, side=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), np.uint8)


def in_ellipse(side, half):
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    return x**2 + y**2 <= half**2


@pytest.mark.parametrize("side", [28, 64, 65])
@pytest.mark.parametrize("view", [inputs.border, inputs.lungs_blacked_out, inputs.corner_patches])
def test_no_pixel_of_the_middle_is_in_a_view_without_lung(view, side):
    images = noise(side=side)
    other = images.copy()
    middle = in_ellipse(side, 0.36)  # inside all three masks
    other[:, middle] = 255 - other[:, middle]
    np.testing.assert_array_equal(view(images), view(other))
    other[:, 0, 0] = 255 - other[:, 0, 0]
    assert (view(images) != view(other)).sum() == len(images)


def test_the_border_is_the_outer_frame():
    images = np.zeros((1, 20, 20), np.uint8)
    images[:, 2:-2, 2:-2] = 9
    assert inputs.border(images).shape == (1, 20 * 20 - 16 * 16)
    assert not inputs.border(images).any()


def test_the_ellipse_leaves_the_corners_alone():
    found = inputs.lungs_blacked_out(noise())
    assert found.shape == (3, 64 * 64 - in_ellipse(64, HALF_AXIS).sum())


def test_corner_patches_are_four_squares():
    assert inputs.corner_patches(noise(side=60)).shape == (3, 4 * 10 * 10)


def test_the_thumbnail_is_the_mean_of_its_cells():
    images = noise()
    expected = images.reshape(3, 8, 8, 8, 8).mean(axis=(2, 4)).reshape(3, 64)
    np.testing.assert_allclose(inputs.thumbnail(images), expected, atol=0.51)


def test_the_histogram_knows_no_places():
    images = noise()
    flat = images.reshape(3, -1)
    shuffled = np.random.default_rng(1).permuted(flat, axis=1).reshape(images.shape)
    np.testing.assert_array_equal(inputs.histogram(images), inputs.histogram(shuffled))
    np.testing.assert_allclose(inputs.histogram(images).sum(axis=1), 1, rtol=1e-6)
    assert inputs.histogram(np.full((1, 8, 8), 255, np.uint8))[0, -1] == 1


def test_file_facts_are_of_the_file_alone():
    table = pd.DataFrame(
        {
            "image": ["a", "b"],
            "label": ["Normal", "Pneumonia"],
            "height": [100, 200],
            "width": [200, 200],
            "mode": ["L", "RGB"],
            "bytes": [10_000, 80_000],
        }
    )
    expected = [[100, 200, 2, 0.5, 1, 0], [200, 200, 1, 2, 0, 1]]
    np.testing.assert_allclose(inputs.file_facts(table), expected)


def test_large_images_shrink_and_small_ones_stay():
    rows = np.array([2, 0])
    assert inputs.shrink(noise(side=224), rows).shape == (2, 64, 64)
    np.testing.assert_array_equal(inputs.shrink(noise(side=32), rows), noise(side=32)[rows])
