"""DICOM files to 8-bit gray, as a viewer shows them: rescaled, windowed, air black."""

import contextlib
import io
import re
import struct
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import pixels
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

# Modalities that can be a chest radiograph's (PS3.3, C.7.3.1.1.1); files without one pass too.
MODALITIES = ("CR", "DX", "DR", "RG", "RF", "XA", "OT", "SC")
# Words of views, as codes (PS3.3, C.8.11.5) and as people write them into descriptions.
LATERAL_VIEWS = ("LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "SEITLICH", "PROFIL")
OBLIQUE_VIEWS = ("RLO", "LLO", "RAO", "LAO", "RPO", "LPO", "OBLIQUE")
# A decubitus film is frontal though the patient lies on a side ("left lateral decubitus").
FRONTAL_VIEWS = ("PA", "AP", "FRONTAL", "LLD", "RLD", "DECUB", "DECUBITUS")
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
_DECODER_ERRORS = (
    *(InvalidDicomError, BytesLengthException, AttributeError, KeyError, TypeError, ValueError),
    *(NotImplementedError, RuntimeError, IndexError, EOFError, OSError, struct.error),
)


class DicomError(ValueError):
    """A DICOM file that is not read; the message is one line that says why."""


def is_dicom(data: bytes, suffix: str) -> bool:
    """Whether the bytes begin as a DICOM file, or the file's name says that they are one."""
    return data[128:132] == b"DICM" or suffix.lower() in (".dcm", ".dicom")


def read_dicom(data: bytes) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """uint8 [height, width] with air black, and notes.

    Stored values go through the modality rescale or table, then through the first window or
    VOI table (PS3.3, C.11.1 and C.11.2); where there is none, the darkest to the brightest value
    (without the padding) fill 0 to 255. MONOCHROME1 is inverted.

    Raises:
      DicomError: not DICOM, cut off, without pixels, several frames, in colour, another modality
        than radiography, a lateral or oblique view by the file's own account, or a compression that
        no installed package decodes.
    """
    with _decoding():
        dataset, stored = _parsed(data)
        if other := _other_view(dataset):
            raise DicomError(f"{other}; the networks know frontal ones")
        return _displayed(dataset, stored)


def read_stored(data: bytes) -> tuple[pydicom.Dataset, NDArray[np.integer]]:
    """The header and the pixels as stored, [height, width], decompressed; of any view.

    Raises:
      DicomError: as `read_dicom`, but for the views.
    """
    with _decoding():
        return _parsed(data)


@contextlib.contextmanager
def _decoding() -> Iterator[None]:
    """What pydicom raises for broken files becomes a DicomError."""
    with warnings.catch_warnings():  # of values that are not quite as the standard wants them
        warnings.simplefilter("ignore")
        try:
            yield
        except DicomError:
            raise
        except _DECODER_ERRORS as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DicomError(f"a DICOM file that is damaged or cut off: {reason}") from error


def _parsed(data: bytes) -> tuple[pydicom.Dataset, NDArray[np.integer]]:
    if not data:
        raise DicomError("the file is empty")
    dataset = pydicom.dcmread(io.BytesIO(data), force=data[128:132] != b"DICM")
    _check_kind(dataset)
    if "TransferSyntaxUID" not in dataset.file_meta:  # a file without its first part
        implicit = dataset.original_encoding[0]
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset, _stored_values(dataset)


def _check_kind(dataset: Any) -> None:
    """Raises DicomError for what the header says is no single radiograph."""
    modality = str(dataset.get("Modality", "") or "")
    if "PixelData" not in dataset:
        if not len(dataset):
            raise DicomError("not a DICOM file")
        what = f" (modality {modality})" if modality else ""
        raise DicomError(f"a DICOM file without an image{what}, or cut off before it")
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise DicomError(f"a DICOM file with {frames} frames; give one image a file")
    if modality and modality not in MODALITIES:
        raise DicomError(f"modality {modality}, not a radiograph")
    kind = str(dataset.get("PhotometricInterpretation", "") or "none")
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise DicomError(f"a DICOM file in colour ({kind}): a screenshot or photograph")


def _other_view(dataset: Any) -> str:
    """ "a lateral view (ViewPosition LL)", or "" where the header names none but frontal ones.

    What names a view decides, the most exact element first: the code of the position, the coded
    view, the direction of the rows, a description. Their texts are free, so words are looked for.
    """
    sequence = dataset.get("ViewCodeSequence") or [{}]
    named = {
        "ViewPosition": dataset.get("ViewPosition"),
        "ViewCodeSequence": sequence[0].get("CodeMeaning"),
    }
    # The direction of the rows: front to back only where the beam went from side to side.
    rows = str((dataset.get("PatientOrientation") or [""])[0]).upper()
    named["PatientOrientation"] = "LATERAL" if rows[:1] in ("A", "P") else None
    named |= {name: dataset.get(name) for name in DESCRIPTIONS}
    for element, value in named.items():
        words = set(re.findall(r"[A-Z]+", str(value or "").upper()))
        if words & set(FRONTAL_VIEWS):
            return ""
        for kind, known in (("a lateral", LATERAL_VIEWS), ("an oblique", OBLIQUE_VIEWS)):
            if words & set(known):
                shown = rows if element == "PatientOrientation" else " ".join(str(value).split())
                return f"{kind} view ({element} {shown[:40]})"
    return ""


def _stored_values(dataset: Any) -> NDArray[np.integer]:
    """The pixels as stored, [height, width], decompressed."""
    try:
        return np.asarray(pixels.pixel_array(dataset))
    except (RuntimeError, NotImplementedError) as error:
        text, name = str(error).lower(), dataset.file_meta.TransferSyntaxUID.name
        if "missing dependencies" in text:
            raise DicomError(f"compressed as {name}: `pip install python-gdcm` reads it") from error
        if "does not support" in text or "no pixel data decoders" in text:
            raise DicomError(f"compressed as {name}, which is not read: decompress it") from error
        raise


def _displayed(
    dataset: Any, stored: NDArray[np.integer]
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    values = pixels.apply_modality_lut(stored, dataset).astype(np.float64)
    padding = dataset.get("PixelPaddingValue")
    shown = np.ones(stored.shape, bool) if padding is None else stored != padding
    notes = []
    if dataset.get("VOILUTSequence"):
        table = dataset.VOILUTSequence[0]
        top = 2 ** int(table.LUTDescriptor[2]) - 1
        gray = pixels.apply_voi(values.astype(np.int64), dataset) / top
        notes.append("VOI table applied")
    elif dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
        center, width = (_first(dataset[name].value) for name in ("WindowCenter", "WindowWidth"))
        gray = _window(values, center, width, str(dataset.get("VOILUTFunction", "") or "LINEAR"))
        notes.append(f"window {center:g}, {width:g} applied")
    else:
        low, high = values[shown].min(), values[shown].max()
        gray = (values - low) / max(high - low, 1e-9)
        notes.append("no window: full range")
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 1 - gray
        notes.append("MONOCHROME1 inverted")
    part = str(dataset.get("BodyPartExamined", "") or "").upper()
    if part and not any(word in part for word in ("CHEST", "THORAX", "LUNG", "PORT")):
        notes.append(f"BodyPartExamined is {part}")
    gray = np.where(shown, gray, 0.0)
    return np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8), tuple(notes)


def _window(
    values: NDArray[np.float64], center: float, width: float, function: str
) -> NDArray[np.float64]:
    """0 to 1, by the formulas of PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _first(value: Any) -> float:
    """Of several windows the first, which is the one to start with."""
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue | list) else value)
