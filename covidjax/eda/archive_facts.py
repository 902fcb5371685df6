"""What only the archive itself can tell: its metadata as typed, and Kaggle's summary of it."""

import csv
import dataclasses
import io
from pathlib import Path, PurePosixPath

import pandas as pd

from covidjax.data import source
from tfds_coronahack.archive import (
    SUMMARY,
    Archive,
    ArchiveError,
    EntryError,
    archive_key,
    open_archive,
)
from tfds_coronahack.metadata import COLUMNS
from tfds_coronahack.paths import expanded

KEYS = ("Label", "Label_1_Virus_category", "Label_2_Virus_category")
COUNT = "Image_Count"
NO_ARCHIVE = (
    "The archive itself is not at hand, only the dataset prepared of it, so Kaggle's summary file "
    "and the metadata as typed were not read; give it as --config.data.archive=FILE."
)


@dataclasses.dataclass(frozen=True)
class ArchiveFacts:
    """Attributes:
    name: of the zip or folder.
    metadata: all cells as text, "" where empty; the first column is called `index`.
    summary: columns KEYS as text and COUNT as integers; None where `problem` says why.
    problem: what is wrong with the summary file, or "".
    """

    name: str
    metadata: pd.DataFrame
    summary: pd.DataFrame | None
    problem: str


def find(archive: str, prepared: source.Prepared) -> Path | None:
    """The archive that the dataset was prepared of, where it is still there."""
    home = prepared.path.parents[1]  # of HOME/coronahack/1.0.0
    places = [expanded(archive)] if archive else []
    places += [home / "archive.zip", home.parent / "archive"]  # a phantom's, a download's
    for place in places:
        try:
            if place.exists() and archive_key(place) == prepared.report["archive_key"]:
                return place
        except (ArchiveError, OSError):
            continue
    return None


def read(path: Path) -> ArchiveFacts:
    """Reads the two CSV files of an archive; the metadata were readable when it was prepared."""
    with open_archive(path) as archive:
        metadata = _as_text(archive.read(archive.metadata))
        if metadata.columns[0] not in COLUMNS:  # Kaggle's has no name
            metadata = metadata.rename(columns={metadata.columns[0]: "index"})
        summary, problem = _read_summary(archive)
        return ArchiveFacts(archive.name, metadata, summary, problem)


def _read_summary(archive: Archive) -> tuple[pd.DataFrame | None, str]:
    entries = [name for name in archive.reader.names() if PurePosixPath(name).name == SUMMARY]
    entries = [name for name in entries if "__MACOSX" not in name]
    if not entries:
        return None, f"{archive.name} has no {SUMMARY}."
    try:
        found = _as_text(archive.read(min(entries, key=len)))
        missing = [name for name in (*KEYS, COUNT) if name not in found]
        if missing:
            return None, f"{SUMMARY} has no column {missing[0]}."
        counts = found[COUNT].astype(float).astype(int)
    except (EntryError, ValueError) as error:
        return None, f"{SUMMARY} cannot be read: {' '.join(str(error).split())}."
    return found.assign(**{COUNT: counts})[[*KEYS, COUNT]], ""


def _as_text(data: bytes) -> pd.DataFrame:
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    head, body = rows[0], [row for row in rows[1:] if any(row)]
    width = len(head)
    cells = [[cell.strip() for cell in (row + [""] * width)[:width]] for row in body]
    return pd.DataFrame(cells, columns=head, dtype=str)


def cross_check(facts: ArchiveFacts, images: pd.Series) -> pd.DataFrame:
    """Kaggle's summary beside the metadata's rows and the readable images, a line a label.

    Args:
      images: names of the readable images.

    Returns:
      Columns KEYS, summary (number or empty), rows, readable, verdict.
    """
    rows = facts.metadata.assign(readable=facts.metadata[COLUMNS[0]].isin(set(images)))
    counted = rows.groupby(list(KEYS), sort=True).agg(
        rows=("readable", "size"), readable=("readable", "sum")
    )
    counted["readable"] = counted["readable"].astype(int)
    if facts.summary is None:
        counted.insert(0, "summary", None)
        counted["verdict"] = "no summary to compare"
        return counted.reset_index()
    stated = facts.summary.groupby(list(KEYS), sort=True)[COUNT].sum().rename("summary")
    both = pd.concat([stated, counted], axis=1).fillna(0).astype(int).sort_index()
    both["verdict"] = [
        "agrees" if s == r else f"WRONG: {abs(s - r):,} {'more' if s > r else 'fewer'} than rows"
        for s, r in zip(both["summary"], both["rows"], strict=True)
    ]
    return both.reset_index()
