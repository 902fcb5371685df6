"""How a document's pieces are named, numbered and cited, and where a person's places are."""

import dataclasses
from collections.abc import Iterator, Sequence

from covidjax.report.document import (
    Author,
    Block,
    Bullets,
    Cell,
    Document,
    Figure,
    Grid,
    Mark,
    Paragraph,
    Section,
    Spans,
    Table,
)


def labels(sections: Sequence[Section]) -> dict[str, str]:
    """Name of each table, figure and section -> "Table 2"; sections by their titles.

    Raises:
      ValueError: two things have one name.
    """
    named: list[tuple[str, str]] = []
    counts = {"Table": 0, "Figure": 0}
    for section in sections:
        named.append((section.key, section.title))
        for block in section.blocks:
            if isinstance(block, Figure | Table | Grid):
                kind = "Figure" if isinstance(block, Figure) else "Table"
                counts[kind] += 1
                named.append((block.name, f"{kind} {counts[kind]}"))
    found = dict(named)
    if len(found) < len(named):
        names = [name for name, _ in named]
        raise ValueError(f"names stand twice: {sorted({n for n in names if names.count(n) > 1})}")
    return found


def distinct(sections: Sequence[Section]) -> tuple[Section, ...]:
    """The sections with a number behind the names of tables and figures that came before."""
    taken = {section.key for section in sections}
    found = []
    for section in sections:
        blocks: list[Block] = []
        for block in section.blocks:
            if isinstance(block, Figure | Table | Grid):
                name, number = block.name, 1
                while name in taken:
                    number += 1
                    name = f"{block.name}-{number}"
                taken.add(name)
                block = dataclasses.replace(block, name=name)
            blocks.append(block)
        found.append(dataclasses.replace(section, blocks=tuple(blocks)))
    return tuple(found)


def citations(document: Document) -> dict[str, int]:
    """Key of each cited reference -> its number, in the order of the text.

    Raises:
      KeyError: something is cited that `document.references` does not hold.
    """
    found: dict[str, int] = {}
    for spans in all_spans(document.sections):
        for span in spans:
            if isinstance(span, Mark) and span.kind == "cite":
                for key in span.text.split(";"):
                    if key not in document.references:
                        raise KeyError(f"no reference {key}")
                    found.setdefault(key, len(found) + 1)
    return found


def authors(sections: Sequence[Section]) -> list[Author]:
    """All places for a person's text, in their order."""
    found = []
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Author):
                found.append(block)
            elif isinstance(block, Grid):
                found += [cell for row in block.rows for cell in row if isinstance(cell, Author)]
    return found


def all_spans(sections: Sequence[Section]) -> Iterator[Spans]:
    """Every marked text, in the order of reading."""
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Paragraph):
                yield block.spans
            elif isinstance(block, Bullets):
                yield from block.items
            elif isinstance(block, Grid):
                yield block.caption
                for row in block.rows:
                    yield from (cell.spans for cell in row if isinstance(cell, Cell))
