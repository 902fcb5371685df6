"""The build report: what was built from which archive, and what was wrong with it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from etils import epath

from tfds_coronahack.archive import ArchiveError
from tfds_coronahack.catalog import Catalog, fingerprint
from tfds_coronahack.groups import person_number_facts
from tfds_coronahack.metadata import CAUSES

REPORT = "build_report.json"
_SHOWN = 5  # names a line in the printed table; the file holds all
# Key of the report and what the printed table calls it.
_FINDINGS = (
    ("missing_files", "rows whose file is missing"),
    ("files_without_row", "files that no row names"),
    ("unreadable", "unreadable images"),
    ("misplaced", "images in the other split's folder"),
    ("repeated_rows", "rows given twice"),
    ("duplicates", "sets of identical files"),
    ("near_duplicates", "sets of near-identical images"),
    ("label_conflicts", "sets of one picture with different labels"),
)


def make_report(catalog: Catalog, archive_key: str) -> dict[str, Any]:
    """The report as JSON values; names are sorted, and each list holds every name."""
    records = catalog.records
    labels = {r.row.image: (r.row.label, r.row.cause) for r in records}
    same = [*catalog.duplicates, *catalog.near_duplicates]
    conflicts = [list(names) for names in same if len({labels[name] for name in names}) > 1]
    findings: dict[str, list[Any]] = {
        "missing_files": sorted(catalog.missing_files),
        "files_without_row": sorted(catalog.files_without_row),
        "unreadable": sorted(catalog.unreadable),
        "misplaced": sorted(catalog.misplaced),
        "repeated_rows": sorted(catalog.repeated_rows),
        "duplicates": [list(names) for names in catalog.duplicates],
        "near_duplicates": [list(names) for names in catalog.near_duplicates],
        "label_conflicts": conflicts,
    }
    causes = {
        split: dict(Counter(r.row.cause for r in records if r.row.kaggle_split == split))
        for split in ("TRAIN", "TEST")
    }
    return {
        "archive": ", ".join(catalog.archives.values()),
        "archive_key": archive_key,
        "sources": {
            source: {
                "archive": name,
                "rows": catalog.rows_of[source],
                "examples": sum(r.source == source for r in records),
            }
            for source, name in catalog.archives.items()
        },
        "fingerprint": fingerprint(catalog),
        "phantom": catalog.phantom,
        "counts": {
            "rows": sum(catalog.rows_of.values()),
            "examples": len(records),
            "groups": len({r.group for r in records}),
            "examples_by_cause": causes,
            "modes": dict(Counter(r.mode for r in records)),
            **{key: len(names) for key, names in findings.items()},
        },
        "grouping": person_number_facts({r.row.image: r.row.kaggle_split for r in records}),
        **findings,
        "unreadable_reasons": dict(sorted(catalog.unreadable.items())),
    }


def write_report(folder: epath.Path, report: dict[str, Any]) -> None:
    """Writes `build_report.json` into a folder that nobody else reads yet."""
    (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n")


def read_report(prepared: Path | str) -> dict[str, Any]:
    """The build report of a prepared dataset's folder (`prepare` returns it).

    Raises ArchiveError where there is none or it is broken.
    """
    path = Path(prepared) / REPORT
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ArchiveError(f"{prepared} holds no prepared CoronaHack data: no {REPORT}.") from error
    except ValueError as error:
        raise ArchiveError(
            f"{path} is broken ({error}); delete {prepared} and build again."
        ) from error


def format_report(report: dict[str, Any]) -> str:
    """The report as a table of text: examples by split and cause, then what was wrong."""
    counts = report["counts"]
    what = "PHANTOM (synthetic images)" if report["phantom"] is not None else "real images"
    lines = [f"CoronaHack from {report['archive']}: {what}", ""]
    lines.append(f"{'':16}{'TRAIN':>8}{'TEST':>8}{'both':>8}")
    train, test = (counts["examples_by_cause"][split] for split in ("TRAIN", "TEST"))
    for cause in CAUSES:
        lines.append(_table_line(cause, train.get(cause, 0), test.get(cause, 0)))
    lines.append(_table_line("all", sum(train.values()), sum(test.values())))
    if len(report["sources"]) > 1:
        lines.append("")
        for source, part in report["sources"].items():
            shown = f"{part['examples']:,} of {part['rows']:,} rows"
            lines.append(f"{source}: {shown}, from {part['archive']}")
    lines += ["", f"{counts['examples']:,} of {counts['rows']:,} rows, {counts['groups']:,} groups"]
    for key, title in _FINDINGS:
        names = report[key]
        lines.append(f"{len(names):6,}  {title}{': ' if names else ''}{_shown(names)}")
    return "\n".join(lines)


def _table_line(title: str, train: int, test: int) -> str:
    return f"{title:16}{train:8,}{test:8,}{train + test:8,}"


def _shown(names: list[Any]) -> str:
    texts = [name if isinstance(name, str) else " = ".join(name) for name in names[:_SHOWN]]
    return ", ".join(texts) + (", ..." if len(names) > _SHOWN else "")
