"""`report.md` as a page: the draft's Markdown through markdown-it, in the page that stands.

All text is escaped, a person's too: HTML in it is shown as text, and pictures other than the
draft's own are left out, for a page that asks for a network is no record of a run.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import latex2mathml.converter
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape
from mdit_py_plugins.dollarmath import dollarmath_plugin

from covidjax.report import keep
from covidjax.report.draft import Draft
from covidjax.report.page import SHORT, figure_block, write
from covidjax.report.pandoc import COMMENT
from covidjax.report.writer import slug

AUTHOR = re.compile(r"<!-- (?P<end>/?)author (?P<key>[\w-]+)(?: (?P<hash>\w+))? -->")
LABEL = re.compile(r"(Figure|Table) \d+\.$")
CITATION = re.compile(r"\[(\d+(?:, \d+)*)\]")
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def write_page(path: Path, draft: Draft) -> None:
    """Writes `report.html` of a draft whose pictures lie in `figures/` beside it."""
    write(path, draft.title, draft.warning, _sections(draft, path.parent), facts=draft.facts)


def _sections(draft: Draft, folder: Path) -> list[dict[str, Any]]:
    """What the template takes: a section for each title of the second level."""
    reader = make_reader()
    tokens = reader.parse(draft.text)
    found: list[dict[str, Any]] = []
    for block in _Blocks(reader, draft, folder).read(tokens):
        if block["kind"] == "section":
            found.append({**block, "paragraphs": (), "blocks": []})
        elif found:  # the title and the facts above the first section are the page's own
            found[-1]["blocks"].append(block)
    return found


def make_reader() -> MarkdownIt:
    """A parser of a draft's Markdown, whose output is escaped."""
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader.use(dollarmath_plugin, allow_space=False, allow_digits=False, allow_labels=False)
    rules: Mapping[str, Any] = {
        "html_block": lambda tokens, at, *_: _html(tokens[at].content),
        "html_inline": lambda tokens, at, *_: _html(tokens[at].content),
        "image": lambda tokens, at, *_: escape(tokens[at].content),
        "math_inline": lambda tokens, at, *_: _math(tokens[at].content, "inline"),
        "math_block": lambda tokens, at, *_: Markup(
            '<div class="equation" tabindex="0" role="group" aria-label="Equation">{}</div>\n'
        ).format(_math(tokens[at].content, "block")),
        "fence": lambda tokens, at, *_: Markup(
            '<pre tabindex="0" role="group" aria-label="Commands"><code>{}</code></pre>\n'
        ).format(tokens[at].content.rstrip("\n")),
    }
    _renderer(reader).rules |= rules
    return reader


def _renderer(reader: MarkdownIt) -> RendererHTML:
    assert isinstance(reader.renderer, RendererHTML)  # what MarkdownIt makes by default
    return reader.renderer


def _html(content: str) -> str:
    """HTML in the Markdown: comments go, everything else is shown as text."""
    return escape(COMMENT.sub("", content).removesuffix("\n"))


def _math(tex: str, display: str) -> Markup:
    """A formula as MathML, which browsers and screen readers know; TeX where it is not one."""
    try:
        return Markup(latex2mathml.converter.convert(tex.strip(), display=display))
    except Exception:  # the converter raises whatever comes, and a person may write anything
        return Markup("<code>{}</code>").format(tex)


