import os
import shutil
import zipfile
from pathlib import Path

import pytest
from coronahack_archives import ROOT, archive_files

from tfds_coronahack.archive import (
    Archive,
    ArchiveError,
    EntryError,
    archive_key,
    locate,
    open_archive,
)

METADATA = "Chest_xray_Corona_Metadata.csv"
NAME = ("train", "IM-0115-0001.jpeg")


@pytest.mark.parametrize(
    "root", ["Coronahack-Chest-XRay-Dataset", "Coronahack-Chest-XRay-Dataset/" * 2, ""]
)
def test_doubled_single_and_no_inner_folder_are_read_from_zip_and_folder(
    make_zip, make_folder, root
):
    for path in (make_zip(root=root.strip("/") or "."), make_folder(root=root or ".")):
        with open_archive(path) as archive:
            assert len(archive.images) == 7
            assert archive.read(archive.images[NAME]).startswith(b"\xff\xd8")


def test_zip_is_found_in_the_folder_it_was_downloaded_to(make_zip):
    path = make_zip("coronahack-chest-xraydataset.zip")
    (path.parent / "notes.zip").write_bytes(b"no zip at all")
    assert locate(path.parent) == path


def test_archive_unpacked_into_a_folder_of_a_folder_is_found(make_folder):
    path = make_folder("a/b")
    assert locate(path.parent.parent) == path


def test_two_archives_in_one_folder_are_refused_by_name(make_zip):
    make_zip("one.zip")
    path = make_zip("two.zip")
    with pytest.raises(ArchiveError, match=r"one\.zip, two\.zip"):
        locate(path.parent)


@pytest.mark.parametrize("name", ["../evil.jpeg", "/etc/evil.jpeg", "a/../../evil", "C:/evil", ""])
def test_names_that_leave_the_zip_are_refused(make_zip, name):
    path = make_zip(changes={name or "..\\evil": b"x"})
    with pytest.raises(ArchiveError, match="points out of the archive"), open_archive(path):
        pass


def test_missing_path_wrong_file_and_wrong_folder_say_what_was_looked_for(tmp_path: Path):
    with pytest.raises(ArchiveError, match="neither a zip file nor a folder"):
        locate(tmp_path / "nowhere.zip")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ArchiveError, match="cut off"):
        locate(tmp_path / "cut.zip")
    with pytest.raises(ArchiveError, match=METADATA):
        locate(tmp_path)


