"""DICOM files come out as a viewer shows them; those of something else are refused."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from covidjax.images import dicom
from covidjax.images.reading import ReadingError, read_image

RAMP = np.tile(np.arange(96), (80, 1))  # 80 x 96, 0 to 95 from left to right
TURNED = RAMP[:, :80].T  # from top to bottom: left and right are alike


def made(values: np.ndarray, bits: int = 12, syntax=ExplicitVRLittleEndian, **elements) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3.4"
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelData = values.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def encoded(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def shown(dataset: Dataset) -> np.ndarray:
    return dicom.read_dicom(encoded(dataset))[0]


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(found.astype(float) - expected).max() <= 1)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_without_a_window_the_full_range_is_shown(bits):
    top = 2**bits - 1
    values = np.rint(RAMP / 95 * top).astype(np.uint8 if bits == 8 else np.uint16)
    assert close(shown(made(values, bits)), RAMP / 95 * 255)


def test_signed_values_are_read_as_such():
    values = (RAMP * 20 - 1000).astype(np.int16)
    assert close(shown(made(values, 16)), RAMP / 95 * 255)


def test_the_window_applies_to_rescaled_values():
    values = (RAMP * 10).astype(np.uint16)
    elements = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    elements |= {"WindowCenter": [-50, 7], "WindowWidth": [401, 9]}
    hu = 2.0 * values - 1000
    expected = np.clip((hu - (-50 - 0.5)) / 400 + 0.5, 0, 1) * 255  # PS3.3, C.11.2.1.2.1
    found, notes = dicom.read_dicom(encoded(made(values, **elements)))
    assert close(found, expected)
    assert 0 in found and 255 in found
    assert "window -50, 401 applied" in notes


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_the_other_window_functions_are_those_of_the_standard(function):
    values = (RAMP * 10).astype(np.uint16)
    elements = {"WindowCenter": 400, "WindowWidth": 300, "VOILUTFunction": function}
    steps = (values.astype(float) - 400) / 300
    expected = steps + 0.5 if function == "LINEAR_EXACT" else 1 / (1 + np.exp(-4 * steps))
    assert close(shown(made(values, **elements)), np.clip(expected, 0, 1) * 255)


def test_a_table_of_values_is_applied():
    item = Dataset()
    item.LUTDescriptor = [96, 0, 10]
    steps = np.arange(96) / 95
    item.LUTData = np.rint(1023 * steps**2).astype("<u2").tobytes()
    values = RAMP.astype(np.uint16)
    found = shown(made(values, VOILUTSequence=[item]))
    assert close(found, (RAMP / 95) ** 2 * 255)


def test_monochrome1_is_inverted_after_the_window():
    values = (RAMP * 10).astype(np.uint16)
    window = {"WindowCenter": 400, "WindowWidth": 301}
    straight = shown(made(values, **window))
    turned = shown(made(values, PhotometricInterpretation="MONOCHROME1", **window))
    assert np.array_equal(turned, 255 - straight)


def test_padding_is_black_and_stretches_nothing():
    values = (RAMP * 10 + 100).astype(np.uint16)
    values[:, :10] = 65535
    found = shown(made(values, 16, PixelPaddingValue=65535))
    assert (found[:, :10] == 0).all()
    assert found[:, 10:].min() == 0 and found[:, 10:].max() == 255


# Pixels of 12 bits; JPEG baseline has 8.
SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG 2000": JPEG2000Lossless,
    "JPEG baseline": JPEGBaseline8Bit,
    "JPEG lossless": JPEGLosslessSV1,
    "JPEG-LS": JPEGLSLossless,
}


def packed(syntax: UID, bits: int = 12, **elements) -> Dataset:
    """The ramp, 40 of 4,095 a column (of 8 bits 2 of 255), in a transfer syntax."""
    values = (RAMP * 40).astype(np.uint16) if bits == 12 else (RAMP * 2).astype(np.uint8)
    if syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        return made(values, bits, syntax=syntax, **elements)
    dataset = made(values, bits, **elements)
    file = io.BytesIO()
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = values.astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax == RLELossless:
        dataset.compress(RLELossless)
    elif syntax in (JPEG2000Lossless, JPEGBaseline8Bit):
        picture = Image.fromarray(values)
        if syntax == JPEG2000Lossless:
            picture.save(file, "JPEG2000", irreversible=False, no_jp2=True)
        else:
            picture.save(file, "JPEG", quality=100)
        dataset.PixelData = encapsulate([file.getvalue()])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        dataset = transcoded(dataset, syntax)
    return dataset


def transcoded(dataset: Dataset, syntax: UID, number: int | None = None) -> Dataset:
    """By gdcm, which encodes what pydicom does not; `number` is gdcm's own of the syntax."""
    gdcm = pytest.importorskip("gdcm")
    with tempfile.TemporaryDirectory() as folder:
        before, after = (str(Path(folder) / name) for name in ("a.dcm", "b.dcm"))
        dataset.save_as(before, enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(before)
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        kind = "JPEGLSLossless" if syntax == JPEGLSLossless else "JPEGLosslessProcess14_1"
        number = getattr(gdcm.TransferSyntax, kind) if number is None else number
        change.SetTransferSyntax(gdcm.TransferSyntax(number))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(after)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        found = pydicom.dcmread(after)
        found.PixelData  # noqa: B018  # read before the file goes
    assert found.file_meta.TransferSyntaxUID == syntax
    return found


@pytest.mark.parametrize("name", SYNTAXES)
def test_every_transfer_syntax_is_read(name):
    bits = 8 if name == "JPEG baseline" else 12
    found, notes = dicom.read_dicom(encoded(packed(SYNTAXES[name], bits)))
    assert close(found, RAMP / 95 * 255)
    assert notes == ("no window: full range",)


@pytest.mark.parametrize("name", ["RLE", "JPEG 2000", "JPEG lossless", "JPEG-LS", "big endian"])
def test_signed_pixels_stay_signed_in_every_transfer_syntax(name):
    signed = {"PixelRepresentation": 1, "WindowCenter": 0.5, "WindowWidth": 2001}
    found = shown(packed(SYNTAXES[name], **signed))
    values = RAMP * 40
    values = np.where(values > 2047, values - 4096, values)
    assert close(found, np.clip((values + 1000) / 2000, 0, 1) * 255)


@pytest.mark.parametrize("packed_data", [False, True])
def test_tables_of_big_endian_files_are_read_in_their_byte_order(packed_data):
    entries = np.rint(np.arange(96) / 95 * 255).astype(np.uint8)
    item = Dataset()
    item.add_new(0x00283002, "US", [96, 0, 8])
    data = entries.view("<u2").astype(">u2") if packed_data else entries.astype(">u2")
    item.add_new(0x00283006, "OW", data.tobytes())
    dataset = made(RAMP.astype(np.uint16), VOILUTSequence=[item])
    dataset.PixelData = RAMP.astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    assert close(shown(dataset), RAMP / 95 * 255)


def coded(meaning: str) -> dict[str, list[Dataset]]:
    item = Dataset()
    item.CodeMeaning = meaning
    return {"ViewCodeSequence": [item]}


REFUSED = {
    "coded": (coded("left lateral"), "a lateral view .ViewCodeSequence left lateral"),
    "words": ({"ViewPosition": "Lateral chest"}, "a lateral view .ViewPosition Lateral chest"),
    "series": ({"SeriesDescription": "W Chest LAT."}, "a lateral view .SeriesDescription"),
    "protocol": ({"ProtocolName": "Thorax seitlich"}, "a lateral view .ProtocolName"),
    "segmentation": ({"Modality": "SEG"}, "modality SEG, not a radiograph"),
    "dose": ({"Modality": "RTDOSE"}, "modality RTDOSE, not a radiograph"),
    "mammogram": ({"Modality": "MG"}, "modality MG, not a radiograph"),
    "LL": ({"ViewPosition": "LL"}, "a lateral view"),
    "LATERAL": ({"ViewPosition": "LATERAL"}, "a lateral view"),
    "oblique": ({"ViewPosition": "RLO"}, "an? oblique view"),
    "direction": ({"PatientOrientation": ["A", "F"]}, "a lateral view"),
    "modality": ({"Modality": "CT"}, "modality CT, not a radiograph"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_file_says_is_no_frontal_radiograph_is_refused(name):
    elements, reason = REFUSED[name]
    with pytest.raises(dicom.DicomError, match=reason):
        shown(made(RAMP.astype(np.uint16), **elements))


def test_a_file_without_its_first_part_is_read(tmp_path):
    dataset = made((TURNED * 40).astype(np.uint16))
    del dataset.file_meta
    file = io.BytesIO()
    dataset.save_as(file, implicit_vr=True, little_endian=True)
    (tmp_path / "old.dcm").write_bytes(file.getvalue())
    (tmp_path / "IM0001").write_bytes(file.getvalue())
    for name in ("old.dcm", "IM0001"):
        assert close(read_image(tmp_path / name).gray, TURNED / 79 * 255)


FRONTAL = {
    **{view: {"ViewPosition": view} for view in ("PA", "AP", "LLD", "")},
    "decubitus": coded("left lateral decubitus"),
    "both": {"SeriesDescription": "Chest PA + LAT"},  # of a series with two radiographs: not known
    "position first": {"ViewPosition": "PA", "SeriesDescription": "Chest LAT"},
    "other words": {"SeriesDescription": "lateralized latex plate"},
    "no modality": {"Modality": ""},
}


@pytest.mark.parametrize("name", FRONTAL)
def test_frontal_views_are_read(name):
    elements = {"PatientOrientation": ["L", "F"], **FRONTAL[name]}
    assert shown(made(RAMP.astype(np.uint16), **elements)).shape == RAMP.shape


def test_several_frames_color_and_no_image_are_refused():
    frames = made(np.stack([RAMP] * 2).astype(np.uint16), Rows=80, Columns=96, NumberOfFrames=2)
    color = made(np.stack([RAMP, RAMP, RAMP // 2], axis=-1).astype(np.uint8), 8)
    color.SamplesPerPixel, color.PlanarConfiguration = 3, 0
    color.PhotometricInterpretation = "RGB"
    palette = made(RAMP.astype(np.uint16), PhotometricInterpretation="PALETTE COLOR")
    report = made(RAMP.astype(np.uint16), Modality="SR")
    del report.PixelData
    for dataset, reason in (
        (frames, "2 frames"),
        (color, "in color"),
        (palette, "PALETTE"),
        (report, "modality SR"),
    ):
        with pytest.raises(dicom.DicomError, match=reason):
            shown(dataset)


def test_damaged_files_are_refused_in_one_line(tmp_path):
    whole = encoded(made((TURNED * 40).astype(np.uint16)))
    for size in (0, 10, 140, 300, 500, len(whole) // 2, len(whole) - 2):
        path = tmp_path / f"{size}.dcm"
        path.write_bytes(whole[:size])
        with pytest.raises(ReadingError) as caught:
            read_image(path)
        assert str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "text.dcm").write_bytes(b"no image at all " * 30)
    with pytest.raises(ReadingError):
        read_image(tmp_path / "text.dcm")


def test_a_dicom_file_is_known_by_its_contents(tmp_path):
    path = tmp_path / "IM0001"
    path.write_bytes(encoded(made((TURNED * 40).astype(np.uint16), BodyPartExamined="HAND")))
    found = read_image(path)
    assert close(found.gray, TURNED / 79 * 255)
    assert "BodyPartExamined is HAND" in found.notes
