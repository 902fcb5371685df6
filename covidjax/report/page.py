"""One HTML file of sections, tables and figures: inline, offline, printable, with a keyboard.

The pieces (`Section`, `Table`, `Figure`) are plain data: `render` makes the page of them and
`as_json` what another report needs to embed them. The template is `page.html.j2`, beside this file.
"""

import base64
import dataclasses
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from covidjax.data.locking import temporary

MOST_ROWS = 60  # of a table on the page; the CSV has all


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture on disk. `alt` says in words what is to be seen, for who cannot see it."""

    name: str  # of the files, without ending
    png: Path
    svg: Path | None
    caption: str
    alt: str


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
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = resources.files("covidjax.report").joinpath("page.html.j2").read_text("utf-8")
    text = environment.from_string(source).render(
        title=title,
        phantom=phantom,
        sentences=sentences,
        facts=facts,
        sections=[_shown_section(section, path.parent) for section in sections],
    )
    with temporary(path) as file:
        file.write(text.encode())


def as_json(sections: Sequence[Section], folder: Path) -> list[dict[str, Any]]:
    """The sections as JSON values, paths relative to `folder`; rows of tables are in the CSV."""
    found = []
    for section in sections:
        blocks = [_block_json(block, folder) for block in section.blocks]
        found.append(
            {
                "key": section.key,
                "title": section.title,
                "paragraphs": list(section.paragraphs),
                "figures": [block for block in blocks if "png" in block],
                "tables": [block for block in blocks if "csv" in block],
            }
        )
    return found


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


def _shown_section(section: Section, folder: Path) -> dict[str, Any]:
    return {
        "key": section.key,
        "title": section.title,
        "paragraphs": section.paragraphs,
        "blocks": [_shown_block(block, folder) for block in section.blocks],
    }


def _shown_block(block: Figure | Table, folder: Path) -> dict[str, Any]:
    if isinstance(block, Figure):
        image = base64.b64encode(block.png.read_bytes()).decode()
        return {
            "kind": "figure",
            "name": block.name,
            "source": f"data:image/png;base64,{image}",
            "width": _png_size(block.png)[0],
            "height": _png_size(block.png)[1],
            "svg": block.svg.relative_to(folder).as_posix() if block.svg else "",
            "caption": block.caption,
            "alt": block.alt,
        }
    shown = block.frame.head(MOST_ROWS)
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in shown.dtypes]
    rows = [
        [
            {"text": cell_text(value), "number": number, "key": "" if pd.isna(value) else value}
            for value, number in zip(row, numeric, strict=True)
        ]
        for row in shown.itertuples(index=False, name=None)
    ]
    return {
        "kind": "table",
        "name": block.name,
        "caption": block.caption,
        "csv": block.csv.relative_to(folder).as_posix(),
        "columns": [
            {"text": str(c).replace("_", " "), "number": n}
            for c, n in zip(shown.columns, numeric, strict=True)
        ],
        "rows": rows,
        "more": len(block.frame) - len(shown),
    }


def _block_json(block: Figure | Table, folder: Path) -> dict[str, Any]:
    common = {"name": block.name, "caption": block.caption}
    if isinstance(block, Figure):
        svg = block.svg.relative_to(folder).as_posix() if block.svg else None
        png = block.png.relative_to(folder).as_posix()
        return {**common, "alt": block.alt, "png": png, "svg": svg}
    columns = [str(name) for name in block.frame.columns]
    csv = block.csv.relative_to(folder).as_posix()
    return {**common, "csv": csv, "columns": columns, "rows": len(block.frame)}


def _png_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, of its header."""
    header = path.read_bytes()[16:24]
    return int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
