"""Marked text, formulas and a person's Markdown as HTML. All text is escaped."""

from collections.abc import Mapping

import latex2mathml.converter
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from covidjax.report.document import Mark, Spans

# No HTML of its own, and no pictures, which could ask for a network.
READER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
READER.disable("image")
TAGS = {"bold": "strong", "struck": "s", "code": "code"}


def spans_html(spans: Spans, labels: Mapping[str, str], numbers: Mapping[str, int]) -> Markup:
    """Marked text; `labels` are what tables, figures and sections are called."""
    return Markup("").join(
        escape(span) if isinstance(span, str) else _mark(span, labels, numbers) for span in spans
    )


def _mark(mark: Mark, labels: Mapping[str, str], numbers: Mapping[str, int]) -> Markup:
    if mark.kind in TAGS:
        tag = Markup(TAGS[mark.kind])
        return Markup("<{0}>{1}</{0}>").format(tag, mark.text)
    if mark.kind == "math":
        return math(mark.text, display=False)
    if mark.kind == "cite":
        links = [
            Markup('<a href="#reference-{0}">{0}</a>').format(numbers[key])
            for key in mark.text.split(";")
        ]
        return Markup("[{}]").format(Markup(", ").join(links))
    label = labels[mark.text]
    kind = label.partition(" ")[0].lower()
    numbered = label.rpartition(" ")[2].isdecimal() and kind in ("table", "figure")
    target = f"{kind}-{mark.text}" if numbered else mark.text
    return Markup('<a href="#{}">{}</a>').format(target, label)


def math(tex: str, display: bool) -> Markup:
    """A formula of this programme as MathML, which browsers and screen readers know."""
    how = "block" if display else "inline"
    return Markup(latex2mathml.converter.convert(tex, display=how))


def author_html(text: str) -> Markup:
    """A person's Markdown."""
    return Markup(READER.render(text))


def author_inline(text: str) -> Markup:
    """A person's Markdown in a table's cell: one line."""
    return Markup(READER.renderInline(" ".join(text.split())))
