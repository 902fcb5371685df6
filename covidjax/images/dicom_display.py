"""Stored values to gray, in the order of the standard: modality, VOI, presentation.

PS3.3, C.11.1 (rescale or table), C.11.2 (window or table), C.11.6 (presentation), C.7.9 (palette).
All of it is worked out on the levels that can occur and then looked up for each pixel: that takes a
fraction of the memory that working it out for each pixel takes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covidjax.images import dicom_views
from covidjax.images.dicom_frames import DicomError
from covidjax.images.dicom_stored import Stored, code_word
from covidjax.images.dicom_table import read_table

Floats = NDArray[np.float64]
MOST_LEVELS = 2**20  # values further apart than this (of 32 bits) are looked up one by one
PIXELS = 2**20  # looked up at once
# Without a window an image that fills this share of what its bits can hold is shown from the lowest
# to the highest of these, as a picture of the same pixels is; another from its own ends.
FILLED = 0.98
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
PALETTE = ("Red", "Green", "Blue")
CHEST = ("CHEST", "THORAX", "LUNG", "PORT", "RIB")


def display(dataset: Any, stored: Stored) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """uint8 [height, width], air black and padding black, and notes.

    Raises:
      DicomError: a rescale that is no number, a palette of colors, or a VOI table whose entries
        fit neither its descriptor nor any other number of bits.
    """
    levels, occurs = _levels(stored)
    gray, notes = _shades(dataset, levels, occurs)
    shades = np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8)
    flat = np.empty(stored.values.size, np.uint8)
    for start in range(0, len(flat), PIXELS):
        part = slice(start, start + PIXELS)
        flat[part] = shades[_places(levels, stored.values.reshape(-1)[part])]
    picture = flat.reshape(stored.values.shape)
    picture[stored.padding] = 0
    return picture, notes


def is_falling(dataset: Any, stored: Stored) -> bool:
    """Whether larger stored values are shown darker."""
    levels, occurs = _levels(stored)
    shown = _shades(dataset, levels, occurs)[0][occurs]
    return bool(((levels[occurs] - levels[occurs].mean()) * (shown - shown.mean())).sum() < 0)


def header_notes(dataset: Any) -> tuple[str, ...]:
    """Notes on what the header says besides of the picture, and what is not done about it."""
    notes = []
    part = code_word(dataset, "BodyPartExamined")
    if part and not any(word in part for word in CHEST):
        notes.append(f"BodyPartExamined is {part}")
    aspect = _texts(dataset.get("PixelAspectRatio"))
    if len(aspect) == 2 and aspect[0] != aspect[1]:
        notes.append(f"pixels are not square ({':'.join(aspect)[:20]}): passed over")
    if code_word(dataset, "PresentationIntentType") == "FOR PROCESSING":
        notes.append("raw values, meant for processing and not for display")
    if dataset.get("ShutterShape"):
        notes.append("display shutter passed over")
    if any((group, 0x3000) in dataset for group in range(0x6000, 0x6020, 2)):
        notes.append("overlay not drawn")
    rows, columns = dicom_views.directions(dataset)
    if rows[:1] in ("R", "F", "H") or columns[:1] in ("L", "R", "H"):
        notes.append(f"turned or mirrored (PatientOrientation {rows}, {columns}): passed over")
    return tuple(notes)


def _levels(stored: Stored) -> tuple[Floats, NDArray[np.bool_]]:
    """The numbers from the image's lowest to its highest, and which of them occur in it."""
    inside = stored.values[~stored.padding]
    low, high = int(inside.min()), int(inside.max())
    if high - low >= MOST_LEVELS:
        levels = np.unique(inside).astype(np.float64)
        return levels, np.ones(len(levels), bool)
    levels = np.arange(low, high + 1, dtype=np.float64)
    occurs = np.zeros(len(levels), bool)
    for start in range(0, len(inside), PIXELS):
        occurs[_places(levels, inside[start : start + PIXELS])] = True
    return levels, occurs


