"""The rows of `Chest_xray_Corona_Metadata.csv`: one an image, with its label and its cause."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tfds_coronahack.archive import METADATA, ArchiveError

LABELS = ("Normal", "Pneumonia")
CAUSES = ("none", "bacterial", "viral", "COVID-19", "SARS", "ARDS", "Streptococcus")
COLUMNS = (
    "X_ray_image_name",
    "Label",
    "Dataset_type",
    "Label_2_Virus_category",
    "Label_1_Virus_category",
)
_SPLITS = ("TRAIN", "TEST")
# Label_2 says more than Label_1, so it is asked first.
_CAUSE_OF_LABEL_2 = {
    "covid-19": "COVID-19",
    "sars": "SARS",
    "ards": "ARDS",
    "streptococcus": "Streptococcus",
}
_CAUSE_OF_LABEL_1 = {"bacteria": "bacterial", "virus": "viral"}


@dataclass(frozen=True)
class Row:
    """One row: the file's name, one of LABELS, one of CAUSES, and TRAIN or TEST."""

    image: str
    label: str
    cause: str
    kaggle_split: str


def parse_rows(data: bytes, archive: str) -> tuple[list[Row], list[str]]:
    """Reads the metadata's bytes; `archive` is the name for messages.

    Returns the rows in the file's order, and the names of rows that repeat an earlier one word for
    word (dropped). Raises ArchiveError where columns are missing, a value is not one that the
    original holds, or two rows contradict each other: labels are never guessed.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{METADATA} in {archive} is not UTF-8 text: {error}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        names = list(reader.fieldnames or ())
    except csv.Error as error:
        raise ArchiveError(f"{METADATA} in {archive} cannot be read: {error}") from error
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise ArchiveError(
            f"{METADATA} in {archive} has other columns than the CoronaHack archive's.\n"
            f"missing: {', '.join(missing)}; found: {', '.join(names)[:300] or 'none'}"
        )
    rows: dict[str, Row] = {}
    repeated: list[str] = []
    for record in _records(reader, archive):
        row = _parse_row(record, f"line {reader.line_num} of {METADATA} in {archive}")
        if row.image not in rows:
            rows[row.image] = row
        elif rows[row.image] == row:
            repeated.append(row.image)
        else:
            raise ArchiveError(
                f"Two rows of {METADATA} in {archive} contradict each other on {row.image}."
            )
    if not rows:
        raise ArchiveError(f"{METADATA} in {archive} has no rows.")
    return list(rows.values()), repeated


def _records(reader: "csv.DictReader[str]", archive: str) -> Iterator[dict[str, str | Any]]:
    try:
        yield from reader
    except csv.Error as error:
        where = f"line {reader.line_num} of {METADATA} in {archive}"
        raise ArchiveError(f"{where} cannot be read: {error}") from error


def _parse_row(record: dict[str, str | None], where: str) -> Row:
    image, label, split, label_2, label_1 = ((record[c] or "").strip() for c in COLUMNS)
    if not image:
        raise ArchiveError(f"{COLUMNS[0]} is empty in {where}.")
    if split.upper() not in _SPLITS:
        raise ArchiveError(f"Dataset_type is {split!r}, not TRAIN or TEST, in {where}.")
    if label == "Normal" and not label_1 and not label_2:
        return Row(image, "Normal", "none", split.upper())
    cause = _CAUSE_OF_LABEL_2.get(label_2.lower())
    if not label_2:
        cause = _CAUSE_OF_LABEL_1.get(label_1.lower())
    if label not in ("Pnemonia", "Pneumonia") or cause is None:  # Kaggle's spelling, or the right
        raise ArchiveError(
            f"Unknown combination of Label {label!r}, Label_1_Virus_category {label_1!r} and "
            f"Label_2_Virus_category {label_2!r} in {where}."
        )
    return Row(image, "Pneumonia", cause, split.upper())
