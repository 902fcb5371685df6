import io

import numpy as np
import pytest
from coronahack_archives import encode, picture
from PIL import Image

from tfds_coronahack.decoding import UnreadableImageError, decode, decode_gray

GRAY = np.asarray(picture(3, 64))


def png(image: Image.Image, **options: object) -> bytes:
    return encode(image, "PNG", **options)


def test_gray_png_comes_back_as_it_was():
    np.testing.assert_array_equal(decode_gray(png(Image.fromarray(GRAY))), GRAY)


def test_sixteen_bits_keep_their_whole_range():
    wide = (GRAY.astype(np.uint32) * 257).astype(np.uint16)
    np.testing.assert_array_equal(decode_gray(png(Image.fromarray(wide))), GRAY)
    ramp = np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64)
    np.testing.assert_array_equal(
        decode_gray(png(Image.fromarray(ramp))), np.rint(ramp / 257).astype(np.uint8)
    )


def test_sixteen_bit_tiff_of_either_byte_order_is_read_alike():
    wide = (GRAY.astype(np.uint32) * 257).astype(np.uint16)
    for order in ("<u2", ">u2"):
        image = Image.frombytes(
            "I;16B" if order == ">u2" else "I;16", (64, 64), wide.astype(order).tobytes()
        )
        np.testing.assert_array_equal(decode_gray(encode(image, "TIFF")), GRAY)


def test_transparent_parts_are_black_and_opaque_parts_unchanged():
    alpha = np.full_like(GRAY, 255)
    alpha[:32] = 0
    alpha[32:40] = 128
    rgba = np.dstack([GRAY, GRAY, GRAY, alpha])
    gray = decode_gray(png(Image.fromarray(rgba)))
    assert not gray[:32].any()
    np.testing.assert_allclose(gray[32:40], GRAY[32:40] * (128 / 255), atol=1.01)
    np.testing.assert_array_equal(gray[40:], GRAY[40:])


def test_palette_is_looked_up_and_its_transparent_color_is_black():
    palette = Image.fromarray(GRAY % 4).convert("P")
    palette.putpalette([0, 0, 0, 80, 80, 80, 160, 160, 160, 255, 255, 255])
    levels = np.array([0, 80, 160, 255], np.uint8)
    np.testing.assert_array_equal(decode_gray(png(palette)), levels[GRAY % 4])
    levels[3] = 0
    np.testing.assert_array_equal(decode_gray(png(palette, transparency=3)), levels[GRAY % 4])


def test_one_bit_images_are_black_and_white():
    gray = decode_gray(png(Image.fromarray(GRAY > 127)))
    np.testing.assert_array_equal(gray, np.where(GRAY > 127, 255, 0))


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_jpeg_of_any_color_space_is_the_gray_picture(mode):
    image = Image.fromarray(GRAY).convert("RGB").convert(mode)
    gray = decode_gray(encode(image, "JPEG", quality=98))
    assert gray.shape == GRAY.shape
    assert np.abs(gray.astype(int) - GRAY).max() < 12
    assert np.abs(gray.astype(int) - GRAY).mean() < 1.5


def test_color_becomes_luma():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert decode_gray(png(Image.fromarray(red)))[0, 0] == 76  # 0.299 * 255


@pytest.mark.parametrize("size", [(512, 700), (301, 224), (225, 224), (1800, 450), (100, 60)])
def test_reduced_jpeg_is_never_under_the_side_asked_for_and_shows_the_same(size):
    image = picture(1, 256).resize(size)
    data = encode(image, "JPEG", quality=90)
    full, reduced = decode_gray(data), decode_gray(data, min_side=224)
    assert full.shape == (size[1], size[0])
    assert min(reduced.shape) >= min(224, *size)
    small = [
        np.asarray(Image.fromarray(a).resize((32, 32), 4)).astype(int) for a in (full, reduced)
    ]
    assert np.abs(small[0] - small[1]).mean() < 2
    if min(size) >= 448:
        assert full.size >= 4 * reduced.size * 0.98


def test_camera_orientation_is_applied_and_the_size_is_that_of_the_result():
    image = picture(2, 64).resize((80, 48))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    for kind in ("JPEG", "PNG"):
        found = decode(encode(image, kind, exif=exif))
        gray = found.gray
        assert gray.shape == found.size == (80, 48)
        turned = np.rot90(np.asarray(image), -1).astype(int)
        assert np.abs(gray - turned).mean() < 4


def test_size_and_mode_are_those_of_the_stored_image_whatever_the_reduction():
    data = encode(picture(1, 512).convert("RGB"), "JPEG")
    found = decode(data, min_side=64)
    assert (found.gray.shape, found.size, found.mode) == ((64, 64), (512, 512), "RGB")


def test_result_is_a_writable_array_of_its_own():
    gray = decode_gray(png(Image.fromarray(GRAY)))
    gray[0, 0] = 7
    assert gray.dtype == np.uint8


BROKEN = {
    "empty": b"",
    "text": b"<html>404</html>",
    "zeros": bytes(5000),
    "cut jpeg": encode(picture(1), "JPEG")[:-400],
    "cut jpeg header": encode(picture(1), "JPEG")[:30],
    "cut png": encode(picture(1), "PNG")[:-400],
    "damaged png": encode(picture(1), "PNG")[:100] + b"damaged!" + encode(picture(1), "PNG")[108:],
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "float tiff": encode(Image.fromarray(GRAY.astype(np.float32)), "TIFF"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("min_side", [None, 16])
def test_broken_files_raise_unreadable(kind, min_side):
    with pytest.raises(UnreadableImageError):
        decode_gray(BROKEN[kind], min_side)


@pytest.mark.filterwarnings("ignore")  # Pillow remarks on damaged tags
def test_random_damage_never_raises_anything_else():
    rng = np.random.default_rng(0)
    sources = [
        encode(picture(1, 48), "JPEG"),
        encode(picture(1, 48), "PNG"),
        encode(picture(1, 48), "TIFF", compression="tiff_lzw"),
        encode(picture(1, 48), "GIF"),
        encode(picture(1, 48), "BMP"),
        encode(picture(1, 48), "WEBP"),
    ]
    outcomes = set()
    for trial in range(300):
        data = bytearray(sources[trial % len(sources)])
        for position in rng.integers(0, len(data), 8):
            data[position] = rng.integers(256)
        try:
            outcomes.add(decode_gray(bytes(data)).ndim)
        except UnreadableImageError:
            outcomes.add(0)
    assert outcomes == {0, 2}


def test_gif_with_frames_gives_the_first():
    buffer = io.BytesIO()
    frames = [Image.fromarray(np.full((9, 9), v, np.uint8)) for v in (30, 200)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert (decode_gray(buffer.getvalue()) == 30).all()
