"""Connections between the processes of one run: small values pass, and whoever is lost is named.

Plain TCP, one JSON object a line. JAX's own failure handling ends a process with a stack trace that
does not say which other one is missing. Here each process says every second or so that it lives;
whoever is killed, stands still, or ends with an error is named by all the others.
"""

import contextlib
import dataclasses
import json
import os
import queue
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

LOST = 75  # exit status where another process is lost: EX_TEMPFAIL of sysexits.h, "try again"
FAREWELL_SECONDS = 2.0  # for the others to read why this process ends
LONGEST_LINE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Place:
    """Which process of how many this is.

    Attributes:
      address: HOST:PORT of process 0, the coordinator.
      processes: how many.
      process: number of this one.
      found_by: "flags", or the cluster that JAX recognised.
    """

    address: str
    processes: int
    process: int
    found_by: str = "flags"


class Link:
    """A connection to another process: whole lines out, whole lines in."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(5.0)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.rest, self.closed = connection, b"", False
        self.lock = threading.Lock()

    def fileno(self) -> int:
        """For `select`."""
        return self.socket.fileno()

    def send(self, **message: Any) -> None:
        """Sends one line; where that fails, reading will tell."""
        with contextlib.suppress(OSError), self.lock:
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]]:
        """What has come; call it when `select` says so. Sets `closed` at the end of the stream.

        Raises:
          ValueError: something else than our lines.
        """
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            data = b""
        self.closed = not data
        *lines, self.rest = (self.rest + data).split(b"\n")
        found = [json.loads(line) for line in lines]
        if len(self.rest) > LONGEST_LINE or not all(isinstance(part, dict) for part in found):
            raise ValueError("no message of ours")
        return found


def drain(links: list[Link]) -> None:
    """Lets the others read what was sent: an end with something unread would throw that away."""
    deadline = time.monotonic() + FAREWELL_SECONDS
    for link in links:
        with contextlib.suppress(OSError):
            link.socket.shutdown(socket.SHUT_WR)
    while (left := deadline - time.monotonic()) > 0:
        links = [link for link in links if not link.closed]
        if not links:
            return
        for link in select.select(links, [], [], left)[0]:
            with contextlib.suppress(ValueError):
                link.receive()


def say(text: str) -> None:
    """One line on stderr; where that is a file on a full disk, nothing: the end must not wait."""
    with contextlib.suppress(OSError, ValueError):
        print(f"launch.py: {text}", file=sys.stderr, flush=True)


class Channel:
    """The open connections of a run: of the coordinator to all, of the others to the coordinator.

    Attributes:
      place: of this process.
      names: what to call each process in messages.
      word: the coordinator's.
      timeout: seconds until a silent process counts as lost.
      advice: ends the message where one is lost; says how to go on.
    """

    def __init__(
        self,
        place: Place,
        links: dict[int, Link],
        names: dict[int, str],
        word: str,
        timeout: float,
    ) -> None:
        self.place, self.links, self.names = place, links, names
        self.word, self.timeout, self.advice = word, timeout, ""
        self.done: set[int] = set()
        self.shared: queue.Queue[Any] = queue.Queue()
        self.here: queue.Queue[int] = queue.Queue()
        self.over = threading.Event()
        self.ending = threading.Lock()
        self.exit: Callable[[int], Any] = os._exit  # not sys.exit: the main thread may be stuck

    def watch(self) -> None:
        """From now on the loss of another process ends this one, with a message."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _watch(self) -> None:
        tick = min(1.0, self.timeout / 10)
        # Ticks, not seconds: where all processes were suspended together, nobody is late.
        silent = dict.fromkeys(self.links, 0)
        last = time.monotonic()
        while not self.over.is_set():
            present = [link for link in self.links.values() if not link.closed]
            ready = select.select(present, [], [], tick)[0]
            for number, link in self.links.items():
                if link in ready:
                    silent[number] = 0
                    self._hear(number, link)
            if time.monotonic() - last >= tick:
                last = time.monotonic()
                for number, link in self.links.items():
                    link.send(alive=True)
                    silent[number] += not link.closed
                    if silent[number] * tick > self.timeout:
                        self._lost(f"{self.names[number]} has not answered for {self.timeout:g} s")

    def _hear(self, number: int, link: Link) -> None:
        try:
            messages = link.receive()
        except ValueError:
            messages = []
        for message in messages:
            if "end" in message:
                self._leave(message["end"], message["status"])
            elif "done" in message:
                self.done.add(number)
            elif "here" in message:
                self.here.put(number)
            elif "shared" in message:
                self.shared.put(message["shared"])
            elif "over" in message:
                self.over.set()
        if link.closed and not self.over.is_set() and number not in self.done:
            self._lost(f"{self.names[number]} is gone: killed, crashed, or cut off")

    def _lost(self, what: str) -> NoReturn:
        self._leave(f"{what}. {self.advice}".rstrip(), LOST)

    def fail(self, text: str, status: int) -> NoReturn:
        """Ends this process, which has said why, and all others, which say it."""
        own = self.names[self.place.process]
        self._leave(f"{own} ended: {text}", status, quiet=True)

    def _leave(self, text: str, status: int, *, quiet: bool = False) -> NoReturn:
        """Tells the others, says it here, and ends the process whatever its main thread does."""
        self.ending.acquire()  # one thread at most ends the process
        if not quiet:
            with contextlib.suppress(OSError, ValueError):
                print(file=sys.stderr)  # a progress bar may stand in the line
            say(text)
        others = [link for link in self.links.values() if not link.closed]
        for link in others:
            link.send(end=text, status=status)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        drain(others)
        self.exit(status)
        raise SystemExit(status)  # where a test has taken `exit` away

    def share(self, value: Any) -> Any:
        """The coordinator's value, in all processes; all call it in the same order.

        Args:
          value: what JSON can hold; of the other processes it does not matter.
        """
        if self.place.process:
            return self.shared.get()
        for link in self.links.values():
            link.send(shared=value)
        return value

    def sync(self) -> None:
        """Waits until all processes have called it as many times."""
        if self.place.process:
            self.links[0].send(here=True)
            self.share(None)
            return
        for _ in self.links:  # none is here twice before it is let go
            self.here.get()
        self.share(True)

    def wait_for_word(self) -> None:
        """For the main thread when a collective failed: another process is lost, or will be named.

        Returns where that does not happen in time.
        """
        self.over.wait(self.timeout + 5)

    def finish(self) -> None:
        """Waits until all processes have got here; returns in all at once, and stops watching."""
        if self.place.process:
            self.links[0].send(done=True)
            self.over.wait()
            return
        while len(self.done) < len(self.links):
            time.sleep(0.02)
        self.over.set()
        for link in self.links.values():
            link.send(over=True)
