"""Spoiled files: a line each, no traceback, no hang, bounded memory.

Mutations with a fixed seed of files of every kind that is read: bytes changed, cut, repeated,
swapped between files, and the elements of DICOM headers set to values that nobody should write.
"""

import io
import resource
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.datadict import dictionary_VR
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from test_dicom import encoded, made, packed
from wide_pictures import wide_png

import tfds_coronahack
from covidjax.images import full_depth, reading
from tfds_coronahack.archive import METADATA, ArchiveError, EntryError, open_archive
from tfds_coronahack.phantom import write_archive

pytestmark = pytest.mark.slow
FILES, ARCHIVES = 2000, 1000
MOST_SECONDS = 20.0  # of one file, on a busy machine
MOST_BYTES = 2 * 2**30
Y, X = np.mgrid[:96, :120]
GRAY = (Y * 1.4 + 130 - np.abs(X - 58) * 2.3).clip(0, 255).astype(np.uint8)
# Element -> values that stand in it where a writer is broken or hostile.
HEADER: dict[str, list[Any]] = {
    "Rows": [0, 1, 65535, 95],
    "Columns": [0, 1, 65535],
    "BitsAllocated": [0, 1, 8, 12, 32, 64],
    "BitsStored": [0, 1, 7, 16, 40],
    "HighBit": [0, 15, 31],
    "PixelRepresentation": [1, 2],
    "SamplesPerPixel": [0, 2, 3, 4],
    "PhotometricInterpretation": ["", "RGB", "PALETTE COLOR", "YBR_FULL_422", "monochrome2", "X"],
    "NumberOfFrames": ["0", "2", "99999999"],
    "PlanarConfiguration": [1, 2],
    "RescaleSlope": ["", "0", "-1", "1e300", "inf"],
    "RescaleIntercept": ["", "1e300", "-1000"],
    "WindowWidth": ["", "0", "-5", "1e-300", "1e300", ["1", "2"]],
    "WindowCenter": ["", "1e300", "-1e300"],
    "VOILUTFunction": ["SIGMOID", "LINEAR_EXACT", "?"],
    "PixelPaddingValue": [0, 65535],
    "PatientOrientation": [["A", "F"], ["", ""], ["L"]],
    "PixelAspectRatio": [["1", "0"], ["1"]],
}


