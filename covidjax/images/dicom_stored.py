"""The numbers that a DICOM file stores: which bits of its cells count, and which pixels do.

PS3.3, C.7.6.3 (image pixels) and C.7.5.1 (padding); PS3.5, chapter 8 (how cells are packed).
"""

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import RLELossless

from covidjax.images.dicom_frames import DicomError, is_lossy, read_cells
from tfds_coronahack.decoding import MAX_PIXELS

COLORS = ("RGB", "YBR", "HSV", "ARGB", "CMYK", "XYB")
GRAY = ("MONOCHROME1", "MONOCHROME2")
# How far three channels may lie apart, of 255, and still be one gray: JPEG rounds each.
CHANNELS_APART = 2


class Stored(NamedTuple):
    """The pixels of a file.

    Attributes:
      values: int [height, width], signed where the file's are, decompressed.
      padding: bool [height, width], pixels that are no part of the image.
      notes: what was done or passed over, for a person.
      cells: unsigned [height, width], as the file holds them, where padding is known by bits that
        values do not have; else None.
    """

    values: NDArray[Any]
    padding: NDArray[np.bool_]
    notes: tuple[str, ...]
    cells: NDArray[Any] | None = None


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
    if samples == 1 and kind not in (*GRAY, "PALETTE COLOR") and not kind.startswith(COLORS):
        notes.append(f"PhotometricInterpretation {kind} is unknown: taken as MONOCHROME2")
        kind = "MONOCHROME2"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = samples, kind
    if "NumberOfFrames" in dataset:  # 0 or empty
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
    cells = read_cells(dataset)
    notes = []
    if cells.ndim == 3 and dataset.SamplesPerPixel == 1:
        raise DicomError(f"a DICOM file with {len(cells)} frames; give one image a file")
    if cells.ndim == 3:
        cells = _one_channel(dataset, cells)
        notes.append("three equal channels: read as gray")
    if cells.shape != (dataset.Rows, dataset.Columns):
        raise DicomError(f"its pixels are {cells.shape}, not ({dataset.Rows}, {dataset.Columns})")
    cells = cells.view(np.dtype(f"{cells.dtype.byteorder}u{cells.dtype.itemsize}"))
    cells = cells.astype(cells.dtype.newbyteorder("="), copy=False)
    values, odd = _field(dataset, cells)
    padding, by_cells, passed_over = _padding(dataset, cells, values)
    if padding.all():
        raise DicomError("a DICOM file of padding alone")
    if (odd & ~padding).any():
        what = "an overlay" if embedded_overlays(dataset) else "what is no image"
        notes.append(f"{what} in the unused bits of the pixels left out")
    return Stored(values, padding, (*notes, *passed_over), cells if by_cells else None)


def embedded_overlays(dataset: Any) -> list[int]:
    """The groups of overlays that lie in unused bits of the pixels (PS3.3, C.9.2; retired)."""
    groups = range(0x6000, 0x6020, 2)
    own_data, position = 0x3000, 0x0102
    placed = [group for group in groups if (group, position) in dataset]
    return [g for g in placed if dataset[g, position].value and (g, own_data) not in dataset]


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
    signed = bool(dataset.PixelRepresentation)
    numbers = cells.view(f"i{cells.dtype.itemsize}")
    syntax = dataset.file_meta.TransferSyntaxUID
    if is_lossy(syntax):
        # Nothing stands in the other bits but what the codec has overshot.
        low, high = _range(bits, signed)
        clipped = np.clip(numbers if signed else cells, low, high)
        return clipped, np.zeros(cells.shape, bool)
    if syntax.is_encapsulated and syntax != RLELossless and not (cells >> bits).any():
        shift = 0  # a codec of fewer bits than a cell has puts them at its lower end
    shift = min(shift, size - bits)
    field = (cells >> shift) & (2**bits - 1)
    if not signed:
        return field, cells != field << shift
    moved = field << (size - bits)
    values = moved.view(numbers.dtype) >> (size - bits)
    extended = values.view(cells.dtype) << shift
    return values, (cells != extended) & (cells != field << shift)


def _range(bits: int, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _padding(
    dataset: Any, cells: NDArray[Any], values: NDArray[Any]
) -> tuple[NDArray[np.bool_], bool, tuple[str, ...]]:
    """Where PixelPaddingValue, up to PixelPaddingRangeLimit, says that there is no image.

    Its VR should follow PixelRepresentation and often does not, so the sign is taken from the
    pixels. Numbers that BitsStored cannot hold are compared with the whole cells; whether they are
    comes second, and notes third.
    """
    nothing = np.zeros(values.shape, bool)
    try:
        ends = [_integer(dataset, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    except ValueError:
        return nothing, False, ("PixelPaddingValue is no number: passed over",)
    if ends[0] is None:
        return nothing, False, ()
    bits, size = int(dataset.BitsStored), 8 * cells.dtype.itemsize
    signed = bool(dataset.PixelRepresentation)
    low, high = _range(bits, signed)
    numbers = []
    for end in (ends[0], ends[1] if ends[1] is not None else ends[0]):
        number = end % 2**size
        if signed and number >= 2 ** (size - 1):
            number -= 2**size
        elif signed and high < number < 2**bits:  # written without the upper bits of its sign
            number -= 2**bits
        numbers.append(number)
    inside = all(low <= number <= high for number in numbers)
    compared = values if inside else cells.view(f"i{cells.dtype.itemsize}") if signed else cells
    return (compared >= min(numbers)) & (compared <= max(numbers)), not inside, ()


def _integer(dataset: Any, name: str) -> int | None:
    """A whole number of the header, whatever VR it was written with; None where there is none.

    Raises:
      ValueError: it is something else.
    """
    value = dataset.get(name)
    if isinstance(value, bytes):
        little = dataset.original_encoding[1] is not False
        return int.from_bytes(value[:2], "little" if little else "big") if value else None
    if value is None or value == "" or value == []:
        return None
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        value = next(iter(value))
    return int(float(str(value)))
