"""Image bytes of any kind to 8-bit grayscale."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# No format whose decoder starts another program (EPS) or reads other files.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
_ORIENTATION = 0x0112  # the Exif tag

# What Pillow raises for broken files, by the parts of its decoders.
_DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    TypeError,
    OverflowError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class UnreadableImageError(ValueError):
    """The bytes are not an image that can be decoded in full."""


def decode_gray(data: bytes, min_side: int | None = None) -> NDArray[np.uint8]:
    """Decodes an encoded image to uint8 `[height, width]`, 0 black, 255 white.

    Colour becomes luma (ITU-R 601); 16-bit gray is divided by 257, so that its full range is 0 to
    255; what is transparent shows black, as an unexposed part of a radiograph does; palettes,
    CMYK and 1-bit images are converted; the orientation that a camera's Exif tag asks for is
    applied; of several frames the first is taken.

    With `min_side` a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is several times
    faster; its shorter side is then never under `min_side` pixels (unless the image itself is
    smaller). Other formats are decoded in full.

    Raises UnreadableImageError where the bytes are empty, cut off, or not an image.
    """
    gray, _, _ = decode_with_facts(data, min_side)
    return gray


def decode_with_facts(
    data: bytes, min_side: int | None = None
) -> tuple[NDArray[np.uint8], tuple[int, int], str]:
    """As `decode_gray`; also the (height, width) of full decoding, and Pillow's mode as stored."""
    if not data:
        raise UnreadableImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            mode = image.mode
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            if image.format in ("JPEG", "MPO"):
                # Luma straight from the decoder: no colour conversion, and scaled where allowed.
                side = min_side or max(image.size)
                image.draft("L", (side, side))
            gray = _to_gray(image)
            if image.getexif().get(_ORIENTATION, 1) != 1:
                gray = np.asarray(ImageOps.exif_transpose(_with_exif(gray, image)))
    except _DECODER_ERRORS as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "not an image of a known format"
        raise UnreadableImageError(reason) from error
    return gray, (width, height) if turned else (height, width), mode


def _to_gray(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # 16 bits; older Pillow opens such PNGs as 32-bit integers. Pillow's own conversion clips.
        wide = np.asarray(image).astype(np.int64)
        return ((wide.clip(0, 65535) + 128) // 257).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise UnreadableImageError(
            f"mode {image.mode}: 32-bit gray levels do not say which of them is white"
        )
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, rgba)
    if image.mode in ("CMYK", "YCbCr", "HSV", "P", "RGBA", "RGBX"):
        image = image.convert("RGB")
    return np.array(image.convert("L"))


def _with_exif(gray: NDArray[np.uint8], image: Image.Image) -> Image.Image:
    turned = Image.fromarray(gray)
    turned.getexif()[_ORIENTATION] = image.getexif()[_ORIENTATION]
    return turned
