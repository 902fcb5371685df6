"""Each row of docs/dicom.md: a file made here, and pixel values worked out by hand."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)
from test_dicom import encoded, made, packed, transcoded

from covidjax.images import dicom, dicom_views
from tfds_coronahack import decoding

PAGE = Path(__file__).parents[2] / "docs" / "dicom.md"


def row(*values: int, bits: int = 12, kind: str = "u2", **elements: Any) -> Dataset:
    """A file of one row of pixels."""
    return made(np.array([values], kind), bits, **elements)


def without(dataset: Dataset, *names: str) -> Dataset:
    for name in names:
        delattr(dataset, name)
    return dataset


def table(first: int, entries: Any, bits: int, count: int | None = None, vr: str = "US") -> Dataset:
    """An item of a sequence of lookup tables."""
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries) if count is None else count, first, bits])
    item.add_new(0x00283006, vr, entries)
    return item


def overlaid(**elements: Any) -> Dataset:
    """Bit 15 of the second pixel is an overlay's."""
    dataset = row(0, 0x8000 + 100, 200, 400, WindowCenter=200.5, WindowWidth=401, **elements)
    dataset.add_new(0x60000102, "US", 15)
    return dataset


def drawn_over() -> Dataset:
    dataset = row(0, 100, 200, 400, WindowCenter=200.5, WindowWidth=401)
    dataset.add_new(0x60003000, "OW", b"\1\0")
    return dataset


def padded(kind: str, vr: str, value: int, **elements: Any) -> Dataset:
    """Signed pixels whose padding, -2000, is written with a VR of its own."""
    dataset = row(-2000, 0, 50, 100, bits=16, kind=kind, **elements)
    dataset.add_new(0x00280120, vr, value)
    return dataset


def palette(*colors: list[int]) -> Dataset:
    dataset = row(0, 1, 2, 3, bits=8, kind="u1", PhotometricInterpretation="PALETTE COLOR")
    for name, entries in zip(("Red", "Green", "Blue"), colors, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 16])
        data = np.array(entries, "<u2").tobytes()
        setattr(dataset, f"{name}PaletteColorLookupTableData", data)
    return dataset


def three(values: list[list[int]], kind: str = "RGB") -> Dataset:
    dataset = made(np.array([values], np.uint8), 8, PhotometricInterpretation=kind)
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    return dataset


def comma() -> Dataset:
    dataset = row(0, 1)
    dataset.add_new(0x00281053, "LO", "1,0")  # pydicom itself does not write such a DS
    return dataset


def floating() -> Dataset:
    dataset = row(0, 1)
    del dataset.PixelData
    dataset.FloatPixelData = np.zeros(2, "<f4").tobytes()
    return dataset


def fractions(width: float) -> Dataset:
    """Values 0 to 1, in hundredths."""
    return row(0, 25, 50, 100, RescaleSlope="0.01", WindowCenter=0.5, WindowWidth=width)


