"""Text of the draft as Markdown: what is escaped, and how tables and figures are written."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

# Numbers in brackets are intervals, not links.
INTERVAL = re.compile(r"\\\[(-?[\d.]+(?:, -?[\d.]+)+)\\\]")


class Markdown(str):
    """Text that is Markdown already, and is not escaped again."""


@dataclasses.dataclass(frozen=True)
class Author:
    """A place for a person's text.

    Attributes:
      key: letters, digits and hyphens; it stands in `report.md` and finds the text again.
      prompt: what is asked for; it stands there until it is overwritten.
    """

    key: str
    prompt: str


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table; `value` is the number that a spreadsheet would have."""

    text: Markdown
    value: float | None = None


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table whose cells are written already.

    Attributes:
      name: of the CSV file, and of links.
      columns: titles.
      rows: cells, or places for a person.
      caption: what the table shows.
      frame: its plain numbers, for `tables/NAME.csv`; None for none.
      phantom: whether any of it is of synthetic images.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell | Author, ...], ...]
    caption: Markdown
    frame: pd.DataFrame | None = None
    phantom: bool = False


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture on disk; `alt` says in words what is to be seen, for those who cannot see it."""

    name: str  # of the files, without ending
    png: Path
    svg: Path | None
    caption: str
    alt: str


def md(template: str, **values: object) -> Markdown:
    """`template`, which is Markdown, with values that are escaped unless they are Markdown."""
    return Markdown(template.format(**{name: escape(value) for name, value in values.items()}))


def escape(value: object) -> Markdown:
    """A value as Markdown that shows it as it is; intervals and names stay readable."""
    if isinstance(value, Markdown):
        return value
    text = re.sub(r"\s*[\r\n]\s*", " ", str(value))
    text = re.sub(r"([\\`*\[\]<$])", r"\\\1", text)
    text = INTERVAL.sub(r"[\1]", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    text = re.sub(r"&(?=#?\w+;)", r"\\&", text)
    return Markdown(text.replace("~~", r"\~\~"))


def guard(value: object) -> Markdown:
    """A value that begins a paragraph or an item, and must not begin a heading or a list."""
    text = re.sub(r"^([#+=>-])", r"\\\1", escape(value))
    return Markdown(re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", text))


def code(value: object) -> Markdown:
    """A code span, whatever backticks are in it."""
    text = " ".join(str(value).split())
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return Markdown(f"{fence}{space}{text}{space}{fence}")


def struck(value: object) -> Markdown:
    """A value that does not hold, struck through."""
    return Markdown(f"~~{escape(value)}~~")


def joined(parts: Iterable[object]) -> Markdown:
    """The parts with commas, and "and" before the last."""
    texts = [escape(part) for part in parts]
    if len(texts) < 2:
        return Markdown("".join(texts))
    return Markdown(f"{', '.join(texts[:-1])} and {texts[-1]}")


def in_cell(text: str) -> str:
    """Text for a table's cell: in one line, with no bar of its own."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table; the dashes say to pandoc how wide each column wants to be."""
    lines = [[in_cell(escape(name)) for name in columns]]
    lines += [[in_cell(text) for text in row] for row in rows]
    widths = [
        min(40, max(3, *(len(_visible(line[place])) for line in lines)))
        for place in range(len(columns))
    ]
    head = "|".join("-" * width for width in widths)
    bars = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([bars[0], f"|{head}|", *bars[1:]])


def _visible(text: str) -> str:
    return re.sub(r"<!--.*?-->", "", text)


def listing(
    name: str,
    caption: Markdown,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    phantom: bool = False,
    save: bool = True,
) -> Grid:
    """A table of anything; numbers are written as they are. `save`: as a CSV file too."""
    cells = tuple(
        tuple(one if isinstance(one, Author) else as_cell(one) for one in row) for row in rows
    )
    frame = pd.DataFrame([list(map(plain, row)) for row in rows], columns=list(columns))
    return marked(Grid(name, tuple(columns), cells, caption, frame if save else None, phantom))


def marked(grid: Grid) -> Grid:
    """The table with PHANTOM before its caption, where it has synthetic data."""
    if not grid.phantom:
        return grid
    return dataclasses.replace(grid, caption=Markdown(f"**PHANTOM.** {grid.caption}"))


def as_cell(value: Any) -> Cell:
    """A cell of text, of Markdown, or of a number."""
    if isinstance(value, str):
        return Cell(escape(value))
    return Cell(Markdown(f"{value:,}" if isinstance(value, int) else f"{value:.4g}"), float(value))


def plain(value: Any) -> Any:
    """What a CSV file has for it: Markdown without its marks."""
    if isinstance(value, Markdown):
        return re.sub(r"\\(.)", r"\1", re.sub(r"\*\*|~~|`", "", value))
    return value.prompt if isinstance(value, Author) else value
