"""Processes that meet, and what is said of those that do not, go, or stand still."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from covidjax.training import distributed
from covidjax.training.channel import LOST, Channel, Place
from covidjax.training.rendezvous import PeerError, meet

SAME = {"config.seed": "0"}


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def all_meet(count: int, timeout: float = 5, **options: dict[int, Any]) -> list[Any]:
    """What each of `count` threads gets: its channel, or the error that `meet` raises."""
    port, found = free_port(), [None] * count
    numbers = options.get("numbers", {})

    def one(index: int) -> None:
        number = numbers.get(index, index)
        place = Place(f"localhost:{port}", options.get("counts", {}).get(index, count), number)
        try:
            same = options.get("same", {}).get(index, SAME)
            found[index] = meet(place, same, f"word of {number}", timeout)
        except PeerError as error:
            found[index] = error

    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout + 15)
    return found


class Ends:
    """In the place of `os._exit`: keeps the status."""

    def __init__(self, channels: list[Channel]) -> None:
        self.status: dict[int, int] = {}
        for number, channel in enumerate(channels):
            channel.exit = lambda status, number=number: self.status.update({number: status})
            channel.watch()

    def wait(self, count: int, seconds: float = 60) -> dict[int, int]:
        end = time.monotonic() + seconds
        while len(self.status) < count and time.monotonic() < end:
            time.sleep(0.02)
        return self.status


@pytest.fixture(autouse=True)
def quiet_threads(monkeypatch):
    """`SystemExit` ends a watch whose `exit` is taken away."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)


def test_all_get_the_coordinator_s_word_and_values_and_end_together():
    channels = all_meet(3)
    assert [channel.word for channel in channels] == ["word of 0"] * 3
    ends = Ends(channels)
    got: list[Any] = [[], [], []]

    def run(number: int) -> None:
        time.sleep(0.1 * number)  # nobody needs to be on time
        for value in (1.5, float("nan"), {"auroc": 0.1 + 0.2}):
            got[number].append(channels[number].share(value if number == 0 else None))
        channels[number].sync()
        channels[number].finish()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert repr(got[0]) == repr(got[1]) == repr(got[2]) and got[0][2] == {"auroc": 0.1 + 0.2}
    assert not ends.status


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numbers": {2: 1}}, "two processes have --process=1: process 1"),
        ({"counts": {1: 4}}, "has --processes=4, process 0 has 3"),
        ({"same": {2: {"config.seed": "1"}}}, "has config.seed=1, process 0 has 0: give all"),
    ],
)
def test_processes_that_do_not_fit_are_told_so_all_of_them_in_one_line(options, message):
    found = all_meet(3, timeout=0.7, **options)
    assert all(isinstance(error, PeerError) for error in found)
    assert message in str(found[0]) and "\n" not in str(found[0])
    assert sum(str(error) == str(found[0]) for error in found) >= 2


def test_a_stranger_at_the_port_does_not_disturb():
    port, found = free_port(), []
    places = [Place(f"localhost:{port}", 2, number) for number in range(2)]
    first = threading.Thread(target=lambda: found.append(meet(places[0], SAME, "word", 10)))
    first.start()
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"", b"\x00\xff\n", b"[1]\n"):
        connected = False
        while not connected:
            try:
                with socket.create_connection(("localhost", port)) as stranger:
                    stranger.sendall(said)
                connected = True
            except ConnectionRefusedError:
                time.sleep(0.02)
    assert meet(places[1], SAME, "", 10).word == "word"
    first.join(10)
    assert len(found) == 1


def test_something_else_at_the_coordinator_s_address_is_noticed():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=lambda: server.accept()[0].sendall(b"PRI * HTTP/2.0\n")).start()
        with pytest.raises(PeerError, match="something else answers there"):
            meet(Place(f"localhost:{port}", 2, 1), SAME, "", 2)
        with pytest.raises(PeerError, match=f"cannot listen at port {port}: Address already"):
            meet(Place(f"localhost:{port}", 2, 0), SAME, "", 2)


