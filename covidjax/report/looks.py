"""What an exploration of the data (the experiment eda) found, as its `eda.json` says."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from covidjax.report.figures import is_png
from covidjax.report.markdown import Figure, Grid, escape, listing
from covidjax.report.words import safe
from covidjax.runs.folder import UNREADABLE, Run

# Of its figures and tables those that a report shows, by name.
SHOWN_FIGURES = ("class_counts", "sizes", "class_images", "position_maps", "sample_covid_19")
SHOWN_TABLES = ("counts", "sources", "sizes")


@dataclasses.dataclass(frozen=True)
class Look:
    """The contents of one exploration; `error` says why they cannot be read, "" where they can."""

    run: Run
    sentences: Sequence[str] = ()
    tables: Sequence[Grid] = ()
    figures: Sequence[Figure] = ()
    error: str = ""


def read(run: Run, several: bool) -> Look:
    """What `eda.json` says; with `several` explorations the names tell them apart."""
    tail = f"-{safe(run.name)}" if several else ""
    try:
        found = json.loads((run.folder / "eda.json").read_text(encoding="utf-8"))
        sections = list(found["sections"])
        return Look(
            run,
            [str(sentence) for sentence in found["sentences"]],
            [table for section in sections for table in _tables(run, section["tables"], tail)],
            [figure for section in sections for figure in _figures(run, section["figures"], tail)],
        )
    except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
        return Look(run, error=repr(error))


def _figures(run: Run, described: Sequence[Mapping[str, Any]], tail: str) -> list[Figure]:
    found = []
    for figure in described:
        path = _below(run.folder, str(figure["png"]))
        if figure["name"] in SHOWN_FIGURES and path is not None and is_png(path):
            name = f"data-{figure['name'].replace('_', '-')}{tail}"
            found.append(Figure(name, path, None, str(figure["caption"]), str(figure["alt"])))
    return found


def _tables(run: Run, described: Sequence[Mapping[str, Any]], tail: str) -> list[Grid]:
    found = []
    for table in described:
        path = _below(run.folder, str(table["csv"]))
        if table["name"] not in SHOWN_TABLES or path is None or not path.is_file():
            continue
        frame = pd.read_csv(path, keep_default_na=False)
        frame = frame.drop(columns="data", errors="ignore")
        name = f"data-table-{table['name']}".replace("_", "-") + tail
        rows = [[_plain(value) for value in row] for row in frame.itertuples(index=False)]
        columns = [str(column) for column in frame.columns]
        found.append(listing(name, escape(table["caption"]), columns, rows, run.phantom))
    return found


def _below(folder: Path, name: str) -> Path | None:
    """A file that the exploration names, if it lies in the exploration's folder."""
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def _plain(value: Any) -> str | int | float:
    if hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, int | float) else str(value)
