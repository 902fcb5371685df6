"""The numbers that a DICOM file stores: which bits of its cells count, and which pixels do.

PS3.3, C.7.6.3 (image pixels) and C.7.5.1 (padding); PS3.5, chapter 8 (how cells are packed).
"""

import io
import re
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import pixels
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, RLELossless, SecondaryCaptureImageStorage

from covidjax.data import apart
from tfds_coronahack.decoding import MAX_PIXELS

# What decoding asks of a header.
PIXEL_ELEMENTS = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
GRAY = ("MONOCHROME1", "MONOCHROME2")
# Of 255: how far three channels may lie apart and still be one gray (JPEG rounds each).
CHANNELS_APART = 2


class DicomError(ValueError):
    """A DICOM file that is not read; the message is one line that says why."""


class Stored(NamedTuple):
    """The pixels of a file.

    Attributes:
      values: int [height, width], signed where the file's are, decompressed.
      padding: bool [height, width], pixels that are no part of the image.
      notes: what was done or passed over, for a person.
    """

    values: NDArray[Any]
    padding: NDArray[np.bool_]
    notes: tuple[str, ...]


def complete(dataset: Any) -> tuple[str, ...]:
    """Fills in what the pixels need and the header lacks; returns a note on each.

    Raises:
      DicomError: no size, an impossible one, or cells of no whole number of bytes.
    """
    notes = []
    rows, columns = (int(dataset.get(name) or 0) for name in ("Rows", "Columns"))
    if rows < 1 or columns < 1:
        raise DicomError(f"a DICOM file of {columns} x {rows} pixels")
    if rows * columns > MAX_PIXELS:
        raise DicomError(f"{columns} x {rows} pixels are too many, {MAX_PIXELS:,} are the most")
    samples = int(dataset.get("SamplesPerPixel") or 1)
    kind = code_word(dataset, "PhotometricInterpretation").replace("MONOCHROME ", "MONOCHROME")
    if not kind:
        kind = "MONOCHROME2" if samples == 1 else "RGB"
        notes.append(f"PhotometricInterpretation missing: taken as {kind}")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = samples, kind
    dataset.NumberOfFrames = 1
    allocated = int(dataset.get("BitsAllocated") or 0)
    if allocated not in (8, 16, 32):
        raise DicomError(f"a DICOM file with {allocated or 'no number of'} bits a pixel")
    bits = int(dataset.get("BitsStored") or 0)
    if not 1 <= bits <= allocated:
        notes.append(f"BitsStored is {bits or 'missing'}: taken as {allocated}")
        dataset.BitsStored = bits = allocated
    high = dataset.get("HighBit")
    if high is None or not bits - 1 <= int(high) < allocated:
        notes.append(f"HighBit is {'missing' if high is None else high}: taken as {bits - 1}")
        dataset.HighBit = bits - 1
    sign = dataset.get("PixelRepresentation")
    if sign is None or int(sign) not in (0, 1):
        notes.append("PixelRepresentation missing: taken as unsigned")
        dataset.PixelRepresentation = 0
    if samples > 1 and dataset.get("PlanarConfiguration") is None:
        dataset.PlanarConfiguration = 0
    return tuple(notes)


def code_word(dataset: Any, name: str) -> str:
    """An element's first code word (VR CS) in capitals, "" where it has none.

    At most 16 letters, digits, blanks and underscores, as the standard has it: a damaged header may
    hold anything there, a patient's name too, and what it holds is printed.
    """
    value = dataset.get(name)
    texts = [value] if isinstance(value, str) or value is None else list(value)
    first = str(texts[0] or "") if texts else ""
    return " ".join(re.sub(r"[^A-Z0-9_ ]", " ", first.upper()).split())[:16]


def read_pixels(dataset: Any) -> Stored:
    """The stored values of a header that `complete` has seen.

    Raises:
      DicomError: in color, only padding, or a compression that no installed package decodes.
    """
    kind = dataset.PhotometricInterpretation
    if dataset.SamplesPerPixel == 1 and kind not in (*GRAY, "PALETTE COLOR"):
        raise DicomError(f"a DICOM file in color ({kind}): a screenshot or photograph")
    cells = _decoded(dataset)
    notes = []
    if cells.ndim == 3:
        cells = _one_channel(dataset, cells)
        notes.append("three equal channels: read as gray")
    if cells.shape != (dataset.Rows, dataset.Columns):
        raise DicomError(f"its pixels are {cells.shape}, not ({dataset.Rows}, {dataset.Columns})")
    cells = cells.view(np.dtype(f"{cells.dtype.byteorder}u{cells.dtype.itemsize}"))
    values, odd = _field(dataset, cells)
    padding = _padding(dataset, cells, values)
    if padding.all():
        raise DicomError("a DICOM file of padding alone")
    if (odd & ~padding).any():
        what = "an overlay" if embedded_overlays(dataset) else "what is no image"
        notes.append(f"{what} in the unused bits of the pixels left out")
    return Stored(values, padding, tuple(notes))