@pytest.mark.parametrize("address", ["node0", "node0:", ":80", "node0:http", "node0:70000"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(PeerError, match="write HOST:PORT"):
        meet(Place(address, 2, 0), SAME, "", 1)


def test_a_process_that_goes_is_named_by_all_others(capfd):
    channels = all_meet(3, timeout=2)
    ends = Ends([*channels[:1], *channels[2:]])
    channels[0].advice = "Start again"
    for link in channels[1].links.values():
        link.socket.close()
    assert ends.wait(2) == {0: LOST, 1: LOST}
    said = capfd.readouterr().err
    assert said.count(f"{channels[0].names[1]} is gone") == 2 and said.count("Start again") == 2


def test_one_that_ends_with_an_error_ends_the_others_with_its_status_and_reason(capfd):
    channels = all_meet(3, timeout=2)
    ends = Ends(channels)
    with pytest.raises(SystemExit):
        channels[2].fail("there is no such file", 2)
    assert ends.wait(3) == {0: 2, 1: 2, 2: 2}
    said = capfd.readouterr().err
    assert said.count("process 2 (pid") == 2 and said.count("ended: there is no such file") == 2


@pytest.mark.parametrize("silent", [0, 1])
def test_one_that_stands_still_is_named_in_time(capfd, silent):
    channels = all_meet(2, timeout=0.5)
    others = [channel for number, channel in enumerate(channels) if number != silent]
    ends = Ends(others)  # the silent one does not watch, and so says nothing
    start = time.monotonic()
    assert ends.wait(1, seconds=60) == {0: LOST}
    assert 0.4 < time.monotonic() - start < 60
    assert f"process {silent} (pid" in (said := capfd.readouterr().err)
    assert "has not answered for 0.5 s" in said


def test_flags_give_a_place_and_a_single_process_none(monkeypatch):
    for name in ("OMPI_MCA_orte_hnp_uri", "SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert distributed.place_of("", 0, -1) is None
    assert distributed.place_of("", 1, -1) is None
    assert distributed.place_of("a:1", 3, 2) == Place("a:1", 3, 2)
    for wrong in (("a:1", 0, -1), ("", 2, 0), ("a:1", 2, 2), ("a:1", 2, -1), ("", 0, 1)):
        with pytest.raises(PeerError, match="--coordinator=HOST:PORT --processes=N --process=I"):
            distributed.place_of(*wrong)


SLURM = {
    "SLURM_JOB_ID": "4097",
    "SLURM_STEP_NODELIST": "node[007-009],other1",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "0",
}
OPEN_MPI = {
    "OMPI_MCA_orte_hnp_uri": "1314521088.0;tcp://10.96.0.1,10.148.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (SLURM, Place("node007:61441", 4, 3, "slurm")),
        ({**SLURM, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, None),  # one task of an array
        ({**SLURM, "JAX_COORDINATOR_PORT": "1234"}, Place("node007:1234", 4, 3, "slurm")),
        (OPEN_MPI, Place("10.96.0.1:62880", 2, 1, "ompi")),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),  # a pod that is no indexed job's
        ({}, None),
    ],
)
def test_what_jax_s_cluster_detection_finds_is_taken(monkeypatch, environment, expected):
    for name in (*SLURM, *OPEN_MPI, "KUBERNETES_SERVICE_HOST", "JAX_COORDINATOR_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert distributed.place_of("", 0, -1) == expected
    if expected:
        assert distributed.place_of("", 1, -1) is None  # --processes=1 wins


def test_a_cluster_that_does_not_answer_is_one_line_with_the_way_out(monkeypatch):
    for name, value in {**SLURM, "SLURM_NTASKS": "many"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PeerError, match=r"\(SlurmCluster\), but ValueError: .* --processes=1"):
        distributed.place_of("", 0, -1)


def test_without_other_processes_nothing_is_waited_for():
    calls: list[Callable[[], Any]] = [distributed.sync, distributed.wait_for_word]
    for call in (*calls, distributed.finish, lambda: distributed.fail("", 2)):
        assert call() is None
    assert distributed.is_coordinator() and distributed.share({"a": 1}) == {"a": 1}
