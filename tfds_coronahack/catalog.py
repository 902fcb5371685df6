"""One look through the archives: every row's image checked, hashed and grouped.

Of one archive names and groups are as it has them. Of several each begins with its source,
`SOURCE/NAME`: nothing is joined by name over sources, but copies of one picture are.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
import threading
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tfds_coronahack import similarity
from tfds_coronahack.archive import Archive, ArchiveError, EntryError
from tfds_coronahack.decoding import UnreadableImageError, decode
from tfds_coronahack.groups import group_of, merge_groups
from tfds_coronahack.metadata import Row, parse_rows
from tfds_coronahack.threads import in_turn

_AHEAD = 4  # images a thread that are looked at before their turn: more would fill the memory


@dataclass(frozen=True)
class Record:
    """One example but for its bytes, which lie at `entry` of its source's archive."""

    row: Row
    source: str
    entry: str
    group: str
    height: int
    width: int
    mode: str
    sha256: str
    phash: int


@dataclass(frozen=True)
class Catalog:
    """What archives hold: the examples in the order of their rows, and all that is odd in them.

    `archives` are the names of each source's; `rows_of` counts its rows.
    """

    archives: dict[str, str]
    rows_of: dict[str, int]
    phantom: dict[str, object] | None
    records: tuple[Record, ...]
    missing_files: tuple[str, ...]
    files_without_row: tuple[str, ...]
    unreadable: dict[str, str]  # image to reason
    misplaced: tuple[str, ...]  # found in the other split's folder
    repeated_rows: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Look:
    sha256: str
    phash: int = 0
    height: int = 0
    width: int = 0
    mode: str = ""
    error: str = ""


@dataclass(frozen=True)
class _Found:
    """A row, named as its example will be, and where its image lies."""

    row: Row
    source: str
    archive: Archive
    entry: str
    group: str


def make_catalog(archives: Mapping[str, Archive], *, progress: bool = True) -> Catalog:
    """Reads every image that a row names, with a thread a core; nothing odd in it is fatal.

    `archives` maps the source's name to its archive. Beside the records only 4 KB an image are
    kept, and those on disk.

    Raises ArchiveError where the metadata is wrong or no row has a readable image.
    """
    rows_of: dict[str, int] = {}
    found: list[_Found] = []
    odd: dict[str, list[str]] = {"missing": [], "misplaced": [], "repeated": [], "left": []}
    for source, archive in archives.items():
        prefix = f"{source}/" if len(archives) > 1 else ""
        rows_of[source] = _find_rows(source, archive, prefix, found, odd)
    names = ", ".join(archive.name for archive in archives.values())
    with tempfile.TemporaryFile() as file:
        thumbnails = _Thumbnails(file)
        seen, unreadable = _look_at_all(found, thumbnails, progress)
        if not seen:
            missing, total = odd["missing"], sum(rows_of.values())
            raise ArchiveError(
                f"{names}: not one of its {total} rows has a readable image.\n"
                f"missing files: {len(missing)} ({', '.join(missing[:3])}); "
                f"unreadable: {len(unreadable)} ({', '.join(list(unreadable)[:3])})"
            )
        duplicates = _duplicates(seen)
        near = _near_duplicates(seen, thumbnails)
    groups = merge_groups({it.row.image: it.group for it, _, _ in seen}, [*duplicates, *near])
    records = (
        Record(
            row=it.row,
            source=it.source,
            entry=it.entry,
            group=groups[it.row.image],
            height=look.height,
            width=look.width,
            mode=look.mode,
            sha256=look.sha256,
            phash=look.phash,
        )
        for it, look, _ in seen
    )
    markers = (_read_marker(archive) for archive in archives.values())
    return Catalog(
        archives={source: archive.name for source, archive in archives.items()},
        rows_of=rows_of,
        phantom=next((marker for marker in markers if marker is not None), None),
        records=tuple(records),
        missing_files=tuple(odd["missing"]),
        files_without_row=tuple(sorted(odd["left"])),
        unreadable=unreadable,
        misplaced=tuple(odd["misplaced"]),
        repeated_rows=tuple(odd["repeated"]),
        duplicates=tuple(duplicates),
        near_duplicates=tuple(near),
    )


