"""What the draft's templates call: it numbers, escapes, and keeps places for a person."""

import dataclasses
import functools
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2

from covidjax.report import facts, keep, markdown
from covidjax.report.markdown import Author, Cell, Figure, Grid, Markdown, escape

TOKEN = re.compile("\0(\\w+):([^\0]*)\0")


class Writer:
    """What templates call: it numbers tables, figures and citations in the order of the text.

    Places, references and links to sections are tokens until the whole text is there.
    """

    def __init__(self, written: Mapping[str, str]) -> None:
        self.written = written
        self.places: dict[str, Author] = {}
        self.tables: dict[str, Grid] = {}
        self.figures: dict[str, Figure] = {}
        self.cited: dict[str, int] = {}

    def section(self, title: str) -> Markdown:
        """A section's title."""
        return escape(title)

    def ref(self, title: str) -> Markdown:
        """A link to the section of that title."""
        return Markdown(f"[{title}](#{slug(title)})")

    def cite(self, *keys: str) -> Markdown:
        """Numbers of references, such as [3, 4]."""
        for key in keys:
            if key not in references():
                raise KeyError(f"no reference {key}")
            self.cited.setdefault(key, len(self.cited) + 1)
        return Markdown(f"[{', '.join(str(self.cited[key]) for key in keys)}]")

    def references(self) -> Markdown:
        """The list of what is cited, checklists included."""
        return Markdown("\0references:\0")

    def author(self, key: str, prompt: str) -> Markdown:
        """A place for a person's text."""
        self.places[key] = Author(key, prompt)
        return Markdown(f"\0author:{key}\0")

    def show(self, figure: Figure) -> Markdown:
        """A figure with its number and caption."""
        name = _distinct(figure.name, self.figures)
        self.figures[name] = dataclasses.replace(figure, name=name)
        label = f"**Figure {len(self.figures)}.** {escape(figure.caption)}"
        return Markdown(f"![{escape(figure.alt)}](figures/{name}.png)\n\n{label}")

    def tabulate(self, grid: Grid) -> Markdown:
        """A table with its number, caption and a link to its CSV file."""
        name = _distinct(grid.name, self.tables)
        self.tables[name] = dataclasses.replace(grid, name=name)
        for row in grid.rows:
            self.places |= {cell.key: cell for cell in row if isinstance(cell, Author)}
        label = f"**Table {len(self.tables)}.** {grid.caption}"
        if grid.frame is not None:
            label += f" ([CSV](tables/{name}.csv))"
        rows = [
            [cell.text if isinstance(cell, Cell) else f"\0cell:{cell.key}\0" for cell in row]
            for row in grid.rows
        ]
        return Markdown(f"{label}\n\n{markdown.table(grid.columns, rows)}")

    def finished(self, text: str) -> str:
        """The text with a person's words and the references, and one empty line at a time."""
        text = re.sub(r"\n{3,}", "\n\n", text)
        gone = {key: own for key, own in self.written.items() if key not in self.places and own}
        if gone:
            self.places |= {key: Author(key, "") for key in gone}
            kept = "\n\n".join(f"\0author:{key}\0" for key in gone)
            text = f"{text.rstrip()}\n\n## Kept from an earlier version\n\n{kept}"
        return TOKEN.sub(self._token, text).rstrip() + "\n"

    def _token(self, match: re.Match[str]) -> str:
        kind, key = match.groups()
        if kind == "references":
            return "\n".join(f"{n}. {escape(references()[key])}" for key, n in self.cited.items())
        place = self.places[key]
        text = self.written.get(key, place.prompt)
        if kind == "cell":
            return f"{keep.begin(place)}{markdown.in_cell(text)}{keep.end(place)}"
        return f"{keep.begin(place)}\n{text}\n{keep.end(place)}"


def slug(title: str) -> str:
    """What a section is called in links, as code hosts have it."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


@functools.cache
def references() -> Mapping[str, str]:
    """Key -> the entry in words."""
    return tomllib.loads(template("references.toml"))


def template(name: str) -> str:
    """A file of `templates/`."""
    return resources.files("covidjax.report.templates").joinpath(name).read_text("utf-8")


@functools.cache
def _loader() -> jinja2.BaseLoader:
    return jinja2.FunctionLoader(template)


def environment(writer: Writer) -> jinja2.Environment:
    """What renders the templates with that writer."""
    made = jinja2.Environment(
        loader=_loader(),
        finalize=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    own: Sequence[Callable[..., Any]] = (
        *(writer.section, writer.ref, writer.cite, writer.references),
        *(writer.author, writer.show, writer.tabulate),
    )
    made.globals |= facts.FUNCTIONS | {function.__name__: function for function in own}
    return made


def _distinct(name: str, taken: Mapping[str, Any]) -> str:
    """The name, or with a number where something before it has the same."""
    number = 1
    while (found := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return found
