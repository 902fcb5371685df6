"""Reads one image file for prediction, or says in one line why it is no chest radiograph."""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covidjax.images import appearance, dicom
from tfds_coronahack import decoding

# The widest of the archive's images (169 at their original size, two over 2) has 2.23.
MAX_ASPECT = 2.5
MIN_SIDE = 64  # pixels: under that it is a thumbnail
# A tinted image is colored by one curve of its gray levels. Of the archive's adult images, some of
# them blue by 21 levels, at most 0.4 % of the pixels are further than TINT levels from that curve;
# of photographs tried 5 % (a brown cat) and more are.
TINT = 24
COLORED_SHARE = 0.02
MOST_TINT = 60  # levels: a photograph of one color, such as of a retina
GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")  # Pillow's


class ReadingError(ValueError):
    """A file that is not read; the message is one line that says why."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """One image.

    Attributes:
      gray: uint8 [height, width], air black.
      notes: what was done to it or is odd about it, for a person; may be empty.
    """

    gray: NDArray[np.uint8]
    notes: tuple[str, ...]


def read_image(path: Path, min_side: int | None = None) -> Reading:
    """Reads a JPEG, PNG, TIFF (and what else Pillow decodes to gray), or DICOM file.

    JPEG and the like are decoded as the training images were (`decoding.decode_gray`). Files of 16
    bits are taken to fill the smallest of 8, 10, 12, 14 and 16 bits that holds their values. DICOM:
    see `dicom.read_dicom`.

    Args:
      path: the file.
      min_side: a JPEG may be decoded at reduced scale, to no less than this.

    Raises:
      ReadingError: the file cannot be opened, is no image, is cut off, has several frames, is a
        color photograph, is all of one gray level, is smaller than MIN_SIDE, is more than
        MAX_ASPECT times as long one way as the other, or has a left side that is nothing like its
        right one; a DICOM file that says that it is no frontal radiograph, or is compressed in a
        way that needs another package.
    """
    data = read_bytes(path)
    try:
        if dicom.is_dicom(data, path.suffix):
            gray, notes = dicom.read_dicom(data)
            size = gray.shape
        else:
            picture, notes = read_picture(data, min_side)
            gray, size = picture.gray, picture.size
    except (decoding.UnreadableImageError, dicom.DicomError) as error:
        raise ReadingError(str(error)) from error
    height, width = size
    check_side(height, width, MIN_SIDE)
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ReadingError(f"{width} x {height} pixels is no chest radiograph's shape")
    if gray.min() == gray.max():
        raise ReadingError("shows nothing: all pixels have the same gray level")
    alike, notes = appearance.symmetry(gray), (*notes, *appearance.notes(gray))
    if alike < appearance.LEAST_SYMMETRY:
        text = "left and right are nothing alike: a lateral view, or no chest at all"
        raise ReadingError("; ".join((text, *notes)))
    if alike < appearance.LITTLE_SYMMETRY:
        notes = (*notes, "left and right differ much: if it is a lateral view, do not use this")
    return Reading(gray, notes)


def reason(error: Exception) -> str:
    """Why a file was not read or written, in one line; of what nobody foresaw with its type."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, ReadingError | decoding.UnreadableImageError):
        return text
    if isinstance(error, OSError):
        return error.strerror or text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def read_bytes(path: Path) -> bytes:
    """All of a file. Raises ReadingError where it is none, or cannot be opened."""
    if path.is_dir():
        raise ReadingError("is a folder that cannot be opened")
    if path.exists() and not path.is_file():  # a pipe, say, would never end
        raise ReadingError("is no file")
    try:
        if (size := path.stat().st_size) > decoding.MAX_BYTES:
            raise ReadingError(f"too large: {size:,} bytes, {decoding.MAX_BYTES:,} are the most")
        return path.read_bytes()
    except OSError as error:
        raise ReadingError(f"cannot be opened: {error.strerror or error}") from error


def check_side(height: int, width: int, least: int) -> None:
    """Raises ReadingError for pictures of less than `least` pixels one way."""
    if min(height, width) < least:
        raise ReadingError(f"too small: {width} x {height} pixels, {least} are the least")


def colorfulness(rgb: NDArray[np.uint8]) -> float:
    """The share of pixels of uint8 [height, width, 3] whose color no tint explains.

    A tint is a curve through the colors: the red and blue differences to green as second-degree
    polynomials of the gray level. Pixels further than TINT levels from it count.
    """
    pixels = rgb.reshape(-1, 3).astype(np.float64)
    differences = pixels[:, [0, 2]] - pixels[:, [1]]
    powers = (pixels.mean(axis=1, keepdims=True) / 255) ** np.arange(3)
    curve = powers @ np.linalg.lstsq(powers, differences, rcond=None)[0]
    return float((np.abs(differences - curve).max(axis=1) > TINT).mean())


def read_picture(data: bytes, min_side: int | None) -> tuple[decoding.Picture, tuple[str, ...]]:
    """A picture that is no DICOM file, and notes.

    Raises:
      ReadingError: several frames, or color.
      decoding.UnreadableImageError: no image that can be decoded in full.
    """
    picture = decoding.decode(data, min_side)
    if picture.pages > 1:
        raise ReadingError(f"has {picture.pages} frames or pages; give one image a file")
    wide = picture.levels.dtype == np.uint16 and picture.bits < 16
    notes = (f"{picture.bits} of 16 bits in use",) if wide else ()
    if picture.mode in GRAY_MODES:
        return picture, notes
    small = decoding.small_colors(data)
    tint = float(np.ptp(small.mean(axis=(0, 1))))
    if tint > MOST_TINT or colorfulness(small) > COLORED_SHARE:
        raise ReadingError("is a color picture, not a radiograph")
    return picture, (*notes, f"tinted by {tint:.0f} of 255 levels") if tint > 4 else notes
