"""One HTML file of sections, tables and figures: inline, offline, printable, with a keyboard.

The pieces (`Section`, `Table`, `Figure`) are plain data; `page.html.j2`, beside this file, is the
page that they stand in.
"""

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from covidjax.locking import temporary
from covidjax.report.markdown import Figure

PHANTOM = (
    "PHANTOM: every image here is synthetic. Nothing on this page says anything about patients."
)
MOST_ROWS = 60  # of a table on the page; the CSV has all
SHORT = 30  # characters of a cell that are kept in one line


@dataclasses.dataclass(frozen=True)
class Table:
    """A table and the CSV file that holds it; columns are shown under their own names."""

    name: str
    frame: pd.DataFrame
    csv: Path
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page: paragraphs of plain text, then tables and figures in their order."""

    key: str  # of links; letters and hyphens
    title: str
    paragraphs: tuple[str, ...] = ()
    blocks: tuple[Figure | Table, ...] = ()


def write_table(folder: Path, name: str, frame: pd.DataFrame, caption: str, phantom: bool) -> Table:
    """Writes `folder/NAME.csv`; of a phantom a last column `data` says PHANTOM in every row."""
    path = folder / f"{name}.csv"
    marked = frame.assign(data="PHANTOM") if phantom else frame
    with temporary(path) as file:
        marked.to_csv(file, index=False, lineterminator="\n")
    return Table(name, frame, path, caption)


def render(
    path: Path,
    title: str,
    sections: Sequence[Section],
    *,
    sentences: Sequence[str] = (),
    facts: Sequence[tuple[str, str]] = (),
    phantom: bool = False,
) -> None:
    """Writes the page, one file that needs no other and no network.

    Args:
      path: of the HTML file; links to CSV and SVG files are relative to its folder.
      title: of the page; "PHANTOM" is put before it where `phantom`.
      sentences: the numbered list of the first page.
      facts: (what, value), shown small under the title.
    """
    shown = [
        {
            "key": section.key,
            "title": section.title,
            "paragraphs": section.paragraphs,
            "blocks": [_shown(block, path.parent) for block in section.blocks],
        }
        for section in sections
    ]
    mark, warning = ("PHANTOM: ", PHANTOM) if phantom else ("", "")
    write(path, mark + title, warning, shown, sentences=sentences, facts=facts)


def write(
    path: Path,
    title: str,
    warning: str,
    sections: Sequence[Mapping[str, Any]],
    *,
    sentences: Sequence[str] = (),
    facts: Sequence[tuple[str, str]] = (),
) -> None:
    """Writes the page of sections that are what the template takes."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = resources.files("covidjax.report").joinpath("page.html.j2").read_text("utf-8")
    text = environment.from_string(source).render(
        title=title, warning=warning, sentences=sentences, facts=facts, sections=sections
    )
    with temporary(path) as file:
        file.write(text.encode())


def as_json(sections: Sequence[Section], folder: Path) -> list[dict[str, Any]]:
    """The sections as JSON values, paths relative to `folder`; rows of tables are in the CSV."""
    return [
        {
            "key": section.key,
            "title": section.title,
            "paragraphs": list(section.paragraphs),
            "figures": [_figure_json(b, folder) for b in section.blocks if isinstance(b, Figure)],
            "tables": [_table_json(b, folder) for b in section.blocks if isinstance(b, Table)],
        }
        for section in sections
    ]


def _figure_json(figure: Figure, folder: Path) -> dict[str, Any]:
    svg = _relative(figure.svg, folder) if figure.svg else None
    paths = {"png": _relative(figure.png, folder), "svg": svg}
    return {"name": figure.name, "caption": figure.caption, "alt": figure.alt, **paths}


def _table_json(table: Table, folder: Path) -> dict[str, Any]:
    return {
        "name": table.name,
        "caption": table.caption,
        "csv": _relative(table.csv, folder),
        "columns": [str(name) for name in table.frame.columns],
        "rows": len(table.frame),
    }


def _relative(path: Path, folder: Path) -> str:
    """A path below `folder` as links write it."""
    return path.relative_to(folder).as_posix()


def figure_block(figure: Figure, folder: Path, label: str = "") -> dict[str, Any]:
    """A figure as the template takes it, its picture inside."""
    data = figure.png.read_bytes()
    return {
        "kind": "figure",
        "name": figure.name,
        "label": label,
        "source": f"data:image/png;base64,{base64.b64encode(data).decode()}",
        "width": int.from_bytes(data[16:20], "big"),
        "height": int.from_bytes(data[20:24], "big"),
        "svg": _relative(figure.svg, folder) if figure.svg else "",
        "caption": figure.caption,
        "alt": figure.alt,
    }


def _shown(block: Figure | Table, folder: Path) -> dict[str, Any]:
    if isinstance(block, Figure):
        return figure_block(block, folder)
    shown = block.frame.head(MOST_ROWS)
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in shown.dtypes]
    rows = [
        [_table_cell(value, number) for value, number in zip(row, numeric, strict=True)]
        for row in shown.itertuples(index=False, name=None)
    ]
    return {
        "kind": "table",
        "name": block.name,
        "label": "",
        "caption": block.caption,
        "csv": _relative(block.csv, folder),
        "columns": [
            {"text": str(c).replace("_", " "), "number": n}
            for c, n in zip(shown.columns, numeric, strict=True)
        ],
        "rows": rows,
        "more": len(block.frame) - len(shown),
    }


def _table_cell(value: Any, number: bool) -> dict[str, Any]:
    text = cell_text(value)
    key = "" if pd.isna(value) or not number else value
    short = len(text) <= SHORT
    return {"text": text, "number": number, "key": key, "short": short, "author": False}


def cell_text(value: Any) -> str:
    """A table's cell: numbers with separators and at most four significant decimals."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        if value == round(value) and abs(value) < 1e15:
            return f"{value:,.0f}"
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
