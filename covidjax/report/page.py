"""One HTML file of sections, tables and figures: inline, offline, printable, with a keyboard.

The pieces (`document.Section`, `Table`, `Figure`, ...) are plain data: `render` makes the page of
them. The template is `page.html.j2`, beside this file.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from covidjax.locking import temporary
from covidjax.report import markup
from covidjax.report.described import as_json, png_size, relative
from covidjax.report.document import (
    Author,
    Block,
    Bullets,
    Cell,
    Code,
    Document,
    Equation,
    Figure,
    Grid,
    Heading,
    Paragraph,
    References,
    Section,
    Table,
    plain,
)
from covidjax.report.numbering import citations, labels

__all__ = ["Figure", "Section", "Table", "as_json", "render", "render_document", "write_table"]
PHANTOM = (
    "PHANTOM: every image here is synthetic. Nothing on this page says anything about patients."
)

MOST_ROWS = 60  # of a table on the page; the CSV has all
SHORT = 30  # characters of a cell that are kept in one line


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
    shown = [_shown_section(section, path.parent, None) for section in sections]
    mark, warning = ("PHANTOM: ", PHANTOM) if phantom else ("", "")
    _write(path, mark + title, warning, shown, sentences=sentences, facts=facts)


def render_document(path: Path, document: Document) -> None:
    """Writes a report as such a page; its pictures lie in the page's folder."""
    numbered = _Numbered(document)
    shown = [_shown_section(section, path.parent, numbered) for section in document.sections]
    _write(path, document.mark + document.title, document.warning, shown, facts=document.facts)


def _write(
    path: Path,
    title: str,
    warning: str,
    sections: Sequence[Mapping[str, Any]],
    *,
    sentences: Sequence[str] = (),
    facts: Sequence[tuple[str, str]] = (),
) -> None:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = resources.files("covidjax.report").joinpath("page.html.j2").read_text("utf-8")
    text = environment.from_string(source).render(
        title=title, warning=warning, sentences=sentences, facts=facts, sections=sections
    )
    with temporary(path) as file:
        file.write(text.encode())


def _table_cell(value: Any, number: bool) -> dict[str, Any]:
    text = cell_text(value)
    key = "" if pd.isna(value) or not number else value
    return {
        "text": text,
        "number": number,
        "key": key,
        "short": len(text) <= SHORT,
        "author": False,
    }


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


class _Numbered:
    """A document's numbers, and its marked texts as HTML."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.labels = labels(document.sections)
        self.numbers = citations(document)

    def html(self, spans: Any) -> Any:
        return markup.spans_html(spans, self.labels, self.numbers)


def _shown_section(section: Section, folder: Path, numbered: _Numbered | None) -> dict[str, Any]:
    blocks = [
        _shown_block(block, folder, numbered.labels if numbered else {})
        if isinstance(block, Figure | Table)
        else _shown_text(block, numbered)
        for block in section.blocks
    ]
    return {
        "key": section.key,
        "title": section.title,
        "paragraphs": section.paragraphs,
        "blocks": blocks,
    }


def _shown_text(block: Block, numbered: _Numbered | None) -> dict[str, Any]:
    """The kinds of block that only a document has."""
    if numbered is None:
        raise ValueError(f"{type(block).__name__} is for a document, see render_document")
    if isinstance(block, Paragraph):
        return {"kind": "paragraph", "html": numbered.html(block.spans)}
    if isinstance(block, Heading):
        return {"kind": "heading", "text": block.text}
    if isinstance(block, Bullets):
        items = [numbered.html(item) for item in block.items]
        return {"kind": "bullets", "items": items, "tag": "ol" if block.numbered else "ul"}
    if isinstance(block, Equation):
        return {"kind": "equation", "html": markup.math(block.tex, display=True)}
    if isinstance(block, Code):
        return {"kind": "code", "text": block.text}
    if isinstance(block, Author):
        text = markup.author_html(numbered.document.text_of(block))
        return {"kind": "author", "html": text, "written": numbered.document.written(block)}
    if isinstance(block, References):
        found = sorted(numbered.numbers.items(), key=lambda one: one[1])
        entries = [(number, numbered.document.references[key]) for key, number in found]
        return {"kind": "references", "entries": entries}
    assert isinstance(block, Grid)
    return _shown_grid(block, numbered)


def _shown_grid(grid: Grid, numbered: _Numbered) -> dict[str, Any]:
    rows = [[_shown_cell(cell, numbered) for cell in row] for row in grid.rows]
    numeric = [any(row[place]["key"] != "" for row in rows) for place in range(len(grid.columns))]
    for row in rows:
        for cell, number in zip(row, numeric, strict=True):
            cell["number"] = number
    return {
        "kind": "table",
        "name": grid.name,
        "label": numbered.labels[grid.name],
        "caption": numbered.html(grid.caption),
        "csv": grid.csv,
        "columns": [
            {"text": name, "number": number}
            for name, number in zip(grid.columns, numeric, strict=True)
        ],
        "rows": rows,
        "more": 0,
    }


def _shown_cell(cell: Cell | Author, numbered: _Numbered) -> dict[str, Any]:
    if isinstance(cell, Author):
        written = numbered.document.written(cell)
        text = markup.author_inline(numbered.document.text_of(cell))
        return {"text": text, "key": "", "short": not written, "author": not written}
    key = "" if cell.value is None else cell.value
    short = len(plain(cell.spans)) <= SHORT
    return {"text": numbered.html(cell.spans), "key": key, "short": short, "author": False}


def _shown_block(block: Figure | Table, folder: Path, called: Mapping[str, str]) -> dict[str, Any]:
    label = called.get(block.name, "")
    if isinstance(block, Figure):
        image = base64.b64encode(block.png.read_bytes()).decode()
        width, height = png_size(block.png)
        return {
            "kind": "figure",
            "name": block.name,
            "label": label,
            "source": f"data:image/png;base64,{image}",
            "width": width,
            "height": height,
            "svg": relative(block.svg, folder) if block.svg else "",
            "caption": block.caption,
            "alt": block.alt,
        }
    shown = block.frame.head(MOST_ROWS)
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in shown.dtypes]
    rows = [
        [_table_cell(value, number) for value, number in zip(row, numeric, strict=True)]
        for row in shown.itertuples(index=False, name=None)
    ]
    return {
        "kind": "table",
        "name": block.name,
        "label": label,
        "caption": block.caption,
        "csv": relative(block.csv, folder),
        "columns": [
            {"text": str(c).replace("_", " "), "number": n}
            for c, n in zip(shown.columns, numeric, strict=True)
        ],
        "rows": rows,
        "more": len(block.frame) - len(shown),
    }
