"""Image bytes of any kind to gray levels, upright, with as many bits as they were made with."""

import io
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# An image of more is a mistake or an attack, and would not fit beside a network: 8,192 x 8,192.
MAX_PIXELS = 2**26
MAX_BYTES = 2**29  # of a file
# Whole numbers of 16 bits are taken to fill the smallest of these that holds them.
DEPTHS = (8, 10, 12, 14, 16)
LOOK = 96  # pixels a side of the copy in which colors are looked for
# No format whose decoder starts another program (EPS) or reads other files.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
_ORIENTATION = 0x0112  # the Exif tag, and TIFF's own
# Tags of TIFF, and what they say.
_SUBFILE, _OLD_SUBFILE, _BITS, _PHOTOMETRIC = 254, 255, 258, 262
_PLANAR, _EXTRA = 284, 338
_WHITE_IS_ZERO, _APART, _ALPHA = 0, 2, 2
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")

# The limit is checked here, and in one line.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# OpenCV's TIFF decoder remarks on tags that it does not know; its function moved with version 5.
_set_log_level: Any = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
_set_log_level(0)


class UnreadableImageError(ValueError):
    """The bytes are not an image that can be decoded in full."""


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
      levels: uint8 or uint16 [height, width], 0 black, 2 ** bits - 1 white.
      bits: 8, or what the values of a 16-bit file fill: one of DEPTHS.
      size: height and width of full decoding, upright.
      mode: Pillow's, as stored.
      pages: frames or pages, thumbnails not counted.
    """

    levels: NDArray[np.unsignedinteger]
    bits: int
    size: tuple[int, int]
    mode: str
    pages: int

    @property
    def gray(self) -> NDArray[np.uint8]:
        """The levels in 8 bits."""
        if self.levels.dtype == np.uint8:
            return self.levels.view(np.uint8)
        top = 2**self.bits - 1
        shades = (np.arange(top + 1, dtype=np.int64) * 255 + top // 2) // top
        return shades.astype(np.uint8)[self.levels]


def decode_gray(data: bytes, min_side: int | None = None) -> NDArray[np.uint8]:
    """Decodes an encoded image to uint8 `[height, width]`, 0 black, 255 white.

    As `decode`. Raises UnreadableImageError where the bytes are empty, cut off, or not an image.
    """
    return decode(data, min_side).gray


def decode(data: bytes, min_side: int | None = None) -> Picture:
    """Decodes an image of any kind to gray levels.

    Color becomes luma (ITU-R 601); 16-bit files keep their levels, and are taken to fill the
    smallest of 8, 10, 12, 14 and 16 bits that holds them; what is transparent is black, as an
    unexposed part of a radiograph is; palettes, CMYK and 1-bit images are converted; the
    orientation that a camera's Exif tag asks for is applied; of several frames the first is taken,
    of a TIFF's pages the first that is no thumbnail.

    With `min_side` a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is several times
    faster; its shorter side is then never under `min_side` pixels (unless the image itself is
    smaller). Other formats are decoded in full.

    Raises UnreadableImageError where the bytes are empty, cut off, not an image, or of more than
    MAX_PIXELS pixels.
    """
    if not data:
        raise UnreadableImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return _decode(data, image, min_side)
    except UnreadableImageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise UnreadableImageError(_unidentified(data)) from error
    except Exception as error:  # a broken file can break any part of any decoder
        reason = str(error).split("\n")[0] or "damaged"
        raise UnreadableImageError(f"{reason} ({type(error).__name__})") from error


def small_colors(data: bytes) -> NDArray[np.uint8]:
    """uint8 [LOOK, LOOK, 3], a small copy of an image that `decode` has decoded, in RGB."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        page, _ = _main_page(image)
        image.seek(page)
        if _is_wide_color(data, image):
            channels = _on_black(_wide_channels(data, image, page), image)[..., ::-1]
            scale = 255 / (2 ** _depth(channels) - 1)
            small = cv2.resize(channels, (LOOK, LOOK), interpolation=cv2.INTER_AREA)
            return np.rint(small * scale).astype(np.uint8)
        if image.format in ("JPEG", "MPO"):
            image.draft("RGB", (LOOK, LOOK))
        opaque = _opaque(image)
        return np.asarray(opaque.convert("RGB").resize((LOOK, LOOK), Image.Resampling.BOX))


def _decode(data: bytes, image: Image.Image, min_side: int | None) -> Picture:
    page, pages = _main_page(image)
    image.seek(page)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{width} x {height} pixels are too many, {MAX_PIXELS:,} are the most"
        )
    mode, size = image.mode, None
    if image.format in ("JPEG", "MPO"):
        turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        size = (width, height) if turned else (height, width)
        # Luma straight from the decoder: no color conversion, and scaled where allowed.
        side = min_side or max(image.size)
        image.draft("L", (side, side))
    levels, bits = _levels(data, image, page)
    # Of a TIFF the decoders apply the orientation themselves.
    orientation = image.getexif().get(_ORIENTATION, 1)
    if orientation != 1 and image.format != "TIFF":
        levels = np.array(ImageOps.exif_transpose(_with_exif(levels, orientation)))
    levels = np.ascontiguousarray(levels)
    return Picture(levels, bits, size or (levels.shape[0], levels.shape[1]), mode, pages)


