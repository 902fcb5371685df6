"""The processes of one run meet at the coordinator's address, or learn who has not come.

JAX's own start-up ends a process with a stack trace that does not say which other one is missing.
So they meet here first. The connections stay open beside JAX's (`channel.py`), whose service takes
the same port over: one port is all that a firewall must let through.
"""

import os
import select
import socket
import time
from collections.abc import Mapping
from typing import Any

from covidjax.training.channel import Channel, Link, Place, drain

RETRY_SECONDS = 0.2


class PeerError(ValueError):
    """The processes of a run did not come together; the message says which, and what to do."""


def meet(place: Place, same: Mapping[str, str], word: str, timeout: float) -> Channel:
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
            watched: list[Any] = [server, *waiting, *links.values()]
            ready = select.select(watched, [], [], min(left, 1))[0]
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
    drain(links)
    return PeerError(reason)


def _name(said: Mapping[str, Any]) -> str:
    return f"process {said.get('process')} (pid {said.get('pid')} on {said.get('host')})"
