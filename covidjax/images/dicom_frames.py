"""The cells of a DICOM file's pixels, decompressed where they are compressed (PS3.5, chapter 8)."""

import io
import struct
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import pixels
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.uid import UID, RLELossless, SecondaryCaptureImageStorage

from covidjax.images import apart

# What decoding asks of a header.
PIXEL_ELEMENTS = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
_JPEG_SIZES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
_JPEG_2000 = b"\xff\x4f\xff\x51"  # its first marker and that of its sizes


class DicomError(ValueError):
    """A DICOM file that is not read; the message is one line that says why."""


def read_cells(dataset: Any) -> NDArray[Any]:
    """[height, width] or [height, width, 3]; which bits of a cell count is not looked at.

    Raises:
      DicomError: a compression that no installed package decodes, damage, or a compressed picture
        of another size than the header's.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return np.asarray(pixels.pixel_array(dataset, correct_unused_bits=False))
    _check_stream(dataset)
    try:
        decoder = pixels.get_decoder(syntax)
    except NotImplementedError as error:
        text = f"compressed as {syntax.name}, which is not read: decompress it"
        raise DicomError(text) from error
    plugins = decoder.available_plugins
    if not plugins:
        if any("gdcm" in text for text in decoder.missing_dependencies):
            raise DicomError(f"compressed as {syntax.name}: `pip install python-gdcm` reads it")
        raise DicomError(f"compressed as {syntax.name}, which is not read: decompress it")
    reasons = []
    for plugin in sorted(plugins, key=lambda name: name == "gdcm"):
        try:
            if plugin == "gdcm":
                return apart.decode(_file_bytes(dataset))
            options: dict[str, Any] = {"decoding_plugin": plugin, "correct_unused_bits": False}
            return np.asarray(pixels.pixel_array(dataset, **options))
        except Exception as error:  # each plugin has its own; the next one may read it
            reasons.append(" ".join(str(error).split())[:150] or type(error).__name__)
    raise DicomError(f"compressed as {syntax.name}, and damaged or not read ({reasons[-1]})")


def is_lossy(syntax: UID) -> bool:
    """Whether values can lie beyond those that were compressed; JPEG 2000 and JPEG-LS can be so."""
    return syntax.is_encapsulated and syntax != RLELossless and "Lossless" not in syntax.name


def stream_shape(frame: bytes) -> tuple[int, int, int] | None:
    """Height, width and components that a JPEG, JPEG-LS or JPEG 2000 stream says; None of others.

    ITU-T T.81, B.2.2 (frame header) and T.800, A.5.1 (SIZ).
    """
    start = frame.find(_JPEG_2000, 0, 200)  # a JP2 file has boxes before it
    if start >= 0:
        right, bottom, left, top = struct.unpack(">4I", frame[start + 8 : start + 24])
        (components,) = struct.unpack(">H", frame[start + 40 : start + 42])
        return bottom - top, right - left, components
    place = 2
    while frame[:2] == b"\xff\xd8" and place + 10 <= len(frame):
        if frame[place] != 0xFF:
            return None
        marker, (size,) = frame[place + 1], struct.unpack(">H", frame[place + 2 : place + 4])
        if marker in _JPEG_SIZES:
            height, width, components = struct.unpack(">HHB", frame[place + 5 : place + 10])
            return height, width, components
        place += 1 if marker == 0xFF else 2 + size
    return None


def _check_stream(dataset: Any) -> None:
    """Raises DicomError where the compressed picture is another than the header tells of."""
    try:
        found = stream_shape(get_frame(dataset.PixelData, 0, number_of_frames=1))
    except struct.error:
        return  # cut off: the decoder says so
    expected = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    if found is not None and found != expected:
        of = "{1} x {0} pixels of {2} samples".format
        raise DicomError(f"its compressed picture has {of(*found)}, its header {of(*expected)}")


def _file_bytes(dataset: Any) -> bytes:
    """What the pixels need of a file, and nothing of whom it shows; every bit of a cell counts."""
    bare = pydicom.Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    bare.file_meta.MediaStorageSOPInstanceUID = UID("1.2")
    for element in dataset.group_dataset(0x0028):
        if element.keyword in PIXEL_ELEMENTS:
            bare[element.tag] = element
    for element in dataset.group_dataset(0x7FE0):
        bare[element.tag] = element
    file = io.BytesIO()
    bare.save_as(file, enforce_file_format=True)
    return file.getvalue()
