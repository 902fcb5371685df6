"""Preprocessing: sizes, gray levels, and no trace of the original resolution."""

import cv2
import numpy as np
import pytest

from covidjax.data import preprocess


def film(height: int, width: int) -> np.ndarray:
    """A smooth uint8 picture with some texture, of low contrast."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    picture = 90 + 40 * np.sin(5 * x + 2 * y) + 20 * np.cos(17 * x * y) + 10 * (x > 0.5)
    return picture.astype(np.uint8)


@pytest.mark.parametrize("equalize", preprocess.EQUALIZE)
@pytest.mark.parametrize("resize", preprocess.RESIZE)
@pytest.mark.parametrize("size", [28, 31, 64, 512])
@pytest.mark.parametrize("shape", [(300, 200), (64, 64), (40, 400), (1, 1), (3, 900)])
def test_any_image_becomes_a_uint8_square(shape, size, equalize, resize):
    image = preprocess.prepare_image(film(*shape), size, equalize, resize)
    assert image.shape == (size, size) and image.dtype == np.uint8


def test_an_image_of_the_right_size_passes_unchanged():
    image = film(64, 64)
    np.testing.assert_array_equal(preprocess.prepare_image(image, 64, "none", "squash"), image)
    np.testing.assert_array_equal(preprocess.prepare_image(image, 64, "none", "pad"), image)


def test_shrinking_averages_over_area():
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 200  # finer than any pixel of the result
    shrunk = preprocess.prepare_image(stripes, 64, "none", "squash")
    assert np.abs(shrunk.astype(int) - 100).max() <= 1
    # Also where the other side grows.
    mixed = preprocess.prepare_image(stripes[:30], 64, "none", "squash")
    assert np.abs(mixed.astype(int) - 100).max() <= 1


@pytest.mark.parametrize(("shape", "content"), [((100, 50), (64, 32)), ((30, 90), (21, 64))])
def test_padding_keeps_the_aspect_ratio_and_centres(shape, content):
    image = preprocess.prepare_image(np.full(shape, 77, np.uint8), 64, "none", "pad")
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert (len(rows), len(columns)) == content
    assert set(np.unique(image)) == {0, 77}
    for found in (rows, columns):
        assert abs(found[0] - (63 - found[-1])) <= 1


def test_squashing_fills_the_square():
    assert preprocess.prepare_image(np.full((100, 50), 77, np.uint8), 64, "none", "squash").all()


def test_equalisation_flattens_the_histogram():
    image = film(128, 128)
    levels = np.sort(preprocess.prepare_image(image, 128, "histogram", "squash").ravel()) / 255
    assert np.abs(levels - np.linspace(0, 1, levels.size)).max() < 0.05
    assert image.std() * 1.5 < preprocess.prepare_image(image, 128, "histogram", "squash").std()


def test_clahe_raises_local_contrast_more_than_it_moves_the_mean():
    image = film(128, 128)
    result = preprocess.prepare_image(image, 128, "clahe", "squash")
    local = [cv2.Laplacian(i, cv2.CV_64F).std() for i in (image, result)]
    assert local[1] > 1.3 * local[0]
    assert abs(result.mean() - image.mean()) < 40


@pytest.mark.parametrize("equalize", ["histogram", "clahe"])
def test_margins_do_not_change_how_the_image_is_equalised(equalize):
    padded = preprocess.prepare_image(film(100, 50), 64, equalize, "pad")
    content = preprocess.prepare_image(film(100, 50), 64, "none", "pad")[:, 16:48]
    assert not padded[:, :16].any() and not padded[:, 48:].any()
    # The content alone, equalized, is what stands in the middle.
    np.testing.assert_array_equal(padded[:, 16:48], preprocess._equalize(content.copy(), equalize))


@pytest.mark.parametrize("equalize", preprocess.EQUALIZE)
def test_the_original_resolution_leaves_no_trace(equalize):
    large = film(1024, 1024)
    small = cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA)
    one, two = (preprocess.prepare_image(i, 128, equalize, "squash") for i in (large, small))
    assert np.abs(one.astype(int) - two).mean() < 1


@pytest.mark.parametrize("equalize", preprocess.EQUALIZE)
def test_a_flat_image_stays_flat(equalize):
    image = preprocess.prepare_image(np.full((50, 60), 120, np.uint8), 32, equalize, "squash")
    assert image.std() == 0


def test_the_argument_is_left_alone():
    image = film(64, 64)
    for equalize in preprocess.EQUALIZE:
        preprocess.prepare_image(image, 64, equalize, "squash")[:] = 0
    np.testing.assert_array_equal(image, film(64, 64))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((27, "none", "squash"), ["28", "512", "27"]),
        ((513, "none", "squash"), ["28", "512", "513"]),
        ((64.0, "none", "squash"), ["64.0"]),
        ((64, "clahee", "squash"), ["clahe", "clahee"]),
        ((64, "none", "stretch"), ["squash", "pad", "stretch"]),
    ],
)
def test_unknown_options_are_refused_with_the_valid_ones(options, words):
    with pytest.raises(ValueError) as caught:
        preprocess.prepare_image(film(64, 64), *options)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "gray", [np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9)), np.zeros((0, 9), np.uint8)]
)
def test_what_is_no_gray_image_is_refused(gray):
    with pytest.raises(ValueError, match="uint8"):
        preprocess.prepare_image(gray, 64, "none", "squash")
