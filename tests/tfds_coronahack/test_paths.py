"""Paths as people type them, and linked folders."""

import os
from pathlib import Path

import pytest

from tfds_coronahack.paths import NoHomeError, expanded, files_below, readable


def test_names_that_are_no_utf8_and_control_characters_are_escaped() -> None:
    odd = os.fsdecode("Th\xf6rax.jpeg".encode("latin-1"))
    assert readable(Path("films") / odd) == r"films/Th\xf6rax.jpeg"
    assert readable("Müller 💡.png") == "Müller 💡.png"
    assert readable("a\nb\x1b[31m.png") == r"a\x0ab\x1b[31m.png"
    assert readable("a\ud800b") == r"a\ud800b"


def test_a_home_folder_that_nobody_knows_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert expanded("~/a") == Path("/home/somebody/a")
    with pytest.raises(NoHomeError, match="~nobody-of-that-name/a: no home folder is known"):
        expanded("~nobody-of-that-name/a")


def names(folder: Path, **options: object) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files_below(folder, **options)]


def test_files_come_in_order_without_hidden_ones_and_what_is_left_out(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", ".hidden", "sub/c.png", ".git/d", "out/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert names(tmp_path) == ["a.png", "b.png", "out/e.png", "sub/c.png"]
    assert names(tmp_path, left_out=[tmp_path / "out"]) == ["a.png", "b.png", "sub/c.png"]


def test_linked_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "top" / "own").mkdir(parents=True)
    (tmp_path / "real" / "b.png").write_text("")
    (tmp_path / "top" / "a.png").write_text("")
    (tmp_path / "top" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "top" / "again").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "below" / "up").symlink_to(tmp_path / "top")  # a circle
    (tmp_path / "top" / "own" / "self").symlink_to(tmp_path / "top" / "own")
    (tmp_path / "top" / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "top" / "loop").symlink_to(tmp_path / "top" / "loop")
    assert names(tmp_path / "top") == ["a.png", "broken", "loop", "again/b.png"]


def test_folders_that_all_link_to_each_other_are_read_once(tmp_path: Path) -> None:
    for one in range(8):
        (tmp_path / f"{one}").mkdir()
        (tmp_path / f"{one}" / "a.png").write_text("")
        for other in range(8):
            (tmp_path / f"{one}" / f"to{other}").symlink_to(tmp_path / f"{other}")
    assert len(names(tmp_path)) == 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root opens every folder")
def test_a_folder_that_cannot_be_opened_is_not_left_out_in_silence(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o000)
    assert names(tmp_path) == ["closed"]
