"""Films with all their gray levels, in and out: 8 and 16-bit pictures, and DICOM.

Nothing is windowed or resized. The gray values go to [0, 1] for the network, and what comes back
goes to the file's own values again.
"""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from covidjax.data import dicom, reading
from covidjax.data.locking import temporary
from covidjax.data.reading import ReadingError
from tfds_coronahack import decoding

MIN_SIDE = 16  # pixels
# Of a DICOM file's values, which are 0 and 1: without the few dead or burnt-in pixels at the ends.
PERCENTILES = (0.05, 99.95)
# Formats that hold 8 and 16 bits without loss; pictures of others are written as PNG.
LOSSLESS = (".png", ".tif", ".tiff")

Gray = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Film:
    """One image.

    Attributes:
      gray: float32 [height, width] in [0, 1], air black.
      notes: for a person; may be empty.
      suffix: of the file to write.
      bits: of the stored values: 8 or 16.
      encode: (gray values as `gray`, what made them) -> the bytes of a file as the one read.
    """

    gray: Gray
    notes: tuple[str, ...]
    suffix: str
    bits: int
    encode: Callable[[Gray, str], bytes]


def read_film(path: Path) -> Film:
    """Reads an 8 or 16-bit gray picture or a DICOM radiograph, of any view.

    A 16-bit picture is taken to fill the smallest of 8, 10, 12, 14 and 16 bits that holds its
    values. Of a DICOM file the stored values are scaled so that PERCENTILES of them are 0 and 1,
    inverted where the file shows large values dark; values beyond keep their distance from what
    their neighbours get, and padding stays as it is.

    Raises:
      ReadingError: it cannot be read, is in colour, has several frames, is smaller than MIN_SIDE,
        or is a DICOM file of another modality or with other than 8 or 16-bit whole numbers.
    """
    data = reading.read_bytes(path)
    try:
        found = _read_dicom(data) if dicom.is_dicom(data, path.suffix) else _read(data, path)
    except (decoding.UnreadableImageError, dicom.DicomError) as error:
        raise ReadingError(str(error)) from error
    height, width = found.gray.shape
    reading.check_side(height, width, MIN_SIDE)
    return found


def write_film(path: Path, film: Film, gray: Gray, made_by: str) -> None:
    """Writes denoised values [height, width] as a file of the film's kind, in one step.

    Args:
      path: where to; its suffix should be `film.suffix`.
      film: what was read.
      gray: denoised, as `film.gray`; clipped to what the file can hold.
      made_by: what a DICOM's DerivationDescription and a PNG's comment say.
    """
    encoded = film.encode(gray, made_by)
    with temporary(path) as file:
        file.write(encoded)


def _read(data: bytes, path: Path) -> Film:
    shown, _, notes = reading.read_picture(data, None)
    levels, top = shown.astype(np.int64), 255
    kind: np.dtype[Any] = np.dtype(np.uint8)
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I"):
            levels, bits = reading.wide_levels(image)
            top, kind = 2**bits - 1, np.dtype(np.uint16)
    suffix = path.suffix.lower() if path.suffix.lower() in LOSSLESS else ".png"

    def encode(gray: Gray, made_by: str) -> bytes:
        values = np.rint(np.clip(gray, 0, 1).astype(np.float64) * top).astype(kind)
        return _picture_bytes(values, suffix, made_by)

    return Film((levels / top).astype(np.float32), notes, suffix, 8 * kind.itemsize, encode)


def _picture_bytes(values: NDArray[np.integer], suffix: str, made_by: str) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(values)
    if suffix == ".png":
        from PIL.PngImagePlugin import PngInfo

        comment = PngInfo()
        comment.add_text("Comment", made_by)
        picture.save(file, "PNG", pnginfo=comment)
    else:
        picture.save(file, "TIFF", compression="tiff_adobe_deflate", description=made_by)
    return file.getvalue()


def _read_dicom(data: bytes) -> Film:
    dataset, stored = dicom.read_stored(data)
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        raise dicom.DicomError(f"a DICOM file with pixels of {stored.dtype}, not of 8 or 16 bits")
    padding = dataset.get("PixelPaddingValue")
    shown = np.ones(stored.shape, bool) if padding is None else stored != padding
    if not shown.any():
        raise dicom.DicomError("a DICOM file of padding alone")
    values = stored.astype(np.float64)
    low, high = np.percentile(values[shown], PERCENTILES)
    spread = max(high - low, 1.0)
    dark = (dataset.PhotometricInterpretation == "MONOCHROME1") != (
        float(dataset.get("RescaleSlope", 1) or 1) < 0
    )
    inside = np.clip(np.where(shown, values, high if dark else low), low, high)
    scaled = (inside - low) / spread
    gray = (1 - scaled if dark else scaled).astype(np.float32)

    def encode(found: Gray, made_by: str) -> bytes:
        clipped = np.clip(found, 0, 1).astype(np.float64)
        result = (1 - clipped if dark else clipped) * spread + low + (values - inside)
        return _dicom_bytes(data, np.where(shown, result, values), stored.dtype, made_by)

    notes = ("shows large values dark: inverted for the network",) if dark else ()
    return Film(gray, notes, ".dcm", int(dataset.BitsAllocated), encode)


def _dicom_bytes(
    data: bytes, values: NDArray[np.float64], kind: np.dtype[Any], made_by: str
) -> bytes:
    """The file with these pixels: a derived image with a UID of its own, not compressed."""
    dataset, _ = dicom.read_stored(data)
    bits = int(dataset.get("BitsStored", 8 * kind.itemsize))
    lowest = -(2 ** (bits - 1)) if kind.kind == "i" else 0
    pixels = np.rint(np.clip(values, lowest, lowest + 2**bits - 1)).astype(kind.newbyteorder("<"))
    encoded = pixels.tobytes()
    dataset.PixelData = encoded + b"\0" * (len(encoded) % 2)
    dataset["PixelData"].VR = "OW" if kind.itemsize > 1 else "OB"
    dataset["PixelData"].is_undefined_length = False
    dataset.HighBit = bits - 1
    for name, value in (("Smallest", pixels.min()), ("Largest", pixels.max())):
        if f"{name}ImagePixelValue" in dataset:
            setattr(dataset, f"{name}ImagePixelValue", int(value))
    for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if name in dataset:
            delattr(dataset, name)
    _mark_derived(dataset, made_by)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _mark_derived(dataset: Dataset, made_by: str) -> None:
    """Image type, derivation, source and UID of an image made of another (PS3.3, C.7.6.1)."""
    source = Dataset()
    source.ReferencedSOPClassUID = dataset.get("SOPClassUID", "")
    source.ReferencedSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    dataset.SourceImageSequence = Sequence([source])
    described = str(dataset.get("DerivationDescription", "") or "")
    dataset.DerivationDescription = f"{described}; {made_by}" if described else made_by
    kind = dataset.get("ImageType")
    rest = list(kind)[1:] if isinstance(kind, list) or (kind and not isinstance(kind, str)) else []
    dataset.ImageType = ["DERIVED", *(rest or ["PRIMARY"])]
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if "MediaStorageSOPClassUID" not in dataset.file_meta:
        dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