def saved(picture: np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def tiff(picture: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, picture, **options)
    return file.getvalue()


def seeds() -> dict[str, list[bytes]]:
    """Good files of each suffix."""
    wide = GRAY.astype(np.uint16) * 257
    color = np.stack([GRAY] * 3, axis=-1)
    table = pydicom.Dataset()
    table.add_new(0x00283002, "US", [4096, 0, 8])
    table.add_new(0x00283006, "OW", bytes(4096))
    syntaxes = (
        *(ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless),
        *(JPEGLosslessSV1, JPEGLSLossless),
    )
    return {
        ".dcm": [
            encoded(made(GRAY.astype(np.uint16) * 16, 12, WindowCenter=2000, WindowWidth=4000)),
            encoded(made(GRAY, 8, VOILUTSequence=[table])),
            encoded(packed(JPEGBaseline8Bit, 8)),
            *(encoded(packed(syntax)) for syntax in syntaxes),
        ],
        ".png": [
            saved(GRAY, "PNG"),
            saved(color, "PNG"),
            wide_png(wide, 1),
            wide_png(wide, 2),
            wide_png(wide, 4, exif=b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0"),
        ],
        ".jpg": [
            saved(GRAY, "JPEG"),
            saved(color, "JPEG", progressive=True),
            saved(color, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
        ],
        ".tif": [
            tiff(GRAY),
            tiff(wide, compression="zlib"),
            tiff(np.stack([wide] * 3, axis=-1), photometric="rgb"),
            saved(GRAY, "TIFF", compression="tiff_lzw"),
            saved(color, "TIFF", save_all=True, append_images=[Image.fromarray(GRAY[::4, ::4])]),
        ],
    }


def spoiled(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """One to eight changes of one kind."""
    changed = bytearray(data)
    kind = rng.integers(6)
    for _ in range(rng.integers(1, 9)):
        if not changed:
            break
        place = int(rng.integers(len(changed)))
        early = int(rng.integers(min(len(changed), 400)))  # headers are where it hurts
        length = int(rng.integers(1, 64))
        if kind == 0:
            changed[early if rng.random() < 0.7 else place] = rng.integers(256)
        elif kind == 1:
            changed[early : early + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff"])
        elif kind == 2:
            del changed[place:]
        elif kind == 3:
            changed[place:place] = changed[early : early + length]
        elif kind == 4:
            other = others[rng.integers(len(others))]
            changed[place : place + length] = other[place : place + length]
        else:
            changed[early] ^= 1 << rng.integers(8)
    return bytes(changed)


def odd_header(data: bytes, rng: np.random.Generator) -> bytes:
    """A DICOM file some of whose elements have values of HEADER, or are gone."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    for name in rng.choice(list(HEADER), rng.integers(1, 5), replace=False):
        if rng.random() < 0.2 and name in dataset:
            delattr(dataset, name)
        else:
            value = HEADER[name][rng.integers(len(HEADER[name]))]
            vr = "US" if name == "PixelPaddingValue" else dictionary_VR(name)
            dataset.add_new(name, vr, value)
    return encoded(dataset)


def with_checksums(png: bytes) -> bytes:
    """With right checksums, so that what was changed reaches the decoders."""
    whole, place = bytearray(png), 8
    while place + 12 <= len(whole):
        size = int.from_bytes(whole[place : place + 4], "big")
        end = place + 8 + size
        if end + 4 > len(whole):
            break
        whole[end : end + 4] = zlib.crc32(whole[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(whole)


def cases(suffix: str, count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(sum(suffix.encode()))
    files = seeds()
    everything = [data for some in files.values() for data in some]
    for _ in range(count):
        data = files[suffix][rng.integers(len(files[suffix]))]
        if suffix == ".dcm" and rng.random() < 0.5:
            data = odd_header(data, rng)
        if suffix != ".dcm" or rng.random() < 0.5:
            data = spoiled(data, everything, rng)
        if suffix == ".png" and rng.random() < 0.7:
            data = with_checksums(data)
        yield data


def peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".dcm", ".png", ".jpg", ".tif"])
def test_a_spoiled_file_is_read_or_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    readers: tuple[Callable[[Path], Any], ...] = (reading.read_image, full_depth.read_radiograph)
    outcomes = {"read": 0, "refused": 0}
    for number, data in enumerate(cases(suffix, FILES // 4)):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(data)
        began = time.monotonic()
        for read in readers:
            try:
                gray = read(path).gray
                assert gray.ndim == 2 and np.isfinite(gray).all()
                outcomes["read"] += 1
            except reading.ReadingError as error:
                assert str(error) and "\n" not in str(error) and len(str(error)) < 500
                outcomes["refused"] += 1
        assert time.monotonic() - began < MOST_SECONDS, path
        path.unlink()
    assert min(outcomes.values()) > 0, outcomes
    assert peak_bytes() < MOST_BYTES


@pytest.mark.filterwarnings("ignore")
def test_a_spoiled_archive_is_built_or_refused_in_one_message(tmp_path: Path) -> None:
    whole = write_archive(tmp_path / "whole.zip", images=12, seed=0, size=64)
    variants = []
    for compression in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
        zipfile.ZIP_BZIP2,
        zipfile.ZIP_LZMA,
    ):
        file = io.BytesIO()
        with zipfile.ZipFile(whole) as before, zipfile.ZipFile(file, "w", compression) as after:
            for name in before.namelist():
                after.writestr(name, before.read(name))
        variants.append(file.getvalue())
    rng = np.random.default_rng(1)
    outcomes = {"read": 0, "refused": 0}
    for number in range(ARCHIVES):
        path = tmp_path / f"{number}.zip"
        data = variants[number % 4]
        if number % 2:  # the directory, at the end, is where it hurts
            cut = len(data) * 3 // 4
            path.write_bytes(data[:cut] + spoiled(data[cut:], variants, rng))
        else:
            path.write_bytes(spoiled(data, variants, rng))
        began = time.monotonic()
        try:
            with open_archive(path) as archive:
                for entry in (archive.metadata, *archive.images.values()):
                    try:
                        archive.read(entry)
                    except EntryError as error:
                        assert "\n" not in str(error)
            outcomes["read"] += 1
        except ArchiveError as error:
            assert str(error)
            outcomes["refused"] += 1
        if number % 20 == 0:  # a whole build takes a second
            try:
                tfds_coronahack.prepare(path, tmp_path / f"data{number}", progress=False)
            except ArchiveError as error:
                assert str(error)
        assert time.monotonic() - began < 3 * MOST_SECONDS, number
        path.unlink()
    assert min(outcomes.values()) > ARCHIVES // 20, outcomes
    assert METADATA and peak_bytes() < MOST_BYTES
