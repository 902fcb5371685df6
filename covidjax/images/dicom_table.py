"""Lookup tables of DICOM files, whose descriptors and data often do not agree.

PS3.3, C.11.1.1 (modality), C.11.2.1.1 (VOI) and C.7.6.3.1.5 (palette): a descriptor of three
numbers, how many entries (0 for 65,536), the first value that is mapped, bits an entry; and data,
as numbers or as words of bytes, in which entries of 8 bits may be packed two a word.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from covidjax.images.dicom_frames import DicomError

WIDTHS = (8, 10, 12, 14, 16)  # bits that entries are made for
MOST_SHORT = 0.01  # of the entries may be missing at the end: some count one too many


class Table(NamedTuple):
    """Entries, [n] from 0 to 2 ** bits - 1, for the values from `first` on; notes for a person."""

    first: int
    entries: NDArray[np.float64]
    bits: int
    notes: tuple[str, ...]

    def at(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The entries of values, whole numbers or nearly so; the ends go on beyond the table."""
        places = np.rint(values - self.first)
        return self.entries[np.clip(places, 0, len(self.entries) - 1).astype(np.int64)]


def read_table(dataset: Any, item: Any, name: str, signed: bool) -> tuple[Table | None, str]:
    """The table that `NAMEDescriptor` and `NAMEData` of an item hold; or None, and why not.

    Args:
      dataset: of the whole file, for its byte order.
      item: that holds the two elements.
      name: LUT, or RedPaletteColorLookupTable and its like.
      signed: whether what is looked up can be negative.

    Raises:
      DicomError: entries that fit neither the descriptor's bits nor any other number of them.
    """
    little = dataset.original_encoding[1] is not False
    descriptor = _numbers(item.get(f"{name}Descriptor"), little)
    data = item.get(f"{name}Data")
    if descriptor is None or data is None or len(data if hasattr(data, "__len__") else [0]) == 0:
        return None, "is empty"
    if len(descriptor) != 3:
        return None, f"has a descriptor of {len(descriptor)} numbers, not 3"
    count, first, bits = descriptor[0] % 65536 or 65536, descriptor[1], descriptor[2] % 65536
    if signed and first >= 32768:
        first -= 65536
    entries = _entries(data, count, little)
    if len(entries) < (1 - MOST_SHORT) * count:
        return None, f"holds {len(entries)} of its {count} entries"
    bits, notes = _bits(entries, bits)
    return Table(first, entries.astype(np.float64), bits, notes), ""


def _entries(data: Any, count: int, little: bool) -> NDArray[np.integer]:
    """The entries, at most `count`; how many bytes there are says whether two share a word."""
    if not isinstance(data, bytes):
        words = np.atleast_1d(np.asarray(data)).astype(np.int64) % 65536
        packed = words.astype("<u2").view(np.uint8)
        is_packed = len(words) < (1 - MOST_SHORT) * count <= len(packed)
        return (packed if is_packed else words)[:count]
    even = data[: len(data) // 2 * 2]
    words = np.frombuffer(even, "<u2" if little else ">u2")
    if len(words) >= (1 - MOST_SHORT) * count:
        return words[:count]
    if len(data) % 2:
        return np.frombuffer(data, np.uint8)[:count]
    # The first entry is the lower byte of its word, in either byte order.
    return words.astype("<u2").view(np.uint8)[:count]


def _bits(entries: NDArray[np.integer], declared: int) -> tuple[int, tuple[str, ...]]:
    """Bits of the brightest entry that the table was made for, and a note where it says others."""
    top = int(entries.max())
    needed = next(bits for bits in WIDTHS if top < 2**bits)
    if declared == needed or (1 <= declared <= 16 and 2 ** (declared - 1) <= top < 2**declared):
        return declared, ()
    if (not 1 <= declared <= 16 or 2**declared <= top) and top < 2 ** (needed - 1):
        raise DicomError(f"a table of {declared} bits an entry, one of which is {top}: damaged")
    return needed, (f"its entries have {needed} bits, not {declared}",)


def _numbers(value: Any, little: bool) -> list[int] | None:
    """A descriptor's numbers, whatever VR it was written with; None without any."""
    if value is None or value == "":
        return None
    if isinstance(value, bytes):
        even = value[: len(value) // 2 * 2]
        return np.frombuffer(even, "<u2" if little else ">u2").tolist() or None
    many = [value] if isinstance(value, int) else list(value)
    return [int(number) for number in many]