RAMP_8 = np.tile(np.arange(96, dtype=np.uint8), (64, 1))
WINDOW = {"WindowCenter": 200.5, "WindowWidth": 401}  # 0 is black, 400 white, 100 is 63.75
EIGHT = [0, 10, 100, 255]  # entries of a table
# Row of the page -> what makes the file, its gray levels, and the note; no levels where refused.
ROWS: dict[str, tuple[Callable[[], Dataset], list[int] | None, str]] = {
    "BitsStored": (
        lambda: without(row(0, 100, 200, 400, **WINDOW), "BitsStored"),
        [0, 64, 128, 255],
        "BitsStored is missing: taken as 16",
    ),
    # 100 << 4 and its like in cells of 16 bits.
    "HighBit": (
        lambda: row(0, 1600, 3200, 6400, HighBit=15, **WINDOW),
        [0, 64, 128, 255],
        "",
    ),
    "unused bits": (
        lambda: row(0, 0x3000 + 100, 200, 400, **WINDOW),
        [0, 64, 128, 255],
        "what is no image in the unused bits of the pixels left out",
    ),
    "overlay in unused bits": (
        overlaid,
        [0, 64, 128, 255],
        "an overlay in the unused bits of the pixels left out",
    ),
    "overlay of its own": (drawn_over, [0, 64, 128, 255], "overlay not drawn"),
    # 12 bits signed without extension: 0xF9C is -100. Window -100 to 300.
    "PixelRepresentation": (
        lambda: row(0xF9C, 0, 100, 300, PixelRepresentation=1, WindowCenter=100.5, WindowWidth=401),
        [0, 64, 128, 255],
        "",
    ),
    "PixelPaddingValue": (lambda: padded("i2", "US", 63536), [0, 0, 128, 255], "full range"),
    "PixelPaddingRangeLimit": (
        lambda: row(4000, 4090, 0, 200, PixelPaddingValue=4000, PixelPaddingRangeLimit=4095),
        [0, 0, 0, 255],
        "full range",
    ),
    "padding alone": (lambda: row(7, 7, PixelPaddingValue=7), None, "of padding alone"),
    "RescaleSlope": (
        lambda: row(0, 50, 100, 200, RescaleSlope=2, RescaleIntercept=None, **WINDOW),
        [0, 64, 128, 255],
        "",
    ),
    "RescaleIntercept": (
        lambda: row(1000, 1100, 1200, 1400, RescaleIntercept=-1000, **WINDOW),
        [0, 64, 128, 255],
        "",
    ),
    "rescale that is no number": (
        comma,
        None,
        "RescaleSlope is '1,0', which is no number",
    ),
    # The table's 300 lies beyond the window's white, 400 of it not: 10 -> 6.4, 100 -> 63.75.
    "ModalityLUTSequence": (
        lambda: row(5, 6, 7, 9, ModalityLUTSequence=[table(5, [0, 10, 100, 500], 12)], **WINDOW),
        [0, 6, 64, 255],
        "modality table applied",
    ),
    "empty modality table": (
        lambda: row(0, 50, 100, 200, ModalityLUTSequence=[Dataset()], RescaleSlope=2, **WINDOW),
        [0, 64, 128, 255],
        "modality table is empty: passed over",
    ),
    "VOILUTSequence": (
        lambda: row(5, 6, 7, 99, VOILUTSequence=[table(5, EIGHT, 8)], **WINDOW),
        EIGHT,
        "VOI table applied",
    ),
    # 4,095 of 12 bits is white, so 819 is 51.
    "table of 16 bits with 12-bit data": (
        lambda: row(0, 1, 2, 3, VOILUTSequence=[table(0, [0, 819, 1638, 4095], 16)]),
        [0, 51, 102, 255],
        "its entries have 12 bits, not 16",
    ),
    "table of 8 bits in words": (
        lambda: row(0, 1, 2, 3, VOILUTSequence=[table(0, EIGHT, 8)]),
        EIGHT,
        "VOI table applied",
    ),
    "table of 8 bits in bytes": (
        lambda: row(0, 1, 2, 3, VOILUTSequence=[table(0, bytes(EIGHT), 8, vr="OW")]),
        EIGHT,
        "VOI table applied",
    ),
    "table whose entries do not fit": (
        lambda: row(0, 1, VOILUTSequence=[table(0, [0, 256], 8)]),
        None,
        "a table of 8 bits an entry, one of which is 256: damaged",
    ),
    "empty VOI table": (
        lambda: row(0, 100, 200, 400, VOILUTSequence=[table(0, b"", 8, vr="OW")], **WINDOW),
        [0, 64, 128, 255],
        "VOI table is empty: passed over",
    ),
    "table that is too short": (
        lambda: row(0, 100, 200, 400, VOILUTSequence=[table(0, [0, 255], 8, count=8)], **WINDOW),
        [0, 64, 128, 255],
        "VOI table holds 2 of its 8 entries: passed over",
    ),
    "WindowCenter, WindowWidth": (
        lambda: row(0, 25, 50, 100, WindowCenter=[50.5, 3], WindowWidth=[101, 7]),
        [0, 64, 128, 255],
        "window 50.5, 101 applied",
    ),
    # (1 - 1.5) / 2 + 0.5 is a quarter.
    "LINEAR": (
        lambda: row(0, 1, 2, 9, WindowCenter=2, WindowWidth=3, VOILUTFunction="LINEAR"),
        [0, 64, 191, 255],
        "",
    ),
    # (0.25 - 0.5) / 0.5 + 0.5 is 0.
    "LINEAR, width below 1": (lambda: fractions(0.5), [0, 0, 128, 255], "window 0.5, 0.5 applied"),
    "width not positive": (
        lambda: row(0, 25, 50, 100, WindowCenter=50, WindowWidth=0),
        [0, 64, 128, 255],
        "window 50, 0 passed over",
    ),
    "window that shows nothing": (
        lambda: row(0, 25, 50, 100, WindowCenter=9000, WindowWidth=10),
        [0, 64, 128, 255],
        "window 9000, 10 shows nothing: passed over",
    ),
    # (25 - 50) / 100 + 0.5.
    "LINEAR_EXACT": (
        lambda: row(0, 25, 50, 99, WindowCenter=50, WindowWidth=100, VOILUTFunction="LINEAR_EXACT"),
        [0, 64, 128, 252],
        "",
    ),
    # 1 / (1 + e) is 0.2689, and 1 / (1 + e ** -4) 0.9820.
    "SIGMOID": (
        lambda: row(25, 50, 150, WindowCenter=50, WindowWidth=100, VOILUTFunction="SIGMOID"),
        [69, 128, 250],
        "",
    ),
    "unknown VOILUTFunction": (
        lambda: row(0, 1, 2, 9, WindowCenter=2, WindowWidth=3, VOILUTFunction="CUBIC"),
        [0, 64, 191, 255],
        "VOILUTFunction CUBIC is unknown: taken as LINEAR",
    ),
    "no window": (lambda: row(100, 125, 150, 200), [0, 64, 128, 255], "no window: full range"),
    "MONOCHROME1": (
        lambda: row(0, 100, 200, 400, PhotometricInterpretation="MONOCHROME1", **WINDOW),
        [255, 191, 128, 0],
        "MONOCHROME1 inverted",
    ),
    "PresentationLUTShape": (
        lambda: row(0, 100, 200, 400, PresentationLUTShape="INVERSE", **WINDOW),
        [255, 191, 128, 0],
        "PresentationLUTShape INVERSE: inverted, though MONOCHROME2",
    ),
    "MONOCHROME1 with IDENTITY": (
        lambda: row(
            *(0, 100, 200, 400),
            PhotometricInterpretation="MONOCHROME1",
            PresentationLUTShape="IDENTITY",
            **WINDOW,
        ),
        [255, 191, 128, 0],
        "MONOCHROME1 inverted, though PresentationLUTShape is IDENTITY",
    ),
    "PresentationLUTSequence": (
        lambda: row(0, 100, 200, 400, PresentationLUTSequence=[table(0, EIGHT, 8)], **WINDOW),
        [0, 64, 128, 255],
        "presentation table passed over",
    ),
    "PhotometricInterpretation missing": (
        lambda: without(row(0, 100, 200, 400, **WINDOW), "PhotometricInterpretation"),
        [0, 64, 128, 255],
        "PhotometricInterpretation missing: taken as MONOCHROME2",
    ),
    "PhotometricInterpretation in lower case": (
        lambda: row(0, 100, 200, 400, PhotometricInterpretation="monochrome1 ", **WINDOW),
        [255, 191, 128, 0],
        "MONOCHROME1 inverted",
    ),
    "PhotometricInterpretation unknown": (
        lambda: row(0, 100, 200, 400, PhotometricInterpretation="GRAYSCALE", **WINDOW),
        [0, 64, 128, 255],
        "PhotometricInterpretation GRAYSCALE is unknown: taken as MONOCHROME2",
    ),
    "SamplesPerPixel 3, equal channels": (
        lambda: three([[0, 0, 0], [51, 51, 52], [102, 102, 102], [255, 255, 255]]),
        [0, 51, 102, 255],
        "three equal channels: read as gray",
    ),
    "SamplesPerPixel 3, color": (
        lambda: three([[0, 0, 0], [51, 90, 52]]),
        None,
        "a DICOM file in color (RGB): a screenshot or photograph",
    ),
    "PALETTE COLOR of grays": (
        lambda: palette(*[[0, 257 * 51, 257 * 102, 65535]] * 3),
        [0, 51, 102, 255],
        "gray palette applied",
    ),
    "PALETTE COLOR of colors": (
        lambda: palette([0, 1, 2, 65535], [0, 1, 2, 65535], [0, 1, 9, 40000]),
        None,
        "a DICOM file in color (PALETTE COLOR): a screenshot or photograph",
    ),
    "PixelAspectRatio": (
        lambda: row(0, 100, 200, 400, PixelAspectRatio=[2, 1], **WINDOW),
        [0, 64, 128, 255],
        "pixels are not square (2:1): passed over",
    ),
    "PatientOrientation": (
        lambda: row(0, 100, 200, 400, PatientOrientation=["R", "F"], **WINDOW),
        [0, 64, 128, 255],
        "turned or mirrored (PatientOrientation R, F): passed over",
    ),
    "PresentationIntentType": (
        lambda: row(0, 100, 200, 400, PresentationIntentType="FOR PROCESSING", **WINDOW),
        [0, 64, 128, 255],
        "raw values, meant for processing and not for display",
    ),
    "ShutterShape": (
        lambda: row(0, 100, 200, 400, ShutterShape="RECTANGULAR", **WINDOW),
        [0, 64, 128, 255],
        "display shutter passed over",
    ),
    "BodyPartExamined": (
        lambda: row(0, 100, 200, 400, BodyPartExamined="HAND", **WINDOW),
        [0, 64, 128, 255],
        "BodyPartExamined is HAND",
    ),
    "NumberOfFrames": (
        lambda: row(0, 1, NumberOfFrames=2),
        None,
        "a DICOM file with 2 frames; give one image a file",
    ),
    "compressed picture of another size": (
        lambda: compressed(RAMP_8, "JPEG", JPEGBaseline8Bit, bits=8, Rows=96, Columns=64),
        None,
        "its compressed picture has 96 x 64 pixels of 1 samples, its header 64 x 96 pixels of 1",
    ),
    "BitsAllocated": (
        lambda: row(0, 1, BitsAllocated=12),
        None,
        "a DICOM file with 12 bits a pixel",
    ),
    "float pixels": (floating, None, "with pixels in floating point, which is not read"),
}


