"""Markdown: what stands in the data comes out as it is, and as nothing else."""

import re

import pytest
from markdown_it import MarkdownIt

from covidjax.report import markdown
from covidjax.report.markdown import Author, code, escape, guard, joined, listing, md, plain, table

NASTY = [
    "a|b", "*x* and _y_ and __z__", "`code`", "<script>alert(1)</script>", "# no heading",
    "1. no list", "- no item", "> no quote", "[a](http://x)", "[a][figure-b]", "![a](b.png)",
    "100 % & more", "$x$ costs $5", "~~struck~~", "\\end{document}", "{}^~#_", "a\\b", "&lt;",
    "<!-- author question -->", "\\input{/etc/passwd}", "a_b_c", "é ß × ≤ 中", "``", "a\nb",
]  # fmt: skip
READER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def shown(text: str) -> str:
    """The text of HTML."""
    bare = re.sub(r"<[^>]*>", "", text)
    for name, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        bare = bare.replace(name, sign)
    return bare


@pytest.mark.parametrize("text", NASTY)
def test_text_is_shown_as_it_is(text) -> None:
    html = READER.render(guard(text))
    assert shown(html).strip() == " ".join(text.split()), html
    assert re.findall(r"<(?!/?p>)", html) == [], html


@pytest.mark.parametrize("text", NASTY)
def test_text_in_a_table_stays_in_its_cell(text) -> None:
    html = READER.render(table(["one", "two"], [[escape(text), "end"], [code(text), "e"]]))
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    assert len(rows) == 3 and all(row.count("<t") == 2 for row in rows[1:]), html
    assert shown(rows[1]).split("\n")[1] == " ".join(text.split())


@pytest.mark.parametrize("value", ["**b**", "[@a]", "$x$", "{b}", "`c`", "<b>"])
def test_marks_in_a_value_are_text_and_those_of_markdown_are_marks(value: str) -> None:
    assert shown(READER.render(md("**{name}**", name=value))).strip() == value
    assert md("a {name}", name=md("**{x}**", x="c")) == "a **c**"


def test_intervals_are_readable_in_the_source() -> None:
    assert escape("0.974 [0.961, 0.985]") == "0.974 [0.961, 0.985]"


def test_lists_have_an_and() -> None:
    assert (joined([]), joined(["a"]), joined(["a", "b", "c"])) == ("", "a", "a, b and c")


def test_a_csv_has_no_marks_and_the_prompt_of_a_place() -> None:
    rows = [(code("a_b"), md("**{x}**", x="0.5"), Author("k", "author"))]
    grid = listing("t", md("About."), ("run", "x", "y"), rows, phantom=True)
    assert grid.frame is not None and list(grid.frame.loc[0]) == ["a_b", "0.5", "author"]
    assert grid.caption.startswith("**PHANTOM.**")
    assert plain(escape("a*b")) == "a*b" and markdown.as_cell(1234).value == 1234.0
