"""The processes of one run meet, and hear of each other until it ends.

JAX's own start-up and failure handling end a process with a stack trace that does not say which
other one is missing. So they meet here first: plain TCP at the coordinator's address, one JSON
object a line. The connections stay open beside JAX's (whose service takes the same port over, so
that one port is all a firewall must let through), and each process says every second or so that it
lives. Then whoever is killed, stops, or ends with an error is named by all the others.
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
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

LOST = 75  # exit status where another process is lost: EX_TEMPFAIL of sysexits.h, "try again"
RETRY_SECONDS = 0.2
FAREWELL_SECONDS = 2.0  # for the others to read why this process ends
LONGEST_LINE = 1 << 20


class PeerError(ValueError):
    """The processes of a run did not come together; the message says which, and what to do."""


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


def meet(place: Place, same: Mapping[str, str], word: str, timeout: float) -> "Channel":
    """Waits until all processes of the run are there.

    Args:
      place: of this process.
      same: what must be the same in all processes, by name.
      word: the coordinator's reaches all, as `Channel.word`.
      timeout: seconds to wait for the others, and later until a silent one counts as lost.

    Raises:
      PeerError: one did not come, two have the same number, or they do not run the same.
    """
    host, colon, port = place.address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise PeerError(f"--coordinator={place.address}: write HOST:PORT, as in node0:9876")
    me = {"process": place.process, "host": socket.gethostname(), "pid": os.getpid()}
    hello = {**me, "processes": place.processes, "same": dict(same)}
    if place.process == 0:
        links, names = _gather(place, int(port), hello, timeout)
        for link in links.values():
            link.send(word=word, names=names)
        return Channel(place, links, names, word, timeout)
    link, answer = _join(place, host.strip("[]"), int(port), hello, timeout)
    names = {int(number): name for number, name in answer["names"].items()}
    return Channel(place, {0: link}, names, answer["word"], timeout)


def _gather(
    place: Place, port: int, hello: dict[str, Any], timeout: float
) -> tuple[dict[int, Link], dict[int, str]]:
    """The coordinator's side: the connection to each of the others, and what to call them all."""
    deadline = time.monotonic() + timeout
    links: dict[int, Link] = {}
    names = {0: _name(hello)}
    waiting: list[Link] = []
    with _listen(port) as server:
        while len(links) < place.processes - 1:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _refused([*links.values(), *waiting], _missing(place, names, timeout))
            ready, _, _ = select.select([server, *waiting, *links.values()], [], [], min(left, 1))
            for one in ready:
                if one is server:
                    waiting.append(Link(server.accept()[0]))
                elif one in waiting:
                    try:
                        said = one.receive()
                    except ValueError:
                        said, one.closed = [], True  # nobody of ours
                    if said or one.closed:
                        waiting.remove(one)
                    if said:
                        if reason := _wrong(said[0], hello, names):
                            raise _refused([*links.values(), *waiting, one], reason)
                        number = said[0]["process"]
                        links[number], names[number] = one, _name(said[0])
                else:
                    one.receive()
                    if one.closed:  # it gave up, or was killed: it may come again
                        number = next(i for i, link in links.items() if link is one)
                        del links[number], names[number]
        return links, names


def _listen(port: int) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise PeerError(
            f"process 0 cannot listen at port {port}: {error.strerror or error}; "
            "give --coordinator another port"
        ) from error


def _join(
    place: Place, host: str, port: int, hello: dict[str, Any], timeout: float
) -> tuple[Link, dict[str, Any]]:
    """The others' side: the connection to the coordinator, and its answer."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            link = Link(socket.create_connection((host, port), timeout=min(5, timeout)))
            break
        except OSError as error:
            if time.monotonic() + RETRY_SECONDS > deadline:
                raise PeerError(
                    f"process 0 of {place.processes}, the coordinator at {place.address}, did not "
                    f"come within {timeout:.0f} s ({error.strerror or error}); start it, check "
                    "--coordinator and the firewall, or give a longer --peer_timeout=SECONDS"
                ) from error
            time.sleep(RETRY_SECONDS)
    link.send(**hello)
    deadline = time.monotonic() + timeout + 5  # the coordinator gives up first, and says why
    answer: list[dict[str, Any]] = []
    while not answer and not link.closed and time.monotonic() < deadline:
        if select.select([link], [], [], 1.0)[0]:
            try:
                answer = link.receive()
            except ValueError:
                break
    if not answer:
        raise PeerError(
            f"process 0 at {place.address} is gone, or something else answers there: is an earlier "
            "run still going? Give --coordinator another port"
        )
    if "refused" in answer[0]:
        raise PeerError(answer[0]["refused"])
    return link, answer[0]


def _wrong(said: dict[str, Any], own: dict[str, Any], names: Mapping[int, str]) -> str:
    """Why the run cannot go on with a process that said this; "" where it can."""
    number = said.get("process")
    count = own["processes"]
    if said.get("processes") != count:
        return f"{_name(said)} has --processes={said.get('processes')}, process 0 has {count}"
    if not isinstance(number, int) or not 0 < number < count:
        return f"{_name(said)} has a number that is not from 0 to {count - 1}"
    if number in names:
        return f"two processes have --process={number}: {names[number]} and {_name(said)}"
    theirs, ours = said.get("same", {}), own["same"]
    for what in sorted(theirs.keys() | ours.keys()):
        if theirs.get(what) != ours.get(what):
            return (
                f"{_name(said)} has {what}={theirs.get(what)}, process 0 has {ours.get(what)}: "
                "give all processes the same command, and the same versions"
            )
    return ""


def _missing(place: Place, names: Mapping[int, str], timeout: float) -> str:
    missing = [str(number) for number in range(place.processes) if number not in names]
    shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if missing[8:] else "")
    word = "process" if len(missing) == 1 else "processes"
    return (
        f"{word} {shown} of {place.processes} did not come to {place.address} within "
        f"{timeout:.0f} s; start {'it' if len(missing) == 1 else 'them'}, or give a longer "
        "--peer_timeout=SECONDS"
    )


def _refused(links: list[Link], reason: str) -> PeerError:
    for link in links:
        link.send(refused=reason)
    _drain(links)
    return PeerError(reason)


def _drain(links: list[Link]) -> None:
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


def _name(said: Mapping[str, Any]) -> str:
    return f"process {said.get('process')} (pid {said.get('pid')} on {said.get('host')})"


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
            print(f"launch.py: {text}", file=sys.stderr)
        others = [link for link in self.links.values() if not link.closed]
        for link in others:
            link.send(end=text, status=status)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        _drain(others)
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