def on_the_page() -> dict[str, str]:
    """Each row's field and its note."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][2:]
    cells = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    return {parts[0]: parts[-1].strip("` |") for parts in cells}


def test_the_page_and_the_tests_have_the_same_rows() -> None:
    assert list(on_the_page()) == list(ROWS)


@pytest.mark.parametrize("field", ROWS)
def test_the_row_of_the_page_is_what_is_done(field: str) -> None:
    make, levels, note = ROWS[field]
    data = encoded(make())
    if levels is None:
        with pytest.raises(dicom.DicomError, match=re.escape(note)) as caught:
            dicom.read_dicom(data)
        assert "\n" not in str(caught.value)
        return
    gray, notes = dicom.read_dicom(data)
    assert gray.tolist() == [levels]
    assert note in "; ".join(notes)


@pytest.mark.parametrize("field", [name for name, note in on_the_page().items() if note])
def test_the_note_on_the_page_is_printed(field: str) -> None:
    note = on_the_page()[field]
    odd = {
        "HighBit": lambda: row(0, 1, HighBit=3),
        "PixelRepresentation": lambda: without(row(0, 1), "PixelRepresentation"),
        "RescaleSlope": lambda: row(0, 1, RescaleSlope=0),
        "WindowCenter, WindowWidth": lambda: row(0, 90, WindowCenter=50, WindowWidth=101),
    }
    data = encoded(odd.get(field, ROWS[field][0])())
    try:
        said = "; ".join(dicom.read_dicom(data)[1])
    except dicom.DicomError as error:
        said = str(error)
    assert note in said


@pytest.mark.parametrize(
    ("vr", "value", "representation"),
    [("SS", -2000, 1), ("US", 63536, 1), ("OW", b"\x30\xf8", 1)],
)
def test_padding_is_known_whatever_vr_it_was_written_with(
    vr: str, value: Any, representation: int
) -> None:
    dataset = padded("i2", vr, value)
    assert dataset.PixelRepresentation == representation
    assert dicom.read_dicom(encoded(dataset))[0].tolist() == [[0, 0, 128, 255]]


def test_padding_that_bits_stored_cannot_hold_is_compared_with_whole_cells() -> None:
    cells = row(0xFFFF, 0x0FFF, 0, 2048, PixelPaddingValue=0xFFFF)
    gray, notes = dicom.read_dicom(encoded(cells))
    assert gray.tolist() == [[0, 255, 0, 128]]  # 4,095 is a value, not padding
    assert not any("unused" in note for note in notes)


def test_inverse_and_monochrome1_invert_once() -> None:
    both = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    gray, notes = dicom.read_dicom(encoded(row(0, 100, 200, 400, **both, **WINDOW)))
    assert gray.tolist() == [[255, 191, 128, 0]]
    assert "MONOCHROME1 inverted" in notes


@pytest.mark.parametrize("width", [1, 0.99])
def test_a_width_of_one_on_fractions_is_a_ramp_and_on_whole_numbers_a_step(width: float) -> None:
    levels = dicom.read_dicom(encoded(fractions(width)))[0][0]
    assert np.abs(levels - np.array([0, 64, 128, 255.0])).max() <= 2
    step = row(0, 1, 2, 3, WindowCenter=2, WindowWidth=1)
    assert dicom.read_dicom(encoded(step))[0].tolist() == [[0, 0, 255, 255]]


def test_the_first_window_that_can_be_used_counts() -> None:
    dataset = row(0, 25, 50, 100, WindowCenter=[5, 50.5], WindowWidth=[-1, 101])
    gray, notes = dicom.read_dicom(encoded(dataset))
    assert gray.tolist() == [[0, 64, 128, 255]]
    assert notes == ("window 5, -1 passed over", "window 50.5, 101 applied")


@pytest.mark.parametrize("lowest", [-4096, 0])
def test_the_sign_of_a_table_is_that_of_what_can_be_not_of_what_is(lowest: int) -> None:
    entries = np.clip(np.arange(8192) - 4096, 0, 255).astype("<u2").tobytes()
    item = table(0, entries, 8, vr="OW")
    item.add_new(0x00283002, "SS", [8192, -4096, 8])
    dataset = row(lowest, 51, 102, 255, bits=13, kind="i2", VOILUTSequence=[item])
    assert dicom.read_dicom(encoded(dataset))[0].tolist() == [[0, 51, 102, 255]]


@pytest.mark.parametrize("first", [65436, -100])
def test_a_table_for_negative_values_begins_below_zero(first: int) -> None:
    dataset = row(-100, -99, -98, -97, bits=16, kind="i2")
    item = table(0, EIGHT, 8)
    vr = "US" if first > 0 else "SS"
    item.add_new(0x00283002, vr, [4, first, 8])
    dataset.VOILUTSequence = [item]
    assert dicom.read_dicom(encoded(dataset))[0].tolist() == [EIGHT]


def test_values_beyond_a_table_get_its_ends_and_0_entries_are_65536() -> None:
    entries = np.minimum(np.arange(65536) // 16, 4095)
    item = table(0, entries.tolist(), 12, count=0)
    dataset = row(0, 3264, 32640, 65535, bits=16, VOILUTSequence=[item])
    assert dicom.read_dicom(encoded(dataset))[0].tolist() == [[0, 13, 127, 255]]
    beyond = row(0, 5, 8, 4000, VOILUTSequence=[table(5, EIGHT, 8)])
    assert dicom.read_dicom(encoded(beyond))[0].tolist() == [[0, 0, 255, 255]]


def test_unused_bits_of_compressed_pixels_are_left_out_too() -> None:
    dataset = overlaid()
    cells = np.array([[0, 0x8000 + 100, 200, 400]], np.uint16).repeat(4, axis=0)
    file = io.BytesIO()
    Image.fromarray(cells).save(file, "JPEG2000", irreversible=False, no_jp2=True)
    dataset.Rows = 4
    dataset.PixelData = encapsulate([file.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    gray, notes = dicom.read_dicom(encoded(dataset))
    assert gray.tolist() == [[0, 64, 128, 255]] * 4
    assert any("overlay" in note for note in notes)


def test_values_of_32_bits_are_read() -> None:
    dataset = row(0, 2**30, 2**31, 2**32 - 1, bits=32, kind="u4")
    assert dicom.read_dicom(encoded(dataset))[0].tolist() == [[0, 64, 128, 255]]


LATERAL = [
    *("LL", "lat", "Thorax Lateral", "latérale", "Torace laterolaterale", "torace latero-laterale"),
    *("Rx Tórax Perfil", "Thorax seitl.", "Thorax Seitaufnahme", "Thorax lateralis", "lateraal"),
    *("Klatka piersiowa boczna", "boční projekce", "Oldalirányú mellkas", "Sivukuva", "Sidobild"),
    *("боковая проекция", "Profilaufnahme", "Thorax Profil", "πλάγια", "lateralno"),
]
FRONTAL = [
    *("PA", "ap", "Thorax p.a.", "Thorax p.a. und seitlich", "face et profil", "Seitenlage"),
    *("Chest, frontal", "decúbito lateral", "postero-anterior", "laterality: left", "прямая"),
]


@pytest.mark.parametrize("words", LATERAL)
def test_lateral_views_are_known_in_the_languages_of_europe(words: str) -> None:
    dataset = Dataset()
    dataset.SeriesDescription = words
    assert "a lateral view" in dicom_views.other_view(dataset)


@pytest.mark.parametrize("words", FRONTAL)
def test_frontal_views_are_no_lateral_ones(words: str) -> None:
    dataset = Dataset()
    dataset.SeriesDescription = words
    assert dicom_views.other_view(dataset) == ""


@pytest.mark.parametrize("value", ["PA", "AP", "P", ["PA", "F"], ["L", "F"], ["", ""]])
def test_an_orientation_that_is_none_says_nothing(value: Any) -> None:
    dataset = Dataset()
    dataset.PatientOrientation = value
    assert dicom_views.other_view(dataset) == ""
    dataset.PatientOrientation = ["A", "F"]
    assert "a lateral view (PatientOrientation A)" in dicom_views.other_view(dataset)


@pytest.mark.parametrize(("vr", "value"), [("DS", "4000"), ("LO", "4000"), ("FD", 4000.0)])
def test_padding_written_as_text_or_a_fraction_is_read(vr: str, value: Any) -> None:
    dataset = row(4000, 0, 51, 102)
    dataset.add_new(0x00280120, vr, value)
    assert dicom.read_dicom(encoded(dataset))[0].tolist() == [[0, 0, 128, 255]]
    dataset.add_new(0x00280120, "LO", "none")
    assert "PixelPaddingValue is no number: passed over" in dicom.read_dicom(encoded(dataset))[1]


def test_a_range_of_padding_beyond_bits_stored_is_one_of_whole_cells() -> None:
    padding = {"PixelPaddingValue": 63000, "PixelPaddingRangeLimit": 65535}
    gray, _ = dicom.read_dicom(encoded(row(63000, 64000, 65535, 0, 51, 102, **padding)))
    assert gray.tolist() == [[0, 0, 0, 0, 128, 255]]


def test_two_frames_without_their_number_are_no_colors() -> None:
    dataset = made(np.zeros((2, 4, 4), np.uint16), Rows=4, Columns=4)
    with pytest.raises(dicom.DicomError, match="with 2 frames; give one image a file"):
        dicom.read_dicom(encoded(dataset))


def compressed(picture: np.ndarray, kind: str, syntax: str, **elements: Any) -> Dataset:
    file = io.BytesIO()
    options = {"no_jp2": True} if kind == "JPEG2000" else {"quality": 95}
    Image.fromarray(picture).save(file, kind, **options, **elements.pop("options", {}))
    dataset = made(picture[..., 0] if picture.ndim == 3 else picture, **elements)
    dataset.PixelData = encapsulate([file.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_a_compressed_picture_of_another_size_than_the_headers_is_refused(kind: str) -> None:
    syntax = JPEGBaseline8Bit if kind == "JPEG" else JPEG2000Lossless
    good = compressed(RAMP_8, kind, syntax, bits=8)
    assert dicom.read_dicom(encoded(good))[0].shape == (64, 96)
    turned = compressed(RAMP_8, kind, syntax, bits=8, Rows=96, Columns=64)
    with pytest.raises(dicom.DicomError, match="96 x 64 pixels of 1 samples, its header 64 x 96"):
        dicom.read_dicom(encoded(turned))
    color = np.repeat(RAMP_8[..., None], 3, axis=-1)
    with pytest.raises(dicom.DicomError, match="of 3 samples, its header 96 x 64 pixels of 1"):
        dicom.read_dicom(encoded(compressed(color, kind, syntax, bits=8)))


def test_what_a_lossy_codec_overshoots_stays_white() -> None:
    rng = np.random.default_rng(0)
    gray = np.where(rng.random((64, 64)) < 0.5, 4095, 3000).astype(np.uint16)
    lossy = {"irreversible": True, "quality_mode": "rates", "quality_layers": [8]}
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    dataset = compressed(gray, "JPEG2000", JPEG2000, options=lossy, **window)
    found, notes = dicom.read_dicom(encoded(dataset))
    assert found.min() > 100 and found.max() == 255
    assert not any("unused" in note for note in notes)


@pytest.mark.parametrize("kind", ["JPEGLosslessProcess14_1", "JPEGLSLossless"])
def test_high_bits_and_overlays_are_known_in_what_gdcm_decodes(kind: str) -> None:
    values = np.tile(np.arange(96) * 40, (80, 1)).astype(np.uint16)
    syntax = JPEGLosslessSV1 if kind.startswith("JPEGLossless") else JPEGLSLossless
    high = transcoded(made(values << 4, 16), syntax)
    high.BitsStored, high.HighBit = 12, 15
    assert np.abs(dicom.read_dicom(encoded(high))[0] - values * 255.0 / 3800).max() <= 1
    over = transcoded(made(values | 0x8000, 16), syntax)
    over.BitsStored, over.HighBit = 12, 11
    gray, notes = dicom.read_dicom(encoded(over))
    assert np.abs(gray - values * 255.0 / 3800).max() <= 1
    assert any("unused bits" in note for note in notes)


def test_jpeg_extended_of_12_bits_is_read() -> None:
    gdcm = pytest.importorskip("gdcm")
    values = np.tile(np.arange(96) * 40, (80, 1)).astype(np.uint16)
    number = gdcm.TransferSyntax.JPEGExtendedProcess2_4
    dataset = transcoded(made(values, 12), JPEGExtended12Bit, number)
    gray, _ = dicom.read_dicom(encoded(dataset))
    assert np.abs(gray - values * 255.0 / 3800).max() <= 2


def test_a_deflated_file_that_would_fill_the_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = packed(DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr(decoding, "MAX_BYTES", 10_000)
    with pytest.raises(dicom.DicomError, match="deflated from more than 10,000 bytes"):
        dicom.read_dicom(encoded(dataset))
