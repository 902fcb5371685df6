"""What is read comes out right, and what is no radiograph is refused in one line."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from covidjax.data.reading import ReadingError, colourfulness, read_image
from tfds_coronahack import decoding


@pytest.fixture
def gray() -> np.ndarray:
    """A smooth picture of all gray levels, 96 x 120."""
    y, x = np.mgrid[:96, :120]
    return ((x * 2 + y) % 256).astype(np.uint8)


def saved(path: Path, picture: np.ndarray, **options) -> Path:
    Image.fromarray(picture).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "no_suffix"])
def test_gray_files_are_read_as_the_training_images_are(tmp_path, gray, name):
    path = saved(tmp_path / name, gray, format=None if "." in name else "PNG")
    found = read_image(path)
    assert np.array_equal(found.gray, decoding.decode_gray(path.read_bytes()))
    assert np.abs(found.gray.astype(int) - gray).mean() < 3
    assert found.notes == ()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_files_may_use_fewer_bits(tmp_path, gray, bits, suffix):
    top = 2**bits - 1
    wide = np.rint(gray / 255 * top).astype(np.uint16)
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), wide)
    found = read_image(path)
    assert np.abs(found.gray.astype(int) - gray).max() <= 1
    assert (f"{bits} of 16 bits" in "".join(found.notes)) == (bits < 16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_whose_zero_is_white_is_inverted(tmp_path, gray, dtype):
    stored = gray.astype(dtype) * (257 if dtype == np.uint16 else 1)
    path = tmp_path / "a.tif"
    Image.fromarray(stored).save(path, tiffinfo={262: 0})
    with Image.open(path) as image:
        assert image.tag_v2[262] == 0
    shown = read_image(path).gray
    written = np.asarray(Image.open(path)) if dtype == np.uint8 else 255 - gray
    assert np.abs(shown.astype(int) - written).max() <= 1


def test_a_tint_is_no_colour_and_a_photograph_is(tmp_path, gray):
    bluish = np.stack([gray * 0.8, gray * 0.9, gray], axis=-1).astype(np.uint8)
    found = read_image(saved(tmp_path / "film.png", bluish))
    assert "tinted" in found.notes[0]
    patches = bluish.copy()
    patches[:48, :60] = (200, 90, 40)
    patches[48:, 60:] = (60, 160, 50)
    assert colourfulness(bluish) < 0.01 < 0.3 < colourfulness(patches)
    for name in ("photo.png", "photo.jpg"):
        with pytest.raises(ReadingError, match="colour picture"):
            read_image(saved(tmp_path / name, patches))
    red = np.stack([gray, gray // 3, gray // 3], axis=-1)  # one curve of the gray levels
    with pytest.raises(ReadingError, match="colour picture"):
        read_image(saved(tmp_path / "red.png", red))


def test_letters_in_colour_do_not_make_a_photograph(tmp_path, gray):
    marked = np.repeat(gray[..., None], 3, axis=-1)
    marked[4:12, 4:16] = (255, 0, 0)
    assert read_image(saved(tmp_path / "a.png", marked)).gray.shape == gray.shape


def refused(tmp_path: Path, gray: np.ndarray, kind: str) -> Path:
    path = tmp_path / "a.png"
    whole = io.BytesIO()
    Image.fromarray(gray).save(whole, "JPEG")
    if kind == "missing":
        return tmp_path / "none.png"
    if kind == "pages":
        pages = [Image.fromarray(gray)] * 3
        pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
        return tmp_path / "a.tif"
    if kind in ("wide", "tall", "small", "even"):
        shape = {"wide": (80, 240), "tall": (300, 100), "small": (63, 80), "even": (80, 80)}[kind]
        picture = cv2.resize(gray, shape[::-1])
        return saved(path, picture * 0 + 7 if kind == "even" else picture)
    text = {"empty": b"", "text": b"not an image", "cut": whole.getvalue()[:-400]}[kind]
    path.write_bytes(text)
    return path


REASONS = {
    "missing": "cannot be opened: No such file",
    "empty": "the file is empty",
    "text": "not an image of a known format",
    "cut": "truncated",
    "pages": "3 frames or pages",
    "wide": "240 x 80 pixels is no chest radiograph's shape",
    "tall": "100 x 300 pixels is no chest radiograph's shape",
    "small": "too small: 80 x 63 pixels",
    "even": "all pixels have the same gray level",
}


@pytest.mark.parametrize("kind", REASONS)
def test_what_is_no_radiograph_is_refused_in_one_line(tmp_path, gray, kind):
    with pytest.raises(ReadingError, match=REASONS[kind]) as caught:
        read_image(refused(tmp_path, gray, kind))
    assert "\n" not in str(caught.value)


def test_a_small_copy_of_a_large_jpeg_is_judged_by_its_full_size(tmp_path):
    large = np.tile(np.arange(256, dtype=np.uint8), (400, 2))
    path = saved(tmp_path / "a.jpg", large)
    found = read_image(path, min_side=64)
    assert min(found.gray.shape) < 400
    assert np.array_equal(found.gray, decoding.decode_gray(path.read_bytes(), 64))