class _Blocks:
    """Cuts a stream of tokens into the blocks of the page."""

    def __init__(self, reader: MarkdownIt, draft: Draft, folder: Path) -> None:
        self.draft, self.folder = draft, folder
        self.renderer, self.options = _renderer(reader), reader.options
        self.prompts = {place.key: place.prompt for place in draft.authors}
        self.figures = {f"figures/{name}.png": figure for name, figure in draft.figures.items()}
        self.tables = iter(draft.tables)
        self.in_references = False

    def read(self, tokens: Sequence[Token]) -> Iterator[dict[str, Any]]:
        """The blocks in their order; a section's title is one of kind "section"."""
        groups = list(_groups(tokens))
        at = 0
        while at < len(groups):
            group = groups[at]
            opening = AUTHOR.match(group[0].content) if group[0].type == "html_block" else None
            if opening and not opening["end"]:
                last = _end_of(groups, at, opening["key"])
                yield self._author(opening["key"], groups[at : last + 1])
                at = last
            elif group[0].type == "heading_open" and group[0].tag == "h2":
                title = group[1].content.replace("\\", "")
                self.in_references = title == "References"
                yield {"kind": "section", "key": slug(title), "title": title}
            elif (source := _image(group)) in self.figures and _label(groups, at + 1) == "Figure":
                yield self._figure(source, groups[at + 1])
                at += 1
            elif _label(groups, at) == "Table" and groups[at + 1][0].type == "table_open":
                yield self._table(group, groups[at + 1])
                at += 1
            else:
                yield {"kind": "html", "html": self._html(group)}
            at += 1

    def _html(self, group: Sequence[Token]) -> Markup:
        """Text, lists and the like."""
        if group[0].type in ("bullet_list_open", "ordered_list_open"):
            name = "references" if self.in_references else "items"
            group[0].attrSet("class", name)
            items = [token for token in group if token.type == "list_item_open"]
            for number, item in enumerate(items if self.in_references else (), 1):
                item.attrSet("id", f"reference-{number}")
        text = self.renderer.render(group, self.options, {})
        return Markup(text if self.in_references else CITATION.sub(self._links, text))

    def _links(self, match: re.Match[str]) -> str:
        """Links to references; numbers that are none stay as they are."""
        numbers = match[1].split(", ")
        if not all(0 < int(number) <= self.draft.references for number in numbers):
            return match[0]
        links = [f'<a href="#reference-{number}">{number}</a>' for number in numbers]
        return f"[{', '.join(links)}]"

    def _inline(self, token: Token) -> Markup:
        text = self.renderer.renderInline(token.children or [], self.options, {})
        return Markup(text.strip())

    def _author(self, key: str, groups: Sequence[Sequence[Token]]) -> dict[str, Any]:
        content = "".join(self._html(group) for group in groups)
        prompt = self.prompts[key]
        text = "\n".join(token.content for group in groups for token in group if token.level == 1)
        open_ = keep.short_hash(text) == keep.short_hash(prompt)
        return {"kind": "author", "html": Markup(content), "written": not open_}

    def _figure(self, source: str, caption: Sequence[Token]) -> dict[str, Any]:
        figure = self.figures[source]
        number = list(self.figures).index(source) + 1
        return figure_block(figure, self.folder, f"Figure {number}")

    def _table(self, caption: Sequence[Token], table: Sequence[Token]) -> dict[str, Any]:
        name = next(self.tables)
        grid = self.draft.tables[name]
        cells = [t for t, before in zip(table[1:], table, strict=False) if before.type == "td_open"]
        width = len(grid.columns)
        rows = [
            [self._cell(cell) for cell in cells[start : start + width]]
            for start in range(0, len(cells), width)
        ]
        numeric = [any(row[place]["key"] != "" for row in rows) for place in range(width)]
        for row in rows:
            for cell, number in zip(row, numeric, strict=True):
                cell["number"] = number
        children = [token for token in caption[1].children or []]
        link = next((at for at, token in enumerate(children) if _to_csv(token)), len(children))
        text = children[4:link]  # between the label and the link
        if text and link < len(children):
            text[-1].content = text[-1].content.removesuffix(" (")
        return {
            "kind": "table",
            "name": name,
            "label": children[2].content.removesuffix("."),
            "caption": Markup(self.renderer.renderInline(text, self.options, {}).strip()),
            "csv": f"tables/{name}.csv" if grid.frame is not None else "",
            "columns": [
                {"text": title, "number": number}
                for title, number in zip(grid.columns, numeric, strict=True)
            ],
            "rows": rows,
            "more": 0,
        }

    def _cell(self, token: Token) -> dict[str, Any]:
        place = AUTHOR.search(token.content)
        shown = AUTHOR.sub("", token.content).strip()
        open_ = bool(place) and shown == self.prompts[place["key"]] if place else False
        number = NUMBER.match(shown.lstrip("*~"))
        key = number[0].replace(",", "") if number and not place and _figure_only(shown) else ""
        short = len(re.sub(r"[\\*~`]", "", shown)) <= SHORT
        return {"text": self._inline(token), "key": key, "short": short, "author": open_}


def _figure_only(text: str) -> bool:
    """Whether a cell holds a number, alone or with its interval or spread."""
    bare = text.strip("*~").replace("\\", "")
    return bool(re.fullmatch(r"-?\d[\d,]*(\.\d+)?( \[[^\]]*\]| ± [\d.]+| %)?", bare))


def _to_csv(token: Token) -> bool:
    return token.type == "link_open" and str(token.attrGet("href")).startswith("tables/")


def _groups(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens of each block of the first level."""
    group: list[Token] = []
    for token in tokens:
        group.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield group
            group = []


def _end_of(groups: Sequence[Sequence[Token]], at: int, key: str) -> int:
    """Where the comment stands that ends an author's block."""
    for place in range(at, len(groups)):
        for token in groups[place]:
            if f"<!-- /author {key} -->" in token.content:
                return place
    return at


def _image(group: Sequence[Token]) -> str:
    """The source of a paragraph that is a picture, else ""."""
    children = group[1].children if group[0].type == "paragraph_open" else None
    if children and len(children) == 1 and children[0].type == "image":
        return str(children[0].attrGet("src"))
    return ""


def _label(groups: Sequence[Sequence[Token]], at: int) -> str:
    """Figure or Table where the paragraph begins with such a label, else ""."""
    if at >= len(groups) or groups[at][0].type != "paragraph_open":
        return ""
    children = groups[at][1].children or []
    match = LABEL.match(children[2].content) if len(children) > 3 else None
    return match[1] if match and children[1].type == "strong_open" else ""