def _levels(data: bytes, image: Image.Image, page: int) -> tuple[NDArray[np.unsignedinteger], int]:
    """Gray levels and of how many bits they are."""
    if _is_wide_color(data, image):
        image.load()  # by itself OpenCV would take what is cut off for black
        wide = _luma(_on_black(_wide_channels(data, image, page), image))
    elif image.mode.startswith("I;16") or (image.mode == "I" and _has_16_bits(image)):
        # Older Pillow opens such PNGs as 32-bit integers. Pillow's own conversion clips.
        numbers = np.asarray(image)
        if numbers.min() < 0:
            raise UnreadableImageError("negative gray levels do not say which of them is black")
        wide = numbers.clip(0, 65535).astype(np.uint16)
        if isinstance(clear := image.info.get("transparency"), int):
            wide = np.where(wide == clear, 0, wide).astype(np.uint16)
    elif image.mode.startswith(("I", "F")):
        raise UnreadableImageError(
            f"mode {image.mode}: 32-bit gray levels do not say which of them is white"
        )
    else:
        return _narrow(image), 8
    bits = _depth(wide)
    # Pillow inverts 8-bit TIFFs that ask for it, and not those of 16.
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        wide = 2**bits - 1 - wide
    return wide, bits


def _depth(wide: NDArray[Any]) -> int:
    return next(bits for bits in DEPTHS if int(wide.max()) < 2**bits)


def _narrow(image: Image.Image) -> NDArray[np.uint8]:
    """Gray levels of 8 bits."""
    image = _opaque(image)
    if image.mode in ("CMYK", "YCbCr", "HSV", "P", "RGBA", "RGBX"):
        image = image.convert("RGB")
    return np.array(image.convert("L"))


def _opaque(image: Image.Image) -> Image.Image:
    """The image on black, where parts of it are transparent."""
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image
    rgba = image.convert("RGBA")
    black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, rgba)


def _has_16_bits(image: Image.Image) -> bool:
    """Whether the whole numbers of mode I were 16 bits in the file."""
    return image.format in ("PNG", "PPM") or _tag(image, _BITS) == (16,)


def _is_wide_color(data: bytes, image: Image.Image) -> bool:
    """Whether it has several channels of 16 bits, of which Pillow would drop the lower 8."""
    if image.format == "PNG":
        return data[24] == 16 and data[25] in (2, 4, 6)  # IHDR: bit depth and color type
    bits = _tag(image, _BITS) or (8,)
    return image.format == "TIFF" and len(image.getbands()) > 1 and max(bits) == 16


def _wide_channels(data: bytes, image: Image.Image, page: int) -> NDArray[Any]:
    """uint16 [height, width, 3 or 4], blue first, as OpenCV has them."""
    if _tag(image, _PLANAR) == _APART:  # which OpenCV takes for something else
        raise UnreadableImageError("16-bit color in planes: save it with its channels together")
    encoded = np.frombuffer(data, np.uint8)
    if page:
        done, images = cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED)
        channels = images[page] if done and page < len(images) else None
    else:
        channels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if channels is None or channels.ndim != 3 or channels.dtype != np.uint16:
        raise UnreadableImageError("color of 16 bits that OpenCV cannot decode")
    return channels


def _on_black(channels: NDArray[Any], image: Image.Image) -> NDArray[Any]:
    """The three colors on black, where a fourth channel says what is transparent."""
    colors, kind = channels[..., :3], (_tag(image, _EXTRA) or (_ALPHA,))[0]
    if channels.shape[-1] == 3 or kind != _ALPHA:  # or colors that are on black already
        return colors
    alpha = channels[..., 3:].astype(np.uint64)
    return ((colors * alpha + 32767) // 65535).astype(np.uint16)


def _luma(colors: NDArray[Any]) -> NDArray[np.uint16]:
    """ITU-R 601 in 16 bits."""
    blue, green, red = (colors[..., place].astype(np.uint32) for place in range(3))
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint16)


def _main_page(image: Image.Image) -> tuple[int, int]:
    """The first page that is no thumbnail, and how many such pages there are.

    A TIFF can hold a reduced copy as a page of its own, which its tags should say and often do not:
    a page at most half as large each way as the largest counts as one.
    """
    pages = getattr(image, "n_frames", 1)
    if image.format == "MPO":  # a camera's JPEG and its preview
        return 0, 1
    if image.format != "TIFF" or pages == 1:
        return 0, pages
    sizes, reduced = [], []
    for page in range(min(pages, 16)):
        image.seek(page)
        sizes.append(image.size)
        old = _tag(image, _OLD_SUBFILE) == 2
        reduced.append(old or bool((_tag(image, _SUBFILE) or 0) & 1))
    largest = max(sizes, key=lambda size: size[0] * size[1])
    full = [
        page
        for page, size in enumerate(sizes)
        if not reduced[page]
        and any(2 * side > most for side, most in zip(size, largest, strict=True))
    ]
    return (full[0], len(full) + pages - len(sizes)) if full else (0, pages)


def _tag(image: Image.Image, number: int) -> Any:
    """A TIFF's tag; None where there is none, or the image is no TIFF."""
    return getattr(image, "tag_v2", {}).get(number)


def _with_exif(levels: NDArray[np.integer], orientation: int) -> Image.Image:
    turned = Image.fromarray(levels)
    turned.getexif()[_ORIENTATION] = orientation
    return turned


def _unidentified(data: bytes) -> str:
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "a TIFF that is damaged, or of a kind that is not read (16-bit gray with alpha)"
    return "not an image of a known format"
