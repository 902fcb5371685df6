"""Features of one image: known values, nothing undefined, and marks that are letters."""

import cv2
import numpy as np
import pytest
from PIL import Image

from covidjax.eda import measure

SIZE = 128


def named(gray):
    return dict(zip(measure.FEATURES, measure.measure(gray)[0], strict=True))


def test_half_black_half_white_has_the_values_of_the_textbook():
    gray = np.zeros((SIZE, SIZE), np.uint8)
    gray[: SIZE // 2] = 255
    found = named(gray)
    assert found["mean"] == pytest.approx(127.5)
    assert found["contrast"] == pytest.approx(127.5)
    assert found["entropy"] == pytest.approx(1.0)
    assert found["skewness"] == pytest.approx(0.0)
    assert found["dark_share"] == found["bright_share"] == pytest.approx(0.5)
    assert found["edge_ratio"] == pytest.approx(1.0)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_image_of_one_gray_level_has_no_undefined_feature(level):
    values, counts = measure.measure(np.full((64, 64), level, np.uint8))
    assert np.isfinite(values).all()
    assert counts[level] == 64 * 64


def test_bars_are_measured_as_their_share():
    gray = np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8)
    assert measure.uniform_bars(gray) == 0
    gray[:10] = 0
    gray[:, 95:] = 0
    assert measure.uniform_bars(gray) == pytest.approx(1 - 0.9 * 0.95)


def film():
    """A smooth bright chest on black."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    return (180 * np.exp(-((x / 0.3) ** 4) - (y / 0.4) ** 4)).astype(np.uint8)


def test_a_letter_in_the_corner_is_found_where_it_is():
    gray = film()
    assert measure.letter_boxes(gray) == []
    cv2.putText(gray, "R", (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1, cv2.LINE_AA)
    [(left, top, width, height)] = measure.letter_boxes(gray)
    assert 4 <= left <= 8 and 5 <= top <= 9 and 4 <= width <= 10 and 6 <= height <= 12


def test_a_letter_over_the_lungs_is_none():
    gray = film()
    cv2.putText(gray, "R", (60, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1, cv2.LINE_AA)
    assert measure.letter_boxes(gray) == []


def test_color_is_seen_and_gray_saved_as_color_is_not(encoded):
    gray = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    same = Image.fromarray(np.repeat(gray[..., None], 3, axis=2))
    assert measure.measure_color(encoded(same)) == [0, 0]
    assert measure.measure_color(encoded(Image.fromarray(gray))) == [0, 0]
    tinted = np.repeat(gray[..., None], 3, axis=2) // 2
    tinted[..., 2] += 20
    tint, share = measure.measure_color(encoded(Image.fromarray(tinted)))
    assert tint == pytest.approx(20, abs=1) and share == 0
    loud = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert measure.measure_color(encoded(Image.fromarray(loud)))[1] > 0.5
