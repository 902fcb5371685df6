"""Tiles give what the whole image gives, whatever its size."""

import numpy as np
import pytest
from scipy import ndimage

from covidjax.denoise import tiles

RNG = np.random.default_rng(0)
SEEN = []


def network(images: np.ndarray) -> np.ndarray:
    """Sees 40 pixels around each, and halves the image on a fixed grid, as a U-Net does."""
    SEEN.append(images.shape)
    n, height, width = images.shape
    coarse = images.reshape(n, height // 8, 8, width // 8, 8).mean(axis=(2, 4))
    smooth = ndimage.gaussian_filter(images, (0, 5, 5), truncate=8)
    return (smooth + np.repeat(np.repeat(coarse, 8, 1), 8, 2)).astype(np.float32)


@pytest.mark.parametrize("size", [(300, 700), (257, 193), (192, 576), (40, 800)])
def test_tiled_equals_untiled(size):
    image = RNG.random(size).astype(np.float32)
    whole = tiles.denoise_image(network, image)
    SEEN.clear()
    tiled = tiles.denoise_image(network, image, tile=192, margin=64)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    assert tiled.shape == image.shape
    assert len(set(SEEN)) == 1 and max(SEEN[0]) <= 192  # one shape: compiled once


def test_a_margin_narrower_than_what_the_network_sees_would_show():
    image = RNG.random((128, 512)).astype(np.float32)

    def far(images):
        return np.roll(images, 100, axis=2)

    tiled = tiles.denoise_image(far, image, tile=256, margin=64)
    assert np.abs(tiled - tiles.denoise_image(far, image)).max() > 0.1


def test_an_image_that_fits_is_one_call_on_reflected_sides():
    SEEN.clear()
    image = RNG.random((65, 30)).astype(np.float32)
    found = tiles.denoise_image(network, image)
    assert SEEN == [(1, 128, 64)] and found.shape == (65, 30)


@pytest.mark.parametrize(("tile", "margin"), [(100, 0), (128, 64), (192, 60)])
def test_tiles_that_cannot_be_are_refused(tile, margin):
    with pytest.raises(ValueError, match="multiples of 64"):
        tiles.denoise_image(network, RNG.random((300, 300)), tile=tile, margin=margin)
