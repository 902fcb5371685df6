"""Radiographs with all their gray levels, in and out: 8 and 16-bit pictures, and DICOM.

Nothing is windowed or resized. The gray values go to [0, 1] for the network, and what comes back
goes to the file's own values again.
"""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from covidjax.images import dicom, dicom_stored, reading
from covidjax.images.reading import ReadingError
from covidjax.locking import temporary
from tfds_coronahack import decoding

MIN_SIDE = 16  # pixels
# Of a DICOM file's values, which are 0 and 1: without the few dead or burned-in pixels at the ends.
PERCENTILES = (0.05, 99.95)
# Formats that hold 8 and 16 bits without loss; pictures of others are written as PNG.
LOSSLESS = (".png", ".tif", ".tiff")
# Bytes of a number in what DICOM keeps as bytes, by VR.
WORDS = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}

Gray = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Radiograph:
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


def read_radiograph(path: Path) -> Radiograph:
    """Reads an 8 or 16-bit gray picture or a DICOM radiograph, of any view.

    A 16-bit picture is taken to fill the smallest of 8, 10, 12, 14 and 16 bits that holds its
    values. Of a DICOM file the stored values are scaled so that PERCENTILES of them are 0 and 1,
    inverted where the file shows large values dark; values beyond keep their distance from what
    their neighbors get, and padding stays as it is.

    Raises:
      ReadingError: it cannot be read, is in color, has several frames, is smaller than MIN_SIDE,
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


def write_radiograph(path: Path, radiograph: Radiograph, gray: Gray, made_by: str) -> None:
    """Writes denoised values [height, width] as a file of the radiograph's kind, in one step.

    Args:
      path: where to; its suffix should be `radiograph.suffix`.
      radiograph: what was read.
      gray: denoised, as `radiograph.gray`; clipped to what the file can hold.
      made_by: what a DICOM's DerivationDescription and a PNG's comment say.
    """
    encoded = radiograph.encode(gray, made_by)
    with temporary(path) as file:
        file.write(encoded)


def _read(data: bytes, path: Path) -> Radiograph:
    picture, notes = reading.read_picture(data, None)
    top, kind = 2**picture.bits - 1, picture.levels.dtype
    suffix = path.suffix.lower() if path.suffix.lower() in LOSSLESS else ".png"

    def encode(gray: Gray, made_by: str) -> bytes:
        values = np.rint(np.clip(gray, 0, 1).astype(np.float64) * top).astype(kind)
        return _picture_bytes(values, suffix, made_by)

    levels = (picture.levels / top).astype(np.float32)
    return Radiograph(levels, notes, suffix, 8 * kind.itemsize, encode)


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


def _read_dicom(data: bytes) -> Radiograph:
    dataset, stored, falling = dicom.read_stored(data)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        raise dicom.DicomError("a DICOM file with a palette: its values are no gray levels")
    if stored.values.dtype.itemsize > 2:
        raise dicom.DicomError(
            f"a DICOM file with {dataset.BitsAllocated} bits a pixel, not 8 or 16"
        )
    values = stored.values.astype(np.float64)
    low, high = np.percentile(values[~stored.padding], PERCENTILES)
    spread = max(high - low, 1.0)
    outside = high if falling else low
    inside = np.clip(np.where(stored.padding, outside, values), low, high)
    scaled = (inside - low) / spread
    gray = (1 - scaled if falling else scaled).astype(np.float32)

    def encode(denoised: Gray, made_by: str) -> bytes:
        clipped = np.clip(denoised, 0, 1).astype(np.float64)
        result = (1 - clipped if falling else clipped) * spread + low + (values - inside)
        return _dicom_bytes(data, np.where(stored.padding, values, result), made_by)

    notes = ("shows large values dark: inverted for the network",) if falling else ()
    bits = int(dataset.BitsAllocated)
    return Radiograph(gray, (*stored.notes, *notes), ".dcm", bits, encode)


def _dicom_bytes(data: bytes, values: NDArray[np.float64], made_by: str) -> bytes:
    """The file with these pixels: a derived image with a UID of its own, not compressed."""
    dataset, stored, _ = dicom.read_stored(data)
    if dataset.original_encoding[1] is False:
        _swap_words(dataset)
        dataset.set_original_encoding(False, True)
    bits, signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    lowest = -(2 ** (bits - 1)) if signed else 0
    kind = np.dtype(f"<{'i' if signed else 'u'}{int(dataset.BitsAllocated) // 8}")
    pixels = np.rint(np.clip(values, lowest, lowest + 2**bits - 1)).astype(kind)
    if stored.cells is not None:  # padding that no number of these bits says
        pixels.view(f"<u{kind.itemsize}")[stored.padding] = stored.cells[stored.padding]
    encoded = pixels.tobytes()
    dataset.PixelData = encoded + b"\0" * (len(encoded) % 2)
    dataset["PixelData"].VR = "OW" if kind.itemsize > 1 else "OB"
    dataset["PixelData"].is_undefined_length = False
    dataset.HighBit = bits - 1
    _make_gray(dataset)
    for name, value in (("Smallest", pixels.min()), ("Largest", pixels.max())):
        if f"{name}ImagePixelValue" in dataset:
            vr = "SS" if signed else "US"
            dataset.add_new(f"{name}ImagePixelValue", vr, int(value))
    for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if name in dataset:
            delattr(dataset, name)
    for group in dicom_stored.embedded_overlays(dataset):  # which lay in bits that are empty now
        for element in list(dataset.group_dataset(group)):
            del dataset[element.tag]
    _mark_derived(dataset, made_by)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _make_gray(dataset: Dataset) -> None:
    """One sample a pixel, where there were three that were the same."""
    if dataset.SamplesPerPixel != 1:
        dataset.SamplesPerPixel = 1
        del dataset.PlanarConfiguration
    if dataset.PhotometricInterpretation not in dicom_stored.GRAY:
        dataset.PhotometricInterpretation = "MONOCHROME2"


def _swap_words(dataset: Dataset) -> None:
    """Numbers that pydicom keeps as bytes, from big to little endian, sequences too."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _swap_words(item)
        elif element.VR in WORDS and isinstance(element.value, bytes):
            words = np.frombuffer(element.value, f"<u{WORDS[element.VR]}")
            element.value = words.byteswap().tobytes()


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
    if not dataset.get("SOPClassUID"):
        dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
