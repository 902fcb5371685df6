"""DICOM files to 8-bit gray, as a viewer shows them: rescaled, windowed, air black.

The way of a file: `dicom_stored` gives the numbers that it stores, `dicom_display` makes gray
levels of them, `dicom_views` says whether the header names another view than a frontal one. What
each element of the header does is listed in docs/dicom.md.
"""

import contextlib
import io
import re
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from covidjax.images import dicom_display, dicom_stored, dicom_views
from covidjax.images.dicom_frames import DicomError
from covidjax.images.dicom_stored import Stored
from tfds_coronahack import decoding

# Modalities that can be a chest radiograph's (PS3.3, C.7.3.1.1.1); files without one pass too.
MODALITIES = ("CR", "DX", "DR", "RG", "RF", "XA", "OT", "SC")


def is_dicom(data: bytes, suffix: str) -> bool:
    """Whether the bytes begin as a DICOM file, or the file's name says that they are one.

    Old files lack the first 132 bytes, and begin with an element of group 2 or 8.
    """
    bare = data[:2] in (b"\x02\0", b"\x08\0") and data[3:4] == b"\0"
    return bare or data[128:132] == b"DICM" or suffix.lower() in (".dcm", ".dicom")


def read_dicom(data: bytes) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """uint8 [height, width] with air black, and notes on what was done and what was passed over.

    Raises:
      DicomError: not DICOM, cut off, without pixels, several frames, in color, another modality
        than radiography, a lateral or oblique view by the file's own account, a compression that
        no installed package decodes, or a rescale or table that cannot be what was meant.
    """
    with _decoding():
        dataset, notes = _parsed(data)
        if other := dicom_views.other_view(dataset):
            raise DicomError(f"{other}; the networks know frontal ones")
        stored = dicom_stored.read_pixels(dataset)
        gray, shown = dicom_display.display(dataset, stored)
        header = dicom_display.header_notes(dataset)
        return gray, (*notes, *stored.notes, *shown, *header)


def read_stored(data: bytes) -> tuple[pydicom.Dataset, Stored, bool]:
    """The header, the pixels as stored, and whether large values are dark; of any view.

    Raises:
      DicomError: as `read_dicom`, but for the views.
    """
    with _decoding():
        dataset, notes = _parsed(data)
        stored = dicom_stored.read_pixels(dataset)
        stored = stored._replace(notes=(*notes, *stored.notes))
        return dataset, stored, dicom_display.is_falling(dataset, stored)


@contextlib.contextmanager
def _decoding() -> Iterator[None]:
    """Whatever pydicom and the decoders raise for a broken file becomes a DicomError."""
    with warnings.catch_warnings():  # of values that are not quite as the standard wants them
        warnings.simplefilter("ignore")
        try:
            yield
        except DicomError:
            raise
        except Exception as error:  # a broken header can break any part of the parser
            # Without the values that it quotes: they may be a patient's.
            reason = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", " ".join(str(error).split()))[:200]
            named = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
            raise DicomError(f"a DICOM file that is damaged or cut off ({named})") from error


def _parsed(data: bytes) -> tuple[pydicom.Dataset, tuple[str, ...]]:
    """The header, with what pixels need and it lacks filled in, and notes on what that was."""
    if not data:
        raise DicomError("the file is empty")
    _check_inflated(data)
    dataset = pydicom.dcmread(io.BytesIO(data), force=data[128:132] != b"DICM")
    _check_kind(dataset)
    if "TransferSyntaxUID" not in dataset.file_meta:  # a file without its first part
        implicit = dataset.original_encoding[0]
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset, dicom_stored.complete(dataset)


def _check_inflated(data: bytes) -> None:
    """Raises DicomError for a deflated file that would fill the memory (PS3.5, A.5)."""
    # Behind the preamble the first element tells the length of the others before the data.
    start = 144 + int.from_bytes(data[140:144], "little")
    if data[128:132] == b"DICM" and DeflatedExplicitVRLittleEndian.encode() in data[144:start]:
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        inflating.decompress(data[start:], decoding.MAX_BYTES)
        if inflating.unconsumed_tail:
            raise DicomError(f"deflated from more than {decoding.MAX_BYTES:,} bytes")


def _check_kind(dataset: Any) -> None:
    """Raises DicomError for what the header says is no single radiograph."""
    modality = dicom_stored.code_word(dataset, "Modality")
    if "PixelData" not in dataset:
        if not len(dataset):
            raise DicomError("not a DICOM file, or cut off")
        if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
            raise DicomError("a DICOM file with pixels in floating point, which is not read")
        what = f" (modality {modality})" if modality else ""
        raise DicomError(f"a DICOM file without an image{what}, or cut off before it")
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise DicomError(f"a DICOM file with {frames} frames; give one image a file")
    if modality and modality not in MODALITIES:
        raise DicomError(f"modality {modality}, not a radiograph")
