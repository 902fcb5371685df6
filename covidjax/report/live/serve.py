"""A page on this machine alone that lists runs and draws the curves of those in progress.

It listens on 127.0.0.1, answers GET only, and reads: nothing that lies in a run is executed or
unpickled, and nothing outside of the runs' folders is given out, through links neither.
"""

import errno
import http.server
import json
import mimetypes
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from covidjax.report import collect
from covidjax.report.live import watch
from covidjax.runs.folder import Run, look

HOST = "127.0.0.1"
OWN = {"/": "live.html", "/live.js": "live.js", "/live.css": "live.css"}
# What is shown of a run's files; all else is refused.
SHOWN = (".png", ".svg", ".html", ".json", ".jsonl", ".csv", ".md", ".tex")
AS_TEXT = (".jsonl", ".md", ".tex", ".csv")
# The page's own scripts alone; a run's pages get none of this page's rights.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' "
    "data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILE_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src 'self' data:"
)


class Server(http.server.ThreadingHTTPServer):
    """The server, and which runs it may show."""

    daemon_threads = True

    def __init__(self, patterns: Sequence[str], port: int) -> None:
        self.patterns = tuple(patterns)
        super().__init__((HOST, port), Handler)

    def runs(self) -> list[Run]:
        """The runs as they are now: new ones appear without a new start."""
        return collect.collect(self.patterns)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    timeout = 30
    server_version = "covidjax"
    sys_version = ""

    def do_GET(self) -> None:
        """A page, a list, figures of a run, or one of its files."""
        if not self._from_here():
            return self._refuse(403, "this page is for this machine alone")
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        try:
            if address.path in OWN:
                name = OWN[address.path]
                data = resources.files("covidjax.report.live").joinpath(name).read_bytes()
                self._send(data, mimetypes.guess_type(name)[0] or "text/plain", POLICY)
            elif address.path == "/runs.json":
                self._json(watch.listing(self.server.runs(), self.server.patterns))
            elif address.path == "/metrics.json":
                self._metrics(query)
            elif address.path.startswith("/files/"):
                self._file(address.path)
            else:
                self._refuse(404, "there is no such page")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the reader went away

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silent: the terminal is for the address."""

    def _from_here(self) -> bool:
        """Whether the address that was asked for is this machine's: no other site's name for it."""
        name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        return name in (HOST, "localhost")

    def _run(self, name: str) -> Run | None:
        found, missing = collect.find(self.server.patterns)  # the others stay unread
        if name in found:
            return look(found[name], name)
        return next((run for run in missing if run.name == name), None)

    def _metrics(self, query: dict[str, str]) -> None:
        run = self._run(query.get("run", ""))
        offset = query.get("from", "0")
        if run is None:
            return self._refuse(404, "there is no such run")
        if not (offset.isascii() and offset.isdigit() and len(offset) < 16):
            return self._refuse(400, "from must be a number")
        self._json(watch.metrics(run, int(offset)))

    def _file(self, address: str) -> None:
        """A file below a run's folder; its name is looked up among the runs, not put together."""
        _, _, name, *parts = address.split("/")
        run = self._run(unquote(name))
        if run is None:
            return self._refuse(404, "there is no such run")
        path = below(run.folder, [unquote(part) for part in parts])
        if path is None:
            return self._refuse(403, "this is not shown")
        kind = mimetypes.guess_type(path.name)[0] or "text/plain"
        if path.suffix in AS_TEXT:
            kind = "text/plain; charset=utf-8"
        try:
            data = path.read_bytes()
        except OSError:
            return self._refuse(404, "there is no such file")
        self._send(data, kind, FILE_POLICY)

    def _json(self, value: Any) -> None:
        data = json.dumps(value, allow_nan=False).encode()
        self._send(data, "application/json", "default-src 'none'")

    def _refuse(self, status: int, why: str) -> None:
        self._send(f"{why}\n".encode(), "text/plain; charset=utf-8", "default-src 'none'", status)

    def _send(self, data: bytes, kind: str, policy: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)


def below(folder: Path, parts: Sequence[str]) -> Path | None:
    """A file of the folder that may be shown; None for one outside, hidden, or of another kind."""
    if not parts or any(part in ("", "..") or part.startswith(".") for part in parts):
        return None
    if any("/" in part or "\\" in part or "\0" in part for part in parts):
        return None
    root = folder.resolve()
    try:
        path = root.joinpath(*parts).resolve()
    except (OSError, RuntimeError):  # a link to itself
        return None
    inside = path.is_relative_to(root) and path.suffix.lower() in SHOWN
    return path if inside else None


def open_server(patterns: Sequence[str], port: int) -> Server:
    """A server that is bound and not yet answering.

    Raises:
      ValueError: the port is used, or not for us; one line that says what to do.
    """
    try:
        return Server(patterns, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"config.port={port} is in use, by another such page perhaps; give another, or "
                "--config.port=0 for any that is free"
            ) from error
        raise ValueError(f"config.port={port} cannot be had: {error.strerror}") from error


def serve(patterns: Sequence[str], port: int) -> None:
    """Answers until it is interrupted. Raises ValueError as `open_server`."""
    with open_server(patterns, port) as server:
        print(f"Open http://{HOST}:{server.server_port}/ on this machine; Ctrl-C ends it.")
        print(f"Runs: {', '.join(patterns)}", flush=True)
        server.serve_forever(poll_interval=0.2)
