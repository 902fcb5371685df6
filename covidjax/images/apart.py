"""Decodes DICOM pixels in a process of their own, `python -m covidjax.images.apart`.

GDCM, which alone reads some compressions, ends the whole process on some damaged files; so it gets
one to end. The process stays for the files that follow. Each side writes 8 bytes of length, then as
many bytes: a DICOM file one way, an array of NumPy's or a text that says what is wrong the other.
"""

import atexit
import contextlib
import io
import os
import selectors
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

SECONDS = 120.0  # for one file
_ARRAY, _ERROR = b"A", b"E"


class ApartError(ValueError):
    """The file was not decoded; the message says why."""


class _Decoder:
    """The process, started with the first file and again after one that ended it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def __call__(self, data: bytes) -> NDArray[Any]:
        with self.lock:
            try:
                answer = self._ask(data)
            except (OSError, EOFError) as error:
                self.end()
                raise ApartError(str(error) or "its decoder broke off") from error
        kind, rest = answer[:1], answer[1:]
        if kind != _ARRAY:
            raise ApartError(rest.decode(errors="replace"))
        return np.load(io.BytesIO(rest), allow_pickle=False)

    def _ask(self, data: bytes) -> bytes:
        if self.process is None:
            root = str(Path(__file__).parents[2])
            path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
            self.process = subprocess.Popen(
                [sys.executable, "-m", "covidjax.images.apart"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for us
            )
        assert self.process.stdin and self.process.stdout
        _send(self.process.stdin, data)
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            if not waiting.select(SECONDS):
                raise OSError(f"its decoder was not done after {SECONDS:.0f} seconds")
        return _receive(self.process.stdout)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            with contextlib.suppress(BrokenPipeError):
                self.process.communicate()
            self.process = None


decode = _Decoder()
atexit.register(decode.end)


def _send(stream: Any, data: bytes) -> None:
    stream.write(len(data).to_bytes(8, "big"))
    stream.write(data)
    stream.flush()


def _receive(stream: Any) -> bytes:
    size = stream.read(8)
    if len(size) < 8:
        raise EOFError
    data = stream.read(int.from_bytes(size, "big"))
    if len(data) < int.from_bytes(size, "big"):
        raise EOFError
    return data


def _answer(data: bytes) -> bytes:
    try:
        cells = _decoded(data)
        file = io.BytesIO()
        np.save(file, cells, allow_pickle=False)
    except Exception as error:  # whatever it is, the other side says it
        return _ERROR + f"{type(error).__name__}: {error}".encode()
    return _ARRAY + file.getvalue()


def _decoded(data: bytes) -> NDArray[Any]:
    """The cells by pydicom's plugin; by GDCM itself where that refuses, as JPEG of 12 bits."""
    import pydicom
    from pydicom import pixels
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = pydicom.dcmread(io.BytesIO(data))
    # A cell's every bit counts: GDCM would clean some by BitsStored, before we have seen them.
    dataset.BitsStored = dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    try:
        return pixels.pixel_array(dataset, decoding_plugin="gdcm", correct_unused_bits=False)
    except (RuntimeError, NotImplementedError) as refused:
        import gdcm

        with tempfile.TemporaryDirectory() as folder:
            before, after = (str(Path(folder, name)) for name in ("a.dcm", "b.dcm"))
            Path(before).write_bytes(data)
            reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
            reader.SetFileName(before)
            if not reader.Read():
                raise refused
            change.SetTransferSyntax(
                gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian)
            )
            change.SetInput(reader.GetImage())
            if not change.Change():
                raise refused
            writer = gdcm.ImageWriter()
            writer.SetFileName(after)
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            if not writer.Write():
                raise refused
            plain = pydicom.dcmread(after)
            assert plain.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
            return pixels.pixel_array(plain, correct_unused_bits=False)


def main(source: BinaryIO, target: BinaryIO) -> None:
    """Answers until nobody asks any more."""
    with contextlib.suppress(EOFError):
        while True:
            _send(target, _answer(_receive(source)))


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
