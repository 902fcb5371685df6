"""What is read comes out right, and what is no radiograph is refused in one line."""

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from wide_pictures import wide_png

from covidjax.images.appearance import symmetry
from covidjax.images.reading import ReadingError, colorfulness, read_image
from tfds_coronahack import decoding

tifffile = pytest.importorskip("tifffile")  # comes with scikit-image


@pytest.fixture
def gray() -> np.ndarray:
    """A smooth picture of all gray levels, as bright in the middle as a chest is, 96 x 120."""
    y, x = np.mgrid[:96, :120]
    return (y * 1.4 + 130 - np.abs(x - 58) * 2.3).clip(0, 255).astype(np.uint8)


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


def test_a_tint_is_no_color_and_a_photograph_is(tmp_path, gray):
    bluish = np.stack([gray * 0.8, gray * 0.9, gray], axis=-1).astype(np.uint8)
    found = read_image(saved(tmp_path / "film.png", bluish))
    assert "tinted" in found.notes[0]
    patches = bluish.copy()
    patches[:48, :60] = (200, 90, 40)
    patches[48:, 60:] = (60, 160, 50)
    assert colorfulness(bluish) < 0.01 < 0.3 < colorfulness(patches)
    for name in ("photo.png", "photo.jpg"):
        with pytest.raises(ReadingError, match="color picture"):
            read_image(saved(tmp_path / name, patches))
    red = np.stack([gray, gray // 3, gray // 3], axis=-1)  # one curve of the gray levels
    with pytest.raises(ReadingError, match="color picture"):
        read_image(saved(tmp_path / "red.png", red))


def test_letters_in_color_do_not_make_a_photograph(tmp_path, gray):
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


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReadingError, match="is no file"):
        read_image(tmp_path / "pipe")


def test_a_small_copy_of_a_large_jpeg_is_judged_by_its_full_size(tmp_path):
    large = np.tile(np.arange(256, dtype=np.uint8), (400, 2))
    path = saved(tmp_path / "a.jpg", large)
    found = read_image(path, min_side=64)
    assert min(found.gray.shape) < 400
    assert np.array_equal(found.gray, decoding.decode_gray(path.read_bytes(), 64))


def one_sided(share: float) -> np.ndarray:
    """A bright middle on black, and as much of `share` as it weighs of a ramp to the right."""
    y, x = np.mgrid[-1:1:96j, -1:1:120j]
    return ((1 - share) * 200 * np.exp(-4 * (x**2 + y**2)) + share * 127 * (x + 1)).astype(np.uint8)


def test_symmetry_is_one_wherever_the_axis_is_and_falls_with_what_differs() -> None:
    found = [symmetry(one_sided(share)) for share in (0, 0.3, 0.6, 1)]
    assert found[0] > 0.999 and found[3] < -0.999
    assert found == sorted(found, reverse=True)
    assert symmetry(np.roll(one_sided(0), 12, axis=1)) > 0.98
    bright = one_sided(0.3).astype(float) * 0.5 + 100
    assert symmetry(bright.astype(np.uint8)) == pytest.approx(found[1], abs=0.02)


def test_left_and_right_that_are_nothing_alike_are_refused_and_what_is_nearly_so_is_noted(
    tmp_path: Path,
) -> None:
    with pytest.raises(ReadingError, match="nothing alike: a lateral view"):
        read_image(saved(tmp_path / "side.png", one_sided(0.9)))
    shares = np.linspace(0, 1, 101)
    odd = min(shares, key=lambda share: abs(symmetry(one_sided(share)) - 0.12))
    found = read_image(saved(tmp_path / "odd.png", one_sided(odd)))
    assert "if it is a lateral view" in found.notes[-1]
    even = read_image(saved(tmp_path / "even.png", one_sided(0.2)))
    assert not any("lateral" in note for note in even.notes)


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bit_color_and_alpha_are_read_at_full_depth(
    tmp_path: Path, gray: np.ndarray, bits: int, channels: int
) -> None:
    wide = np.rint(gray / 255 * (2**bits - 1)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(wide_png(wide, channels))
    found = read_image(tmp_path / "a.png")
    assert np.abs(found.gray.astype(int) - gray).max() <= 1
    assert (f"{bits} of 16 bits" in "".join(found.notes)) == (bits < 16)


def test_color_of_16_bits_is_color_and_what_is_transparent_is_black(
    tmp_path: Path, gray: np.ndarray
) -> None:
    wide = gray.astype(np.uint16) * 257
    photo = np.stack([wide, wide[::-1], wide[:, ::-1]], axis=-1)
    for suffix in ("png", "tif"):
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), photo)
        with pytest.raises(ReadingError, match="color picture"):
            read_image(tmp_path / f"a.{suffix}")
    half = decoding.decode(wide_png(wide, 2, alpha=32768))
    assert np.abs(half.levels.astype(int) - wide / 2).max() <= 1


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_turned_16_bit_png_is_turned_as_one_of_8_bits_is(gray: np.ndarray, channels: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = gray.astype(np.uint16) * 257
    turned = decoding.decode(wide_png(wide, channels, exif=exif.tobytes()[6:]))
    assert turned.size == turned.gray.shape == gray.shape[::-1]
    assert np.array_equal(turned.gray, np.rot90(gray, -1))


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_turned_tiff_has_the_size_that_is_shown(
    tmp_path: Path, gray: np.ndarray, dtype: type, color: bool
) -> None:
    square = cv2.resize(gray, (96, 96)).astype(dtype) * (257 if dtype == np.uint16 else 1)
    for shown in (square, square[:, :80]):
        stored = np.stack([shown] * 3, axis=-1) if color else shown
        kind = "rgb" if color else "minisblack"
        turned = [(0x0112, "H", 1, 6, True)]
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric=kind, extratags=turned)
        found = decoding.decode((tmp_path / "a.tif").read_bytes())
        assert found.size == found.gray.shape == shown.shape[::-1]
        expected = np.rot90(shown, -1) // (257 if dtype == np.uint16 else 1)
        assert np.abs(found.gray.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_thumbnail_among_the_pages_of_a_tiff_is_passed_over(
    tmp_path: Path, gray: np.ndarray, named: bool, first: bool, dtype: type
) -> None:
    full = np.repeat(gray.astype(dtype)[..., None] * (257 if dtype == np.uint16 else 1), 3, axis=2)
    pages = [(full, 0), (full[::4, ::4], int(named))]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page, reduced in pages[::-1] if first else pages:
            file.write(page, subfiletype=reduced, photometric="rgb")
    found = read_image(tmp_path / "a.tif")
    assert np.abs(found.gray.astype(int) - gray).max() <= 1


def test_what_tiffs_say_of_a_fourth_channel_is_kept_to(tmp_path: Path, gray: np.ndarray) -> None:
    wide = gray.astype(np.uint16) * 257
    half = np.full_like(wide, 32768)
    options = {"photometric": "rgb"}
    for kind, fourth, expected in (
        ("unassalpha", half, gray / 2),
        ("assocalpha", half, gray),  # multiplied already
        ("unspecified", half * 0, gray),
    ):
        stored = np.stack([wide, wide, wide, fourth], axis=-1)
        tifffile.imwrite(tmp_path / "a.tif", stored, extrasamples=[kind], **options)
        assert np.abs(read_image(tmp_path / "a.tif").gray.astype(int) - expected).max() <= 1


def test_color_in_planes_of_16_bits_is_refused(tmp_path: Path, gray: np.ndarray) -> None:
    planes = np.stack([gray.astype(np.uint16) * 257] * 3)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(ReadingError, match="16-bit color in planes"):
        read_image(tmp_path / "a.tif")


def test_signed_gray_of_a_tiff_is_read_where_nothing_is_negative(
    tmp_path: Path, gray: np.ndarray
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", gray.astype(np.int16) * 64)
    assert np.abs(read_image(tmp_path / "a.tif").gray.astype(int) - gray).max() <= 1
    tifffile.imwrite(tmp_path / "a.tif", gray.astype(np.int16) - 100)
    with pytest.raises(ReadingError, match="negative gray levels"):
        read_image(tmp_path / "a.tif")


def test_transparent_parts_are_black_whatever_color_they_hide(
    tmp_path: Path, gray: np.ndarray
) -> None:
    rgba = np.stack([gray, gray, gray, np.full_like(gray, 255)], axis=-1)
    rgba[:48, :60] = (255, 0, 0, 0)
    found = read_image(saved(tmp_path / "a.png", rgba)).gray
    assert (found[:48, :60] == 0).all() and np.array_equal(found[48:], gray[48:])
    wide = gray.astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / "b.png", transparency=int(wide[50, 60]))
    clear = wide == wide[50, 60]
    assert (read_image(tmp_path / "b.png").gray[clear] == 0).all()


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(3 * 2**30)  # takes no room
    with pytest.raises(ReadingError, match="too large: 3,221,225,472 bytes"):
        read_image(tmp_path / "big.bin")
