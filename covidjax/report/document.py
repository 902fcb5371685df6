"""The pieces that a page or a report is made of: plain data, and sentences with marks in them.

`prose` writes a sentence with marks in it. Marks are read in the sentence alone, never in the
values that are put into it, so no file's name can turn bold or into a link.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd


@dataclasses.dataclass(frozen=True)
class Mark:
    """Text that is more than text.

    Attributes:
      kind: "bold", "struck" (it does not hold), "code", "math" (TeX), "cite" (keys of references,
        with ";" between) or "ref" (the key of a table, figure or section).
      text: what is marked.
    """

    kind: str
    text: str


Spans = tuple[str | Mark, ...]
MARKS = re.compile(
    r"\*\*(?P<bold>[^*]+)\*\*|~~(?P<struck>[^~]+)~~|`(?P<code>[^`]+)`|\$(?P<math>[^$]+)\$"
    r"|\[@(?P<cite>[\w;@ -]+)\]|\[#(?P<ref>[\w-]+)\]|\{(?P<value>\w+)\}"
)
VALUE = re.compile(r"\{(\w+)\}")


def prose(template: str, **values: str | Mark | Spans) -> Spans:
    """Spans of a template such as "**{name}** has $x^2$ [@guo2017], see [#table-a]."

    `{name}` takes a value as it is; inside of bold, struck and code it takes text.
    """
    spans: list[str | Mark] = []
    end = 0
    for match in MARKS.finditer(template):
        spans.append(template[end : match.start()])
        end = match.end()
        kind = match.lastgroup or ""
        text = match[kind]
        if kind == "value":
            value = values[text]
            spans.extend(value if isinstance(value, tuple) else (value,))
        elif kind in ("math", "ref"):
            spans.append(Mark(kind, text))
        elif kind == "cite":
            spans.append(Mark(kind, text.replace("@", "").replace(" ", "")))
        else:
            spans.append(Mark(kind, VALUE.sub(lambda name: str(values[name[1]]), text)))
    spans.append(template[end:])
    return tuple(span for span in spans if span != "")


def plain(spans: Spans) -> str:
    """The text of spans, without marks."""
    return "".join(span if isinstance(span, str) else span.text for span in spans)


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
class Author:
    """A place for a person's text. Its key stands in `report.md` and finds the text again."""

    key: str  # letters, digits and hyphens
    prompt: str  # what is asked for; stands there until it is overwritten


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a `Grid`; `value` is what its column is sorted by, else its text."""

    spans: Spans
    value: float | None = None


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table whose cells are written already: figures with intervals, marks, places for a person.

    `frame`, where it is given, holds the plain numbers, for `tables/NAME.csv`.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell | Author, ...], ...]
    caption: Spans
    frame: pd.DataFrame | None = None
    phantom: bool = False

    @property
    def csv(self) -> str:
        """Where its numbers are, below the report's folder; "" for none."""
        return "" if self.frame is None else f"tables/{self.name}.csv"


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Running text."""

    spans: Spans


@dataclasses.dataclass(frozen=True)
class Heading:
    """A title inside of a section."""

    text: str


@dataclasses.dataclass(frozen=True)
class Bullets:
    """A list; `numbered` for one whose order matters."""

    items: tuple[Spans, ...]
    numbered: bool = False


@dataclasses.dataclass(frozen=True)
class Equation:
    """A displayed formula in TeX, without its delimiters."""

    tex: str


@dataclasses.dataclass(frozen=True)
class Code:
    """Lines to type, or of a file."""

    text: str


@dataclasses.dataclass(frozen=True)
class References:
    """The list of what is cited; stands where the list is to stand."""


Block = (
    Figure | Table | Grid | Paragraph | Heading | Bullets | Equation | Code | Author | References
)


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page: paragraphs of plain text, then the blocks in their order."""

    key: str  # of links; letters and hyphens
    title: str
    paragraphs: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


@dataclasses.dataclass(frozen=True)
class Document:
    """A report: the same for the three that write it.

    Attributes:
      title: without a mark of its own; `mark` stands before it.
      mark: "" or what says that images are synthetic, such as "PHANTOM: ".
      warning: the line on top of all, "" for none.
      facts: (what, value) under the title.
      sections: in their order.
      references: key -> the entry in words; a key that is not there cannot be cited.
      authors: key of an `Author` -> the text that stands there, in Markdown.
    """

    title: str
    mark: str
    warning: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    references: Mapping[str, str]
    authors: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def text_of(self, author: Author) -> str:
        """A person's text, or what is asked for."""
        return self.authors.get(author.key, author.prompt)

    def written(self, author: Author) -> bool:
        """Whether a person has put something there."""
        return self.text_of(author) != author.prompt