def _places(levels: Floats, values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where each value stands among the levels; padding, which need not, anywhere."""
    if len(levels) > levels[-1] - levels[0]:
        return np.clip(values.astype(np.int64), int(levels[0]), int(levels[-1])) - int(levels[0])
    return np.clip(np.searchsorted(levels, values), 0, len(levels) - 1)


def _shades(
    dataset: Any, levels: Floats, occurs: NDArray[np.bool_]
) -> tuple[Floats, tuple[str, ...]]:
    """What each level is shown as, 0 black to 1 white (beyond: cut off), and notes."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return _palette(dataset, levels)
    values, limits, first = _rescaled(dataset, levels)
    gray, second = _contrasted(dataset, values, occurs, limits)
    inverted, third = _is_inverted(dataset)
    return 1 - gray if inverted else gray, (*first, *second, *third)


def _rescaled(dataset: Any, levels: Floats) -> tuple[Floats, tuple[float, float], tuple[str, ...]]:
    """Stored values in the units of the modality (PS3.3, C.11.1), their limits, and notes."""
    signed, bits = bool(dataset.PixelRepresentation), int(dataset.BitsStored)
    notes: list[str] = []
    for item in dataset.get("ModalityLUTSequence") or ():
        table, why = read_table(dataset, item, "LUT", signed)
        if table is not None:
            done = (*notes, "modality table applied")
            return table.at(levels), (0.0, 2.0**table.bits - 1), done
        notes.append(f"modality table {why}: passed over")
    slope, intercept = (_number(dataset, f"Rescale{name}") for name in ("Slope", "Intercept"))
    if slope == 0:
        notes.append("RescaleSlope is 0: passed over")
    lowest = -(2.0 ** (bits - 1)) if signed else 0.0
    ends = np.array([lowest, lowest + 2.0**bits - 1])
    values, limits = (one * (slope or 1.0) + (intercept or 0.0) for one in (levels, ends))
    return values, (limits.min(), limits.max()), tuple(notes)


def _contrasted(
    dataset: Any, values: Floats, occurs: NDArray[np.bool_], limits: tuple[float, float]
) -> tuple[Floats, tuple[str, ...]]:
    """0 to 1 by the first table or window that can be used, else by the full range (C.11.2)."""
    notes: list[str] = []
    for item in dataset.get("VOILUTSequence") or ():
        table, why = read_table(dataset, item, "LUT", limits[0] < 0)
        if table is not None:
            gray = table.at(values) / (2**table.bits - 1)
            if np.ptp(gray[occurs]) > 0:
                return gray, (*notes, "VOI table applied", *table.notes)
            why = "shows nothing"
        notes.append(f"VOI table {why}: passed over")
    named = code_word(dataset, "VOILUTFunction") or "LINEAR"
    function = named if named in FUNCTIONS else "LINEAR"
    for center, width in _windows(dataset):
        text = f"window {center:g}, {width:g}"
        if not np.isfinite([center, width]).all() or width <= 0:
            notes.append(f"{text} passed over")
            continue
        gray = _window(values, center, width, function)
        if np.ptp(np.clip(gray[occurs], 0, 1)) == 0:
            notes.append(f"{text} shows nothing: passed over")
            continue
        if function != named:
            notes.append(f"VOILUTFunction {named} is unknown: taken as LINEAR")
        return gray, (*notes, f"{text} applied")
    low, high = values[occurs].min(), values[occurs].max()
    if high - low >= FILLED * (limits[1] - limits[0]):
        low, high = limits
    return (values - low) / max(high - low, 1e-9), (*notes, "no window: full range")


def _windows(dataset: Any) -> list[tuple[float, float]]:
    """Center and width of each window, the first one first; NaN where one is no number."""
    centers, widths = (_texts(dataset.get(f"Window{name}")) for name in ("Center", "Width"))
    found = []
    for texts in zip(centers, widths, strict=False):
        try:
            found.append((float(texts[0]), float(texts[1])))
        except ValueError:
            found.append((np.nan, np.nan))
    return found


def _window(values: Floats, center: float, width: float, function: str) -> Floats:
    """0 to 1, by the formulas of PS3.3, C.11.2.1.2 and C.11.2.1.3.

    LINEAR counts whole numbers, so its width is 1 or more. Widths below that come with values
    scaled to fractions, for which LINEAR_EXACT is what was meant; so does 1 itself there.
    """
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    fractions = bool((values != np.rint(values)).any())
    if function == "LINEAR_EXACT" or width < 1 or (width == 1 and fractions):
        return (values - center) / width + 0.5
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _is_inverted(dataset: Any) -> tuple[bool, tuple[str, ...]]:
    """Whether small values are white. MONOCHROME1 and INVERSE say the same, not the opposite."""
    kind = dataset.PhotometricInterpretation
    shape = code_word(dataset, "PresentationLUTShape")
    notes = []
    if dataset.get("PresentationLUTSequence"):
        notes.append("presentation table passed over")
    if shape not in ("", "IDENTITY", "INVERSE"):
        notes.append(f"PresentationLUTShape {shape} passed over")
    if kind == "MONOCHROME1":
        against = ", though PresentationLUTShape is IDENTITY" if shape == "IDENTITY" else ""
        return True, (f"MONOCHROME1 inverted{against}", *notes)
    if shape == "INVERSE":
        return True, (f"PresentationLUTShape INVERSE: inverted, though {kind}", *notes)
    return False, tuple(notes)


def _palette(dataset: Any, levels: Floats) -> tuple[Floats, tuple[str, ...]]:
    """The gray of a palette whose three colors are the same (PS3.3, C.7.9)."""
    shades = []
    for color in PALETTE:
        name, signed = f"{color}PaletteColorLookupTable", bool(dataset.PixelRepresentation)
        table, why = read_table(dataset, dataset, name, signed)
        if table is None:
            raise DicomError(f"a DICOM file in color (PALETTE COLOR, whose {color} {why})")
        shades.append(table.at(levels) / (2**table.bits - 1))
    if not (np.allclose(shades[0], shades[1]) and np.allclose(shades[1], shades[2])):
        raise DicomError("a DICOM file in color (PALETTE COLOR): a screenshot or photograph")
    return shades[0], ("gray palette applied",)


def _number(dataset: Mapping[str, Any], name: str) -> float | None:
    """A number of the header; None where it is missing or empty.

    Raises:
      DicomError: it is something else: what it was meant to be would be a guess.
    """
    texts = _texts(dataset.get(name))
    if not texts:
        return None
    try:
        number = float(texts[0])
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise DicomError(f"{name} is {texts[0][:20]!r}, which is no number")
    return number


def _texts(value: Any) -> list[str]:
    """The values of an element as text, without what is empty; of any VR."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").split("\\")
    many = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    texts = (str(one).strip(" \0") for one in many if one is not None)
    return [text for text in texts if text]