def embedded_overlays(dataset: Any) -> list[int]:
    """The groups of overlays that lie in unused bits of the pixels (PS3.3, C.9.2; retired)."""
    groups = range(0x6000, 0x6020, 2)
    own_data, position = 0x3000, 0x0102
    placed = [group for group in groups if (group, position) in dataset]
    return [g for g in placed if dataset[g, position].value and (g, own_data) not in dataset]


def _decoded(dataset: Any) -> NDArray[Any]:
    """The cells, [height, width] or [height, width, 3]; which of their bits count comes later."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return np.asarray(pixels.pixel_array(dataset, correct_unused_bits=False))
    try:
        plugins = pixels.get_decoder(syntax).available_plugins
    except NotImplementedError as error:
        raise DicomError(
            f"compressed as {syntax.name}, which is not read: decompress it"
        ) from error
    if not plugins:
        raise DicomError(f"compressed as {syntax.name}: `pip install python-gdcm` reads it")
    reason = ""
    for plugin in sorted(plugins, key=lambda name: name == "gdcm"):
        try:
            if plugin == "gdcm":
                return apart.decode(_file_bytes(dataset))
            options: dict[str, Any] = {"decoding_plugin": plugin, "correct_unused_bits": False}
            return np.asarray(pixels.pixel_array(dataset, **options))
        except Exception as error:  # each plugin has its own; the next one may read it
            reason = reason or " ".join(str(error).split())[:200] or type(error).__name__
    raise DicomError(f"compressed as {syntax.name}, and damaged or cut off ({reason})")


def _file_bytes(dataset: Any) -> bytes:
    """What the pixels need of a file, and nothing of whom it shows."""
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


def _one_channel(dataset: Any, cells: NDArray[Any]) -> NDArray[Any]:
    """The gray of three channels that are the same. Raises DicomError where they are not."""
    kind, top = dataset.PhotometricInterpretation, 2 ** int(dataset.BitsStored) - 1
    apart = np.ptp(cells.astype(np.int64), axis=-1).max()
    if cells.shape[-1] != 3 or apart * 255 > CHANNELS_APART * top:
        raise DicomError(f"a DICOM file in color ({kind}): a screenshot or photograph")
    return np.ascontiguousarray(cells[..., 1])


def _field(dataset: Any, cells: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The numbers in the BitsStored bits below HighBit, and where the other bits are not empty."""
    bits, size = int(dataset.BitsStored), 8 * cells.dtype.itemsize
    shift = int(dataset.HighBit) - bits + 1
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != RLELossless and not (cells >> bits).any():
        shift = 0  # a codec of fewer bits than a cell has puts them at its lower end
    shift = min(shift, size - bits)
    native = cells.astype(cells.dtype.newbyteorder("="), copy=False)
    field = (native >> shift) & (2**bits - 1)
    if not dataset.PixelRepresentation:
        return field, native != field << shift
    moved = field << (size - bits)
    values = moved.view(f"i{cells.dtype.itemsize}") >> (size - bits)
    extended = values.view(native.dtype) << shift
    return values, (native != extended) & (native != field << shift)


def _padding(dataset: Any, cells: NDArray[Any], values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where PixelPaddingValue, up to PixelPaddingRangeLimit, says that there is no image.

    Its VR should follow PixelRepresentation and often does not, so the sign is taken from the
    pixels. A number that BitsStored cannot hold is compared with the whole cells.
    """
    padding = np.zeros(values.shape, bool)
    ends = [_integer(dataset, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if ends[0] is None:
        return padding
    bits, size = int(dataset.BitsStored), 8 * cells.dtype.itemsize
    signed = bool(dataset.PixelRepresentation)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    inside = []
    for end in (ends[0], ends[1] if ends[1] is not None else ends[0]):
        number = end % 2**size
        if signed and number >= 2 ** (size - 1):
            number -= 2**size
        elif signed and high < number < 2**bits:  # written without the upper bits of its sign
            number -= 2**bits
        if not low <= number <= high:
            return cells == ends[0] % 2**size
        inside.append(number)
    return (values >= min(inside)) & (values <= max(inside))


def _integer(dataset: Any, name: str) -> int | None:
    """A whole number of the header, whatever VR it was written with; None where there is none."""
    value = dataset.get(name)
    if isinstance(value, bytes):
        little = dataset.original_encoding[1] is not False
        return int.from_bytes(value[:2], "little" if little else "big") if value else None
    if value is None or value == "":
        return None
    return int(value if isinstance(value, int | str) else value[0])
