"""Radiographs keep their depth, size and header; what the network did not see stays as it was."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from test_dicom import encoded, made, packed
from wide_pictures import wide_png

from covidjax.images import full_depth
from covidjax.images.reading import ReadingError

RAMP = np.tile(np.arange(96), (40, 1))


def there_and_back(path, change=lambda gray: gray):
    """The read, and the file that is written of its changed values."""
    read = full_depth.read_radiograph(path)
    out = path.with_name(f"out{read.suffix}")
    full_depth.write_radiograph(
        out, read, change(read.gray).astype(np.float32), "denoised for a test"
    )
    return read, out


def levels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_pictures_keep_their_depth_and_every_level(tmp_path, suffix, top):
    kind = np.uint8 if top == 255 else np.uint16
    values = np.rint(RAMP / 95 * top).astype(kind)
    Image.fromarray(values).save(tmp_path / f"film{suffix}")
    read, out = there_and_back(tmp_path / f"film{suffix}")
    assert read.gray.dtype == np.float32 and read.gray.min() == 0 and read.gray.max() == 1
    assert read.bits == (8 if top == 255 else 16)
    assert levels(out).dtype == kind
    np.testing.assert_array_equal(levels(out), values)


def test_a_jpeg_becomes_a_png_and_denoised_values_are_clipped_to_the_scale(tmp_path):
    Image.fromarray((RAMP * 2).astype(np.uint8)).save(tmp_path / "read.jpeg")
    read, out = there_and_back(tmp_path / "read.jpeg", lambda gray: gray + 0.5)
    assert out.suffix == ".png" and levels(out).max() == 255
    with Image.open(out) as image:
        assert image.info["Comment"] == "denoised for a test"


@pytest.mark.parametrize("kind", ["u2", "i2", "u1"])
def test_dicom_keeps_its_values_header_and_gets_a_uid_of_its_own(tmp_path, kind):
    values = (RAMP * 2 - (1000 if kind == "i2" else 0)).astype(kind)
    dataset = made(values, 8 if kind == "u1" else 16 if kind == "i2" else 12)
    dataset.PatientName, dataset.WindowCenter, dataset.WindowWidth = "Test^Person", 50, 101
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -7
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    (tmp_path / "read.dcm").write_bytes(encoded(dataset))
    _, out = there_and_back(tmp_path / "read.dcm")
    found = pydicom.dcmread(out)
    np.testing.assert_array_equal(found.pixel_array, values)
    assert found.pixel_array.dtype == values.dtype
    assert found.PatientName == "Test^Person" and found.WindowWidth == 101
    assert (found.RescaleSlope, found.RescaleIntercept) == (2, -7)
    assert list(found.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID != "1.2.3.4"
    assert found.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    assert found.DerivationDescription == "denoised for a test"


def test_monochrome1_and_falling_rescale_are_shown_air_black(tmp_path):
    values = (RAMP * 10).astype(np.uint16)
    darker = {"MONOCHROME1": True, "slope": True, "both": False, "neither": False}
    for name, inverted in darker.items():
        dataset = made(values, 12)
        if name in ("MONOCHROME1", "both"):
            dataset.PhotometricInterpretation = "MONOCHROME1"
        if name in ("slope", "both"):
            dataset.RescaleSlope, dataset.RescaleIntercept = -1, 4095
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(encoded(dataset))
        read, out = there_and_back(path, lambda gray: gray * 0.9)
        assert (read.gray[0, 0] > read.gray[0, -1]) == inverted
        found = pydicom.dcmread(out)
        assert found.PhotometricInterpretation == dataset.PhotometricInterpretation
        # 10 % darker on the screen: larger values where large ones are dark.
        change = found.pixel_array.astype(int) - values
        assert change.mean() > 20 if inverted else change.mean() < -20


def test_padding_and_values_beyond_the_percentiles_stay(tmp_path):
    values = (RAMP * 10 + 100).astype(np.uint16)
    values[:, :10] = 4000
    values[20, 50] = 3500  # one burned-in pixel
    dataset = made(values, 12, PixelPaddingValue=4000)
    (tmp_path / "read.dcm").write_bytes(encoded(dataset))
    read, out = there_and_back(tmp_path / "read.dcm")
    np.testing.assert_allclose(read.gray[:, :10], 0)
    assert read.gray[:, -1].min() > 0.99  # the burned-in pixel has not pressed all else down
    np.testing.assert_array_equal(pydicom.dcmread(out).pixel_array, values)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_dicom_is_written_uncompressed(tmp_path, syntax):
    values = (RAMP * 40).astype(np.uint16)
    dataset = made(values)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    else:
        file = io.BytesIO()
        Image.fromarray(values).save(file, "JPEG2000", irreversible=False, no_jp2=True)
        dataset.PixelData = pydicom.encaps.encapsulate([file.getvalue()])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    (tmp_path / "film").write_bytes(encoded(dataset))
    _, out = there_and_back(tmp_path / "film")
    found = pydicom.dcmread(out)
    assert not found.file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(found.pixel_array, values)


def test_odd_8_bit_pixels_are_padded_to_even_length(tmp_path):
    values = RAMP[:33, :31].astype(np.uint8)
    (tmp_path / "read.dcm").write_bytes(
        encoded(made(values, 8, PixelData=values.tobytes() + b"\0"))
    )
    _, out = there_and_back(tmp_path / "read.dcm")
    np.testing.assert_array_equal(pydicom.dcmread(out).pixel_array, values)


def test_what_is_no_gray_film_is_refused_in_one_line(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "color.png")
    Image.fromarray(RAMP[:8].astype(np.uint8)).save(tmp_path / "small.png")
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "ct.dcm").write_bytes(encoded(made(RAMP.astype(np.uint16), Modality="CT")))
    wanted = {
        "color.png": "color picture",
        "small.png": "too small: 96 x 8",
        "text.txt": "not an image",
        "ct.dcm": "modality CT",
        "none.png": "cannot be opened",
    }
    for name, message in wanted.items():
        with pytest.raises(ReadingError, match=message) as caught:
            full_depth.read_radiograph(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_lateral_film_is_denoised_too(tmp_path):
    lateral = made((RAMP * 10).astype(np.uint16), 12, ViewPosition="LL")
    (tmp_path / "read.dcm").write_bytes(encoded(lateral))
    assert full_depth.read_radiograph(tmp_path / "read.dcm").gray.shape == RAMP.shape


def test_a_big_endian_file_is_written_little_endian_its_tables_too(tmp_path):
    values = np.tile(np.arange(96) * 40, (80, 1))
    dataset = packed(ExplicitVRBigEndian)
    entries = np.arange(4096, dtype=">u2")
    item = pydicom.Dataset()
    item.add_new(0x00283002, "US", [4096, 0, 12])
    item.add_new(0x00283006, "OW", entries.tobytes())
    dataset.VOILUTSequence = [item]
    (tmp_path / "read.dcm").write_bytes(encoded(dataset))
    _, out = there_and_back(tmp_path / "read.dcm")
    found = pydicom.dcmread(out)
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    np.testing.assert_array_equal(found.pixel_array, values)
    written = np.frombuffer(found.VOILUTSequence[0].LUTData, "<u2")
    np.testing.assert_array_equal(written, np.arange(4096))


def test_values_high_in_their_cells_move_down_and_overlays_among_them_go(tmp_path):
    values = (RAMP * 40).astype(np.uint16)
    dataset = made(values << 4, 12, HighBit=15)
    dataset.PixelData = ((values << 4) | 1).tobytes()
    for element, vr, value in ((0x60000100, "US", 1), (0x60000102, "US", 0)):
        dataset.add_new(element, vr, value)
    dataset[0x60000102].value = 1
    (tmp_path / "read.dcm").write_bytes(encoded(dataset))
    read, out = there_and_back(tmp_path / "read.dcm")
    found = pydicom.dcmread(out)
    np.testing.assert_array_equal(found.pixel_array, values)
    assert found.HighBit == 11 and (0x6000, 0x0102) not in found
    assert any("overlay" in note for note in read.notes)


def test_three_equal_channels_are_written_as_one(tmp_path):
    values = np.repeat((RAMP * 2).astype(np.uint8)[..., None], 3, axis=-1)
    dataset = made(values, 8, PhotometricInterpretation="RGB")
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    (tmp_path / "read.dcm").write_bytes(encoded(dataset))
    _, out = there_and_back(tmp_path / "read.dcm")
    found = pydicom.dcmread(out)
    assert (found.SamplesPerPixel, found.PhotometricInterpretation) == (1, "MONOCHROME2")
    np.testing.assert_array_equal(found.pixel_array, values[..., 0])


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("top", [4095, 65535])
def test_sixteen_bit_color_and_alpha_keep_every_gray_level(tmp_path, channels, top):
    values = np.rint(RAMP / 95 * top).astype(np.uint16)
    (tmp_path / "read.png").write_bytes(wide_png(values, channels))
    read, out = there_and_back(tmp_path / "read.png")
    assert read.bits == 16
    np.testing.assert_array_equal(levels(out), values)


def test_a_turned_16_bit_picture_is_written_upright(tmp_path):
    values = (RAMP * 600).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "read.png", exif=exif)
    _, out = there_and_back(tmp_path / "read.png")
    np.testing.assert_array_equal(levels(out), np.rot90(values, -1))


PADDINGS = [
    ("u2", "SS", -2000, 0xF830, 11),
    ("u2", "US", 65535, 0xFFFF, 11),
    ("u2", "US", 65535, 0xFFFF, 15),
    ("i2", "SS", -32768, 0x8000, 11),
]


@pytest.mark.parametrize(("kind", "vr", "value", "cell", "high"), PADDINGS)
def test_padding_that_no_value_says_is_padding_in_what_is_written(
    tmp_path, kind, vr, value, cell, high
):
    cells = (RAMP * 20 << (high - 11)).astype(np.uint16)
    cells[:, :10] = cell
    dataset = made(cells.view(kind), 12, HighBit=high)
    dataset.add_new(0x00280120, vr, value)
    (tmp_path / "read.dcm").write_bytes(encoded(dataset))
    read, out = there_and_back(tmp_path / "read.dcm", lambda gray: gray * 0.9)
    again = full_depth.read_radiograph(out)
    np.testing.assert_allclose(again.gray[:, :10], 0)
    written = np.frombuffer(pydicom.dcmread(out).PixelData, "<u2").reshape(cells.shape)
    assert (written[:, :10] == cell).all() and (written[:, 10:] < 4096).all()
    assert read.gray[:, 20:].min() > 0.1


def test_ends_of_the_values_with_the_other_sign_and_files_without_a_class_are_written(tmp_path):
    dataset = made((RAMP * 20 - 900).astype(np.int16), 12)
    dataset.add_new(0x00280106, "US", 0)
    dataset.add_new(0x00280107, "US", 4095)
    data = encoded(dataset)
    bare = pydicom.dcmread(io.BytesIO(data))
    del bare.SOPClassUID
    bare.file_meta.MediaStorageSOPClassUID = ""
    file = io.BytesIO()
    bare.save_as(file)
    for content in (data, file.getvalue()):
        (tmp_path / "read.dcm").write_bytes(content)
        _, out = there_and_back(tmp_path / "read.dcm")
        found = pydicom.dcmread(out)
        assert (found.SmallestImagePixelValue, found.LargestImagePixelValue) == (-900, 1000)
        assert found.SOPClassUID == found.file_meta.MediaStorageSOPClassUID != ""


def test_a_name_as_long_as_a_file_system_allows_is_written(tmp_path):
    path = tmp_path / f"{'x' * 251}.png"
    Image.fromarray((RAMP * 2).astype(np.uint8)).save(path)
    read = full_depth.read_radiograph(path)
    (tmp_path / "out").mkdir()
    full_depth.write_radiograph(tmp_path / "out" / path.name, read, read.gray, "test")
    assert [file.name for file in (tmp_path / "out").iterdir()] == [path.name]
