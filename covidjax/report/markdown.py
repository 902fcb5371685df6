"""The draft as Markdown, to be edited: tables, formulas and figures in one file.

Pictures are named where they stand and held at the end of the file, out of the way of who edits.
"""

import base64
import re
from pathlib import Path

from covidjax.report import keep
from covidjax.report.described import relative
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
    Mark,
    Paragraph,
    References,
    Section,
    Spans,
    Table,
)
from covidjax.report.numbering import citations, labels

HOW_TO = """<!--
A draft that covidjax wrote. Write between the pairs of comments that say "author": what stands
there is kept when the report is made again, and goes into report.html and report.tex too. What is
changed elsewhere is written anew from the runs; a copy of this file is kept before that.
-->"""
# Numbers in brackets are intervals, and no links.
INTERVAL = re.compile(r"\\\[(-?[\d.]+(?:, -?[\d.]+)+)\\\]")


def write(document: Document, folder: Path, embed: bool) -> str:
    """The text of `report.md`.

    Args:
      folder: that it stands in, which pictures are linked from.
      embed: whether the pictures are held in the file, or linked.
    """
    writer = _Writer(document, folder)
    parts = [HOW_TO, f"# {escaped(document.mark + document.title)}"]
    if document.warning:
        parts.append(f"> **{escaped(document.warning)}**")
    facts = [f"- {escaped(what)}: {escaped(value)}" for what, value in document.facts]
    parts.append("\n".join(facts))
    figures: list[Figure] = []
    for section in document.sections:
        parts += writer.section(section)
        figures += [block for block in section.blocks if isinstance(block, Figure)]
    parts.append("\n".join(_definition(figure, folder, embed) for figure in figures))
    return "\n\n".join(part for part in parts if part) + "\n"


class _Writer:
    """Writes blocks with the document's numbers."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.labels = labels(document.sections)
        self.numbers = citations(document)
        self.titles = {section.key for section in document.sections}

    def section(self, section: Section) -> list[str]:
        texts = [escaped(paragraph) for paragraph in section.paragraphs]
        blocks = [self.block(block) for block in section.blocks]
        return [f"## {escaped(section.title)}", *texts, *blocks]

    def block(self, block: Block) -> str:
        if isinstance(block, Paragraph):
            return guarded(self.spans(block.spans))
        if isinstance(block, Heading):
            return f"### {escaped(block.text)}"
        if isinstance(block, Bullets):
            marks = [f"{n}." if block.numbered else "-" for n in range(1, len(block.items) + 1)]
            items = zip(marks, block.items, strict=True)
            return "\n".join(f"{mark} {guarded(self.spans(item))}" for mark, item in items)
        if isinstance(block, Equation):
            return f"$$\n{block.tex}\n$$"
        if isinstance(block, Code):
            return f"```\n{block.text}\n```"
        if isinstance(block, Author):
            text = self.document.text_of(block)
            return f"{keep.begin(block)}\n{text}\n{keep.end(block)}"
        if isinstance(block, Figure):
            label = f"**{self.labels[block.name]}.** {escaped(block.caption)}"
            return f"![{escaped(block.alt)}][figure-{block.name}]\n\n{label}"
        if isinstance(block, Grid):
            return self.grid(block)
        if isinstance(block, References):
            found = sorted(self.numbers.items(), key=lambda one: one[1])
            return "\n".join(f"{n}. {escaped(self.document.references[key])}" for key, n in found)
        assert isinstance(block, Table)
        return f"**{self.labels[block.name]}.** {escaped(block.caption)} (see {block.csv.name})"

    def grid(self, grid: Grid) -> str:
        lines = [f"**{self.labels[grid.name]}.** {self.spans(grid.caption)}", ""]
        if grid.csv:
            lines[0] += f" ([CSV]({grid.csv}))"
        lines.append(f"| {' | '.join(in_cell(escaped(name)) for name in grid.columns)} |")
        lines.append(f"|{' --- |' * len(grid.columns)}")
        for row in grid.rows:
            lines.append(f"| {' | '.join(self.cell(cell) for cell in row)} |")
        return "\n".join(lines)

    def cell(self, cell: Cell | Author) -> str:
        if isinstance(cell, Cell):
            return in_cell(self.spans(cell.spans))
        text = in_cell(self.document.text_of(cell))
        return f"{keep.begin(cell)}{text}{keep.end(cell)}"

    def spans(self, spans: Spans) -> str:
        return "".join(escaped(s) if isinstance(s, str) else self.mark(s) for s in spans)

    def mark(self, mark: Mark) -> str:
        if mark.kind == "bold":
            return f"**{escaped(mark.text)}**"
        if mark.kind == "struck":
            return f"~~{escaped(mark.text)}~~"
        if mark.kind == "code":
            return code(mark.text)
        if mark.kind == "math":
            return f"${mark.text}$"
        if mark.kind == "cite":
            numbers = ", ".join(str(self.numbers[key]) for key in mark.text.split(";"))
            return f"[{numbers}]"
        text = escaped(self.labels[mark.text])
        if mark.text in self.titles:
            return f"[{text}](#{re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-')})"
        return text


def escaped(text: str) -> str:
    """Text that Markdown shows as it is; intervals and names stay readable."""
    text = re.sub(r"\s*[\r\n]\s*", " ", text)
    text = re.sub(r"([\\`*\[\]<$])", r"\\\1", text)
    text = INTERVAL.sub(r"[\1]", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    text = re.sub(r"&(?=#?\w+;)", r"\\&", text)
    return text.replace("~~", r"\~\~")


def guarded(text: str) -> str:
    """A paragraph that does not begin as a heading, list, quotation or rule."""
    text = re.sub(r"^([#+=>-])", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", text)


def in_cell(text: str) -> str:
    """Text for a table's cell: in one line, no bar of its own."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def code(text: str) -> str:
    """A code span, whatever backticks are in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{' '.join(text.split())}{space}{fence}"


def _definition(figure: Figure, folder: Path, embed: bool) -> str:
    if not embed:
        return f"[figure-{figure.name}]: {relative(figure.png, folder)}"
    data = base64.b64encode(figure.png.read_bytes()).decode()
    return f"[figure-{figure.name}]: data:image/png;base64,{data}"