def test_zip_without_metadata_or_without_images_is_refused(make_zip, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("cats/cat.jpg", b"x")
    with pytest.raises(ArchiveError, match=METADATA), open_archive(tmp_path / "other.zip"):
        pass
    path = make_zip(root="pictures", changes={})
    with zipfile.ZipFile(path) as file:
        data = file.read(METADATA)
    with zipfile.ZipFile(tmp_path / "rows_only.zip", "w") as file:
        file.writestr(METADATA, data)
    with pytest.raises(ArchiveError, match="not one image"), open_archive(file.filename):
        pass


def test_entry_with_a_wrong_checksum_is_an_entry_error(make_zip):
    path = make_zip()
    with open_archive(path) as archive:
        entry = archive.images[NAME]
        good = archive.read(entry)
    data = path.read_bytes()
    path.write_bytes(data.replace(good[100:110], bytes(10), 1))
    with open_archive(path) as archive, pytest.raises(EntryError, match="CRC"):
        archive.read(entry)


def test_desktop_clutter_is_neither_read_nor_counted(make_zip):
    clutter = {"__MACOSX/train/._IM-0115-0001.jpeg": b"x", "a/train/.DS_Store": b"x"}
    with open_archive(make_zip(changes=clutter)) as archive:
        assert archive.other_files == ()
        assert len(archive.images) == 7


def test_key_of_a_zip_follows_content_not_name_or_place(make_zip, tmp_path: Path):
    path = make_zip()
    copy = tmp_path / "elsewhere.zip"
    shutil.copy(path, copy)
    assert archive_key(path) == archive_key(copy)
    assert len(archive_key(path)) == 16
    int(archive_key(path), 16)
    changed = make_zip("changed.zip", changes={"extra.txt": b"1"})
    assert archive_key(changed) != archive_key(path)


def test_key_of_a_folder_changes_with_an_image_and_not_with_data_prepared_beside_it(make_folder):
    path = make_folder()
    before = archive_key(path)
    (path / "prepared").mkdir()
    (path / "prepared" / "data.array_record").write_text("1")
    assert archive_key(path) == before
    next(path.rglob("*.jpeg")).write_bytes(b"changed")
    assert archive_key(path) != before


def test_a_zip_with_backslashes_is_read_as_one_with_slashes(tmp_path: Path):
    path = tmp_path / "windows.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, data in archive_files().items():
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("/", "\\")  # as some programs of Windows write it
            file.writestr(info, data)
        folder = zipfile.ZipInfo("x")
        folder.filename = "empty\\train\\"
        file.writestr(folder, b"")
    assert locate(tmp_path) == path
    with open_archive(path) as archive:
        assert len(archive.images) == 7 and archive.other_files == ()
        assert archive.read(archive.images[NAME]).startswith(b"\xff\xd8")


@pytest.mark.parametrize("name", ["STORED", "DEFLATED", "BZIP2", "LZMA"])
def test_a_damaged_entry_of_any_compression_is_an_entry_error(tmp_path: Path, name: str):
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w", getattr(zipfile, f"ZIP_{name}")) as file:
        for entry, data in archive_files().items():
            file.writestr(entry, data)
        info = file.getinfo(f"{ROOT}/train/{NAME[1]}")
        begin, size = info.header_offset + 30 + len(info.filename), info.compress_size
    data = bytearray(path.read_bytes())
    data[begin + size // 3 : begin + size // 2] = b"\x55" * (size // 2 - size // 3)
    path.write_bytes(data)
    with open_archive(path) as archive:
        with pytest.raises(EntryError, match="broken in the zip"):
            archive.read(archive.images[NAME])
        assert sum(_is_read(archive, entry) for entry in archive.images.values()) == 6


def _is_read(archive: Archive, entry: str) -> bool:
    try:
        return archive.read(entry).startswith(b"\xff\xd8")
    except EntryError:
        return False


def test_train_and_test_may_be_links(make_folder, tmp_path: Path):
    real = make_folder("real")
    linked = tmp_path / "linked"
    linked.mkdir()
    shutil.copy(real / METADATA, linked)
    for split in ("train", "test"):
        (linked / split).symlink_to(next(real.rglob(split)))
    with open_archive(linked) as archive:
        assert len(archive.images) == 7


def test_of_two_entries_of_one_name_the_later_one_counts(make_zip):
    path = make_zip()
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(METADATA, b"newer")
    with open_archive(path) as archive:
        assert archive.read(archive.metadata) == b"newer"


def test_links_to_nothing_odd_names_and_pipes_in_a_folder_stop_nothing(make_folder, tmp_path: Path):
    path = make_folder()
    train = next(path.rglob("train"))
    (train / "gone.jpeg").symlink_to(tmp_path / "nothing")
    (train / "circle.jpeg").symlink_to(train / "circle.jpeg")
    (train / os.fsdecode("\xe9.jpeg".encode("latin-1"))).write_bytes(b"x")
    os.mkfifo(train / "pipe.jpeg")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "empty" / "pipe.zip")
    assert len(archive_key(path)) == 16
    with open_archive(path) as archive:
        for name in ("gone.jpeg", "circle.jpeg", "pipe.jpeg"):
            with pytest.raises(EntryError):
                archive.read(archive.images["train", name])
    with pytest.raises(ArchiveError, match="No CoronaHack archive"):
        locate(tmp_path / "empty")
