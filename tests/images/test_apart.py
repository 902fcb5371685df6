"""A decoder that ends its process ends one file, and not the batch."""

import io

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless
from test_dicom import RAMP, encoded, packed

from covidjax.images import apart

pytest.importorskip("gdcm")


@pytest.fixture(autouse=True)
def ended():
    yield
    apart.decode.end()


def test_pixels_come_back_and_the_process_stays() -> None:
    data = encoded(packed(JPEGLSLossless))
    assert np.array_equal(apart.decode(data), RAMP * 40)
    process = apart.decode.process
    assert np.array_equal(apart.decode(data), RAMP * 40)
    assert apart.decode.process is process


def test_what_cannot_be_decoded_is_said_and_the_next_file_is_read() -> None:
    with pytest.raises(apart.ApartError, match="InvalidDicomError"):
        apart.decode(b"no DICOM file")
    assert np.array_equal(apart.decode(encoded(packed(JPEGLSLossless))), RAMP * 40)


def test_a_process_that_is_gone_is_one_files_error_and_starts_again() -> None:
    data = encoded(packed(JPEGLSLossless))
    apart.decode(data)
    assert apart.decode.process
    apart.decode.process.kill()
    apart.decode.process.wait()
    with pytest.raises(apart.ApartError):
        apart.decode(data)
    assert np.array_equal(apart.decode(data), RAMP * 40)


def test_a_decoder_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "SECONDS", 0.001)
    with pytest.raises(apart.ApartError, match="not done after 0 seconds"):
        apart.decode(encoded(packed(JPEGLSLossless)))
    assert apart.decode.process is None


def test_the_other_side_answers_until_nobody_asks() -> None:
    target = io.BytesIO()
    apart.main(io.BytesIO((4).to_bytes(8, "big") + b"xxxx" + b"cut"), target)
    size = int.from_bytes(target.getvalue()[:8], "big")
    answer = target.getvalue()[8:]
    assert len(answer) == size and answer.startswith(b"EInvalidDicomError")
