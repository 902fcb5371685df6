"""Files that several processes share: whole or not there, and no litter."""

import concurrent.futures
import os
import socket
import time
from pathlib import Path

import pytest

from covidjax import locking


def test_the_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "folder" / "file"
    with locking.temporary(path) as file:
        file.write(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc" and os.listdir(path.parent) == ["file"]


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), locking.temporary(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_leftovers_go_but_not_those_of_a_living_owner_or_of_another_machine(tmp_path):
    path = tmp_path / "file"
    here = locking.socket.gethostname()
    left = tmp_path / f".file.{here}.123.abc.tmp"
    fresh = tmp_path / ".file.another-machine.123.abc.tmp"
    old = tmp_path / ".file.another-machine.124.abc.tmp"
    unrelated = tmp_path / f".file2.{here}.123.abc.tmp"
    for name in (left, fresh, old, unrelated):
        name.write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    with locking.temporary(path):
        living = [name for name in tmp_path.iterdir() if str(os.getpid()) in name.name]
        locking.remove_stale(path)
        assert len(living) == 1 and living[0].exists()
    assert set(tmp_path.iterdir()) == {path, fresh, unrelated}


def test_many_who_write_the_same_file_at_once_do_not_take_each_others_for_leftovers(tmp_path):
    def write(number: int) -> None:
        for _ in range(50):
            with locking.temporary(tmp_path / "file") as file:
                file.write(bytes([number]) * 1000)

    with concurrent.futures.ThreadPoolExecutor(8) as workers:
        list(workers.map(write, range(8)))
    assert os.listdir(tmp_path) == ["file"]
    content = (tmp_path / "file").read_bytes()
    assert len(content) == 1000 and len(set(content)) == 1


def test_a_lock_is_free_again_after_a_failure(tmp_path, capsys):
    for _ in range(2):
        with pytest.raises(ValueError), locking.exclusive(tmp_path / "lock", "it"):
            raise ValueError
    assert capsys.readouterr().err == ""


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "target.csv")
    with locking.temporary(tmp_path / "link.csv") as file:
        file.write(b"new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text() == "new"


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull), tmp_path):
        with pytest.raises(OSError, match="is there and is no file"), locking.temporary(path):
            pass
    assert Path(os.devnull).is_char_device()


def test_a_file_that_somebody_writes_is_known_and_one_that_was_left_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert not locking.being_written(path)
    with locking.temporary(path):
        assert locking.being_written(path)
    assert not locking.being_written(path)
    (tmp_path / f".a.csv.{socket.gethostname()}.1.0.tmp").write_text("left")
    assert not locking.being_written(path)
