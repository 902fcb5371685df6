"""Read access to the Kaggle archive, a zip or an unpacked folder, without unpacking anything."""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast

from tfds_coronahack.paths import encodable, expanded, files_below

METADATA = "Chest_xray_Corona_Metadata.csv"
SUMMARY = "Chest_xray_Corona_dataset_Summary.csv"
PHANTOM_MARKER = "PHANTOM.json"
KAGGLE_PAGE = "https://www.kaggle.com/datasets/praveengovi/coronahack-chest-xraydataset"

# A local zip or folder; or the URL of a zip, as fsspec knows it: gs://BUCKET/archive.zip
Place = Path | str

# The largest image of the original is under 10 MB; more is a broken or a hostile entry.
_MAX_ENTRY_BYTES = 256 * 2**20
_MAX_DEPTH = 3  # how deep below a given folder the metadata is looked for
_SPLIT_FOLDERS = ("train", "test")


class ArchiveError(ValueError):
    """The archive, or what was prepared from it, cannot be used; the message says what to do."""


class EntryError(ValueError):
    """One entry of the archive cannot be read (broken, too large, compressed in an odd way)."""


class _Reader(Protocol):
    def names(self) -> list[str]: ...
    def read(self, name: str) -> bytes: ...


class _ZipReader:
    """A zip, whose names have forward slashes, whatever the program that wrote it used."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self.file = file
        self.entries: dict[str, zipfile.ZipInfo] = {}
        for info in file.infolist():
            name = _slashed(info.filename)
            before = self.entries.get(name)
            # Of the same name the last one counts, as a zip that was added to has it.
            if not name.endswith("/") and (before is None or before.filename == info.filename):
                self.entries[name] = info

    def names(self) -> list[str]:
        return list(self.entries)

    def read(self, name: str) -> bytes:
        info = self.entries[name]
        if info.file_size > _MAX_ENTRY_BYTES:
            raise EntryError(f"{info.file_size:,} bytes, more than {_MAX_ENTRY_BYTES:,}")
        try:
            return self.file.read(info)
        except Exception as error:  # each compression's decoder has errors of its own
            reason = f"{type(error).__name__}: {error}"
            raise EntryError(f"broken in the zip ({reason})") from error


@dataclass(frozen=True)
class _FolderReader:
    root: Path

    def names(self) -> list[str]:
        return list(_relative_files(self.root))

    def read(self, name: str) -> bytes:
        path = self.root / name
        try:
            if path.exists() and not path.is_file():  # a pipe, say, would never end
                raise EntryError("is no file")
            if path.stat().st_size > _MAX_ENTRY_BYTES:
                raise EntryError(f"{path.stat().st_size:,} bytes, more than {_MAX_ENTRY_BYTES:,}")
            return path.read_bytes()
        except OSError as error:
            raise EntryError(str(error)) from error


@dataclass(frozen=True)
class Archive:
    """An opened archive. `images` maps (split folder, file name) to the entry that holds it."""

    name: str
    reader: _Reader
    metadata: str
    images: dict[tuple[str, str], str]
    other_files: tuple[str, ...]
    marker: str | None

    def read(self, entry: str) -> bytes:
        """The bytes of an entry; EntryError where it cannot be read. Safe to call from threads."""
        return self.reader.read(entry)


def locate(path: Place) -> Place:
    """The archive at `path`: the zip, the folder that holds the metadata, or the one zip therein.

    `path` is a zip of any name, an unpacked archive (the metadata up to three folders down), or
    a folder with the downloaded zip in it, such as the `--manual_dir` of `tfds build`. The URL of
    a zip is taken as it is.

    Raises ArchiveError where there is none or more than one.
    """
    if is_url(path):
        return str(path)
    path = expanded(path)
    if path.is_file():
        if not zipfile.is_zipfile(path):
            raise ArchiveError(f"{path} is not a zip file, or was cut off while it was downloaded.")
        return path
    if not path.is_dir():
        raise ArchiveError(
            f"No archive at {path}: neither a zip file nor a folder.\n"
            f"Download it from {KAGGLE_PAGE}\n"
            "and give the path of the zip or of the folder it unpacks to."
        )
    pattern = METADATA
    for _ in range(_MAX_DEPTH + 1):
        found = sorted(p for p in path.glob(pattern) if "__MACOSX" not in p.parts)
        if len(found) == 1:
            return found[0].parent
        if found:
            raise ArchiveError(f"More than one archive in {path}: " + ", ".join(map(str, found)))
        pattern = f"*/{pattern}"
    zips = [p for p in sorted(path.glob("*.zip")) if _zip_has_metadata(p)]
    if len(zips) == 1:
        return zips[0]
    if zips:
        names = ", ".join(p.name for p in zips)
        raise ArchiveError(f"More than one archive in {path}: {names}. Give the path of one.")
    raise ArchiveError(
        f"No CoronaHack archive in {path}: looked for {METADATA} in it, up to {_MAX_DEPTH} folders "
        f"down, and inside the zip files in it.\nDownload the archive from {KAGGLE_PAGE}."
    )


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether it is no local path."""
    return "://" in os.fspath(path)


