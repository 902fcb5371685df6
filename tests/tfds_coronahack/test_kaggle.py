"""Downloads from a stand-in for Kaggle's server on this machine; nothing leaves it."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from coronahack_archives import archive_files, write_zip

from tfds_coronahack.kaggle import DownloadError, download


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "no_account"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


class Kaggle(BaseHTTPRequestHandler):
    """Serves one archive; `breaks` connections end half-way, `status` refuses all."""

    archive = b""
    breaks = 0
    status = 200
    ranges: list[str | None] = []

    def do_POST(self) -> None:  # noqa: N802 - the name http.server calls
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.status != 200:
            self.send_response(self.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.endswith("/GetDataset"):
            body = json.dumps({"currentVersionNumber": 3}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_response(302)
            self.send_header("Location", "http://localhost/archive.zip")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self) -> None:  # noqa: N802
        kaggle = type(self)
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        body = self.archive[start:]
        digest = base64.b64encode(hashlib.md5(self.archive).digest()).decode()
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("x-goog-hash", f"md5={digest}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if asked:
            kaggle.ranges.append(asked)
        if kaggle.breaks and len(body) == len(self.archive):
            kaggle.breaks -= 1
            body = body[: len(body) // 2]
        try:
            self.wfile.write(body)
        except ConnectionError:  # the resuming client asks anew and drops its first answer
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Kaggle]]:
    path = write_zip(tmp_path / "served.zip", archive_files(changes={"pad.bin": bytes(3_000_000)}))

    class Server(Kaggle):
        archive = path.read_bytes()
        ranges: list[str | None] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # kagglehub then asks http://localhost, and the proxy for that is the stand-in, on a free port.
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield Server
    server.shutdown()
    server.server_close()


def test_archive_is_downloaded_unpacked_and_not_asked_for_again(kaggle, tmp_path: Path):
    folder = download(tmp_path / "d", progress=False)
    assert (folder / "Chest_xray_Corona_Metadata.csv").is_file()
    assert (tmp_path / "d") in folder.parents
    kaggle.status = 500
    assert download(tmp_path / "d", progress=False) == folder


def test_download_that_broke_off_goes_on_where_it_ended(kaggle, tmp_path: Path):
    kaggle.breaks = 1
    with pytest.raises(DownloadError, match="run it again"):
        download(tmp_path / "d", progress=False)
    folder = download(tmp_path / "d", progress=False)
    assert (folder / "pad.bin").stat().st_size == 3_000_000
    assert [int(r[6:-1]) > 1_000_000 for r in kaggle.ranges] == [True]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusal_gives_the_key_file_instructions(kaggle, tmp_path: Path, status: int):
    kaggle.status = status
    with pytest.raises(DownloadError, match="kaggle.json") as caught:
        download(tmp_path / "d", progress=False)
    assert str(status) in str(caught.value).splitlines()[0]
    assert len(str(caught.value).splitlines()) <= 6


def test_without_a_network_the_instructions_come_at_once(tmp_path: Path, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    start = time.monotonic()
    with pytest.raises(DownloadError, match="cannot be reached") as caught:
        download(tmp_path / "d", progress=False)
    assert time.monotonic() - start < 20
    assert "kaggle.json" in str(caught.value)
    assert "KAGGLE_API_TOKEN" in str(caught.value)
