"""One look through the archive: every row's image checked, hashed and grouped."""

import hashlib
import json
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tfds_coronahack import similarity
from tfds_coronahack.archive import Archive, ArchiveError, EntryError
from tfds_coronahack.decoding import UnreadableImageError, decode_with_facts
from tfds_coronahack.groups import group_of, merge_groups
from tfds_coronahack.metadata import Row, parse_rows


@dataclass(frozen=True)
class Record:
    """One example but for its bytes, which lie at `entry` of the archive."""

    row: Row
    entry: str
    group: str
    height: int
    width: int
    mode: str
    sha256: str
    phash: int


@dataclass(frozen=True)
class Catalog:
    """What an archive holds: the examples in the order of its rows, and all that is odd in it."""

    archive: str
    phantom: dict[str, object] | None
    rows: int
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
    thumbnail: NDArray[np.uint8] | None = None
    height: int = 0
    width: int = 0
    mode: str = ""
    error: str = ""


def make_catalog(archive: Archive, *, progress: bool = True) -> Catalog:
    """Reads every image that a row names, with a thread a core; nothing odd in it is fatal.

    Raises ArchiveError where the metadata is wrong or no row has a readable image.
    """
    try:
        rows, repeated = parse_rows(archive.read(archive.metadata), archive.name)
    except EntryError as error:
        raise ArchiveError(f"{archive.metadata} in {archive.name}: {error}") from error
    entries, misplaced, missing = _find_files(archive, rows)

    found = [row for row in rows if row.image in entries]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        looks = threads.map(lambda row: _look_at(archive, entries[row.image]), found)
        bar = tqdm(looks, "checking images", len(found), unit=" images", disable=not progress)
        seen = list(zip(found, bar, strict=True))
    unreadable = {row.image: look.error for row, look in seen if look.error}
    seen = [(row, look) for row, look in seen if look.thumbnail is not None]
    if not seen:
        raise ArchiveError(
            f"{archive.name}: not one of its {len(rows)} rows has a readable image.\n"
            f"missing files: {len(missing)} ({', '.join(missing[:3])}); "
            f"unreadable: {len(unreadable)} ({', '.join(list(unreadable)[:3])})"
        )

    names = [row.image for row, _ in seen]
    hashes = [similarity.perceptual_hash(_pixels(look)) for _, look in seen]
    duplicates = _duplicates(seen)
    near = _near_duplicates(seen, hashes)
    groups = merge_groups({name: group_of(name) for name in names}, [*duplicates, *near])
    records = (
        Record(
            row=row,
            entry=entries[row.image],
            group=groups[row.image],
            height=look.height,
            width=look.width,
            mode=look.mode,
            sha256=look.sha256,
            phash=phash,
        )
        for (row, look), phash in zip(seen, hashes, strict=True)
    )
    used = set(entries.values())
    left = [e for e in archive.images.values() if e not in used]
    return Catalog(
        archive=archive.name,
        phantom=_read_marker(archive),
        rows=len(rows),
        records=tuple(records),
        missing_files=tuple(missing),
        files_without_row=tuple(sorted([*left, *archive.other_files])),
        unreadable=unreadable,
        misplaced=tuple(misplaced),
        repeated_rows=tuple(repeated),
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


def _find_files(archive: Archive, rows: list[Row]) -> tuple[dict[str, str], list[str], list[str]]:
    """Entry of each image; images found in the other split's folder; images found nowhere."""
    entries: dict[str, str] = {}
    misplaced: list[str] = []
    missing: list[str] = []
    for row in rows:
        own, other = ("train", "test") if row.kaggle_split == "TRAIN" else ("test", "train")
        if entry := archive.images.get((own, row.image)):
            entries[row.image] = entry
        elif entry := archive.images.get((other, row.image)):
            entries[row.image] = entry
            misplaced.append(row.image)
        else:
            missing.append(row.image)
    return entries, misplaced, missing


def _look_at(archive: Archive, entry: str) -> _Look:
    try:
        data = archive.read(entry)
    except EntryError as error:
        return _Look("", error=str(error))
    digest = hashlib.sha256(data).hexdigest()
    try:
        gray, (height, width), mode = decode_with_facts(data, min_side=similarity.THUMBNAIL)
    except UnreadableImageError as error:
        return _Look(digest, error=str(error))
    return _Look(digest, similarity.thumbnail(gray), height, width, mode)


def _pixels(look: _Look) -> NDArray[np.uint8]:
    assert look.thumbnail is not None
    return look.thumbnail


def _duplicates(seen: list[tuple[Row, _Look]]) -> list[tuple[str, ...]]:
    by_digest: dict[str, list[str]] = defaultdict(list)
    for row, look in seen:
        by_digest[look.sha256].append(row.image)
    return sorted(tuple(sorted(names)) for names in by_digest.values() if len(names) > 1)


def _near_duplicates(seen: list[tuple[Row, _Look]], hashes: list[int]) -> list[tuple[str, ...]]:
    """Sets of near-identical images, each byte sequence represented once by its first name."""
    first = {look.sha256: i for i, (_, look) in reversed(list(enumerate(seen)))}
    index = sorted(first.values())
    pairs = similarity.near_identical_pairs(
        np.array([hashes[i] for i in index], np.uint64),
        np.stack([_pixels(seen[i][1]) for i in index]),
    )
    sets = similarity.clusters(pairs)
    return sorted(tuple(sorted(seen[index[k]][0].image for k in members)) for members in sets)


def _read_marker(archive: Archive) -> dict[str, object] | None:
    """The parameters of a phantom; None for real images."""
    if archive.marker is None:
        return None
    try:
        marker = json.loads(archive.read(archive.marker))
    except (EntryError, ValueError) as error:
        raise ArchiveError(f"{archive.marker} in {archive.name} is broken: {error}") from error
    return marker if isinstance(marker, dict) else {"marker": marker}