def fingerprint(catalog: Catalog) -> str:
    """SHA-256 over the sorted lines `image, its bytes' SHA-256, label, cause, split`."""
    lines = sorted(
        "\t".join((r.row.image, r.sha256, r.row.label, r.row.cause, r.row.kaggle_split))
        for r in catalog.records
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _find_rows(
    source: str, archive: Archive, prefix: str, found: list[_Found], odd: dict[str, list[str]]
) -> int:
    """Adds an archive's rows that have a file to `found`, what is odd to `odd`; counts the rows."""
    try:
        rows, repeated = parse_rows(archive.read(archive.metadata), archive.name)
    except EntryError as error:
        raise ArchiveError(f"{archive.metadata} in {archive.name}: {error}") from error
    odd["repeated"] += [prefix + name for name in repeated]
    used: set[str] = set()
    for row in rows:
        own, other = ("train", "test") if row.kaggle_split == "TRAIN" else ("test", "train")
        name = prefix + row.image
        entry = archive.images.get((own, row.image))
        if entry is None:
            entry = archive.images.get((other, row.image))
            odd["missing" if entry is None else "misplaced"].append(name)
        if entry is not None:
            used.add(entry)
            named = dataclasses.replace(row, image=name) if prefix else row
            group = prefix + group_of(row.image)
            found.append(_Found(named, source, archive, entry, group))
    left = [entry for entry in archive.images.values() if entry not in used]
    odd["left"] += [prefix + name for name in (*left, *archive.other_files)]
    return len(rows)


def _look_at_all(
    found: list[_Found], thumbnails: "_Thumbnails", progress: bool
) -> tuple[list[tuple[_Found, _Look, int]], dict[str, str]]:
    """Each readable image with the place of its thumbnail, and why the others are not."""
    seen: list[tuple[_Found, _Look, int]] = []
    unreadable: dict[str, str] = {}

    def look(place: int) -> _Look:
        seen_as, thumbnail = _look_at(found[place].archive, found[place].entry)
        if thumbnail is not None:
            thumbnails.put(place, thumbnail)
        return seen_as

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        looks = in_turn(threads, look, range(len(found)), _AHEAD * (os.cpu_count() or 1))
        bar = tqdm(looks, "checking images", len(found), unit=" images", disable=not progress)
        for place, (it, seen_as) in enumerate(zip(found, bar, strict=True)):
            if seen_as.error:
                unreadable[it.row.image] = seen_as.error
            else:
                seen.append((it, seen_as, place))
    return seen, unreadable


def _look_at(archive: Archive, entry: str) -> tuple[_Look, NDArray[np.uint8] | None]:
    """What is known of an image, and its thumbnail where it can be read."""
    try:
        data = archive.read(entry)
    except EntryError as error:
        return _Look("", error=str(error)), None
    digest = hashlib.sha256(data).hexdigest()
    try:
        picture = decode(data, min_side=similarity.THUMBNAIL)
    except UnreadableImageError as error:
        return _Look(digest, error=str(error)), None
    thumbnail = similarity.thumbnail(picture.gray)
    facts = (*picture.size, picture.mode)
    return _Look(digest, similarity.perceptual_hash(thumbnail), *facts), thumbnail


class _Thumbnails:
    """uint8 [64, 64] of each image, in a file: few are ever read again. For several threads."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.lock = file, threading.Lock()

    def put(self, place: int, thumbnail: NDArray[np.uint8]) -> None:
        with self.lock:
            self.file.seek(place * similarity.THUMBNAIL**2)
            self.file.write(thumbnail.tobytes())

    def __getitem__(self, place: int) -> NDArray[np.uint8]:
        side = similarity.THUMBNAIL
        with self.lock:
            self.file.seek(place * side * side)
            data = self.file.read(side * side)
        return np.frombuffer(data, np.uint8).reshape(side, side)


def _duplicates(seen: list[tuple[_Found, _Look, int]]) -> list[tuple[str, ...]]:
    by_digest: dict[str, list[str]] = defaultdict(list)
    for it, look, _ in seen:
        by_digest[look.sha256].append(it.row.image)
    return sorted(tuple(sorted(names)) for names in by_digest.values() if len(names) > 1)


def _near_duplicates(
    seen: list[tuple[_Found, _Look, int]], thumbnails: _Thumbnails
) -> list[tuple[str, ...]]:
    """Sets of near-identical images, each byte sequence represented once by its first name."""
    first = {look.sha256: i for i, (_, look, _) in reversed(list(enumerate(seen)))}
    index = sorted(first.values())
    pairs = similarity.near_identical_pairs(
        np.array([seen[i][1].phash for i in index], np.uint64),
        thumbnails,
        [seen[i][2] for i in index],
    )
    sets = similarity.clusters(pairs)
    return sorted(tuple(sorted(seen[index[k]][0].row.image for k in members)) for members in sets)


def _read_marker(archive: Archive) -> dict[str, object] | None:
    """The parameters of a phantom; None for real images."""
    if archive.marker is None:
        return None
    try:
        marker = json.loads(archive.read(archive.marker))
    except (EntryError, ValueError, RecursionError) as error:
        raise ArchiveError(f"{archive.marker} in {archive.name} is broken: {error}") from error
    return marker if isinstance(marker, dict) else {"marker": marker}