@contextmanager
def open_archive(path: Place) -> Iterator[Archive]:
    """Opens the archive that `locate` finds at `path`.

    Raises ArchiveError where the metadata is missing, a name in the zip leaves the zip, or no
    image is there at all.
    """
    path = locate(path)
    if isinstance(path, Path) and path.is_dir():
        yield _index(path.resolve().name, _FolderReader(path))
        return
    with _open_zip(path) as file:
        yield _index(PurePosixPath(str(path)).name, _ZipReader(file))


@contextmanager
def _open_zip(path: Place) -> Iterator[zipfile.ZipFile]:
    with ExitStack() as held:
        try:
            place: Path | BinaryIO = Path(path)
            if is_url(path):
                import fsspec  # comes with TFDS's etils; slow to import

                place = cast(BinaryIO, held.enter_context(fsspec.open(str(path), "rb")))
            file = held.enter_context(zipfile.ZipFile(place))
        except Exception as error:  # a broken directory can break any part of zipfile
            reason = f"{type(error).__name__}: {error}"
            raise ArchiveError(f"{path} cannot be opened as a zip file ({reason})") from error
        yield file


def archive_key(archive: Place) -> str:
    """16 hex digits that tell archives apart, without reading the images.

    Of a zip: its names, sizes and checksums; a copied or renamed zip keeps its key. Of a folder:
    names, sizes and modification times of the metadata and of what lies in train and test folders
    (prepared data may lie in the same folder without changing the key).
    """
    path = locate(archive)
    if isinstance(path, Path) and path.is_dir():
        names = sorted(n for n in _relative_files(path) if _belongs(n) and not _is_clutter(n))
        lines = [f"{encodable(name)}\t{_size_and_time(path / name)}" for name in names]
    else:
        with _open_zip(path) as file:
            infos = sorted(file.infolist(), key=lambda info: info.filename)
        lines = [f"{i.filename}\t{i.file_size}\t{i.CRC:08x}" for i in infos]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _size_and_time(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:  # a link to nothing, which is a missing file to the build
        return "missing"
    return f"{stat.st_size}\t{stat.st_mtime_ns}"


def _index(name: str, reader: _Reader) -> Archive:
    names = sorted(n for n in reader.names() if not _is_clutter(n))
    for entry in names:
        _check_inside(name, entry)
    metadata = [n for n in names if PurePosixPath(n).name == METADATA]
    if not metadata:
        listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise ArchiveError(
            f"{name} is not the CoronaHack archive: no {METADATA} among its {len(names)} files "
            f"({listed or 'none'}).\nDownload the archive from {KAGGLE_PAGE}."
        )
    # Kaggle's folder is doubled or single; where both are there the shallowest file counts.
    by_depth = sorted(names, key=lambda n: (n.count("/"), n))
    metadata_entry = min(metadata, key=lambda n: (n.count("/"), n))
    root = str(PurePosixPath(metadata_entry).parent)
    images: dict[tuple[str, str], str] = {}
    for entry in by_depth:
        parts = PurePosixPath(entry).parts
        if len(parts) >= 2 and parts[-2].lower() in _SPLIT_FOLDERS:
            images.setdefault((parts[-2].lower(), parts[-1]), entry)
    if not images:
        raise ArchiveError(
            f"{name} has {METADATA} but not one image: looked for files in folders named train and "
            f"test among its {len(names)} files.\nUnpack or download the whole archive again."
        )
    used = {*images.values(), metadata_entry}
    marker = PHANTOM_MARKER if root == "." else f"{root}/{PHANTOM_MARKER}"
    known = {METADATA, SUMMARY, PHANTOM_MARKER}
    others = (n for n in names if n not in used and PurePosixPath(n).name not in known)
    return Archive(
        name=name,
        reader=reader,
        metadata=metadata_entry,
        images=images,
        other_files=tuple(others),
        marker=marker if marker in set(names) else None,
    )


def _check_inside(archive: str, entry: str) -> None:
    """Refuses names that would leave the folder they are unpacked to (zip slip)."""
    path = PurePosixPath(_slashed(entry))
    drive = len(entry) > 1 and entry[1] == ":"
    if path.is_absolute() or ".." in path.parts or drive or "\0" in entry:
        raise ArchiveError(
            f"{archive} is refused: its entry {entry!r} points out of the archive. "
            f"Kaggle's archive has no such names; download it again from {KAGGLE_PAGE}."
        )


def _belongs(name: str) -> bool:
    path = PurePosixPath(name)
    own = path.name in (METADATA, SUMMARY, PHANTOM_MARKER)
    return own or path.parent.name.lower() in _SPLIT_FOLDERS


def _is_clutter(name: str) -> bool:
    """What desktops leave behind: resource forks, folder views, thumbnails."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "__MACOSX":
        return True
    return parts[-1].startswith("._") or parts[-1] in {".DS_Store", "Thumbs.db", "desktop.ini"}


def _relative_files(root: Path) -> Iterator[str]:
    """Paths of all files below `root`, relative to it, with forward slashes."""
    for path in files_below(root):
        relative = path.relative_to(root)
        if "__MACOSX" not in relative.parts:
            yield relative.as_posix()


def _slashed(name: str) -> str:
    """A name in a zip with forward slashes; some programs of Windows write the others."""
    return name.replace("\\", "/")


def _zip_has_metadata(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as file:
            return any(PurePosixPath(_slashed(n)).name == METADATA for n in file.namelist())
    except Exception:  # a broken directory can break any part of zipfile
        return False
