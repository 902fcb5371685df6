"""Markdown and LaTeX: what stands in the data comes out as it is, and as nothing else."""

import re
import shlex

import pytest
from markdown_it import MarkdownIt

from covidjax.report import keep, markdown, markup, tex, tex_text
from covidjax.report.document import (
    Author,
    Code,
    Document,
    Equation,
    Heading,
    Paragraph,
    Section,
    prose,
)
from covidjax.report.sections.tables import listing

NASTY = [
    "a|b", "*x* and _y_ and __z__", "`code`", "<script>alert(1)</script>", "# no heading",
    "1. no list", "- no item", "> no quote", "[a](http://x)", "[a][figure-b]", "![a](b.png)",
    "100 % & more", "$x$ costs $5", "~~struck~~", "\\end{document}", "{}^~#_", "a\\b", "&lt;",
    "<!-- author question -->", "\\input{/etc/passwd}", "a_b_c", "é ß × ≤ 中", "``", "a\nb",
]  # fmt: skip
READER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def made(*blocks, authors=None) -> Document:
    return Document(
        "A title", "", "", (("Runs", "1"),), (Section("s", "S", (), blocks),), {}, authors or {}
    )


def shown(text: str) -> str:
    """The text of HTML."""
    bare = re.sub(r"<[^>]*>", "", text)
    for name, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        bare = bare.replace(name, sign)
    return bare


@pytest.mark.parametrize("text", NASTY)
def test_text_in_markdown_is_shown_as_it_is(text) -> None:
    written = markdown.guarded(markdown.escaped(text))
    html = READER.render(written)
    assert shown(html).strip() == " ".join(text.split()), html
    assert re.findall(r"<(?!/?p>)", html) == [], html


@pytest.mark.parametrize("text", NASTY)
def test_text_in_a_table_stays_in_its_cell(text) -> None:
    grid = listing("t", ("About",), ["one", "two"], [[text, "end"], [prose("`{x}`", x=text), "e"]])
    html = READER.render(markdown.write(made(grid), None, True))  # type: ignore[arg-type]
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    assert len(rows) == 3 and all(row.count("<t") == 2 for row in rows[1:]), html
    assert shown(rows[1]).split("\n")[1] == " ".join(text.split())


def test_intervals_are_readable_in_the_source() -> None:
    assert markdown.escaped("0.974 [0.961, 0.985]") == "0.974 [0.961, 0.985]"


def test_a_persons_text_is_marked_and_taken_over() -> None:
    place = Author("question", "Asked.")
    text = markdown.write(made(place, authors={"question": "**Mine**"}), None, True)  # type: ignore[arg-type]
    assert f"{keep.begin(place)}\n**Mine**\n{keep.end(place)}" in text


def test_a_persons_text_in_a_cell_stays_in_one_line_however_often() -> None:
    place = Author("item", "author")
    grid = listing("t", ("About",), ["what", "answer"], [["x", place]])
    text = "a | b\nc"
    for _ in range(3):
        written = markdown.write(made(grid, authors={"item": text}), None, True)  # type: ignore[arg-type]
        [line] = [line for line in written.splitlines() if "author item" in line]
        text = keep.BLOCK.search(line)["text"]  # type: ignore[index]
    assert text == r"a \| b c"


@pytest.mark.parametrize("text", NASTY)
def test_text_in_latex_cannot_command(text) -> None:
    written = tex_text.escaped(text)
    bare = re.sub(r"\\[#$%&_{}]", "", written)
    bare = re.sub(r"\\text[a-z]+\{\}|\\ldots\{\}|\$\\[a-z]+\$|\{\[\}", "", bare)
    assert not re.search(r"[#$%&_^~{}\\]", bare), written
    assert written.isascii() or all(sign in "éß" for sign in written if not sign.isascii())


@pytest.mark.parametrize("text", NASTY)
def test_a_persons_markdown_in_latex_cannot_command(text) -> None:
    written = tex_text.author_tex(text)
    assert written.count("{") == written.count("}") or "\\{" in written or "\\}" in written
    assert not re.search(r"\\(?:input|end\{document|write|include)", written.replace("\\\\", ""))


def test_a_persons_markdown_becomes_latex_and_html() -> None:
    text = "A *b* **c** `d_e` [f](https://g.h/i#j).\n\n- one\n- two\n\n1. first\n"
    text += "\n> said\n\n```\nx_y\n```"
    written = tex_text.author_tex(text)
    for part in ("\\emph{b}", "\\textbf{c}", "\\texttt{d\\_e}", "\\href{https://g.h/i\\#j}{f}",
                 "\\begin{itemize}\n\\item one", "\\begin{enumerate}", "\\begin{quote}",
                 "\\begin{verbatim}\nx_y\n"):  # fmt: skip
        assert part in written, written
    html = markup.author_html(text)
    assert "<em>b</em>" in html and "<li>two</li>" in html


@pytest.mark.parametrize(
    "text",
    ["<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](http://evil/x.png)",
     "<!-- x --><script>1</script>"],
)  # fmt: skip
def test_a_persons_markdown_cannot_script_or_ask_for_a_network(text) -> None:
    html = markup.author_html(text)
    assert "<img" not in html and "<script" not in html and 'href="javascript' not in html


def test_long_commands_go_on_in_the_next_line_of_a_page() -> None:
    command = "python launch.py " + " ".join(f"--config.field{i}=value" for i in range(9))
    text = tex.write(made(Code(command)), None)  # type: ignore[arg-type]
    shown = text.split("\\begin{verbatim}\n")[1].split("\n\\end{verbatim}")[0]
    assert max(map(len, shown.split("\n"))) < 80
    assert shlex.split(shown.replace("\\\n", "")) == shlex.split(command)


def test_code_cannot_end_its_listing() -> None:
    text = tex.write(made(Code("a\n\\end{verbatim}\nb")), None)  # type: ignore[arg-type]
    assert text.count("\\end{verbatim}") == 1


def test_a_document_is_whole_in_each() -> None:
    blocks = (Heading("H"), Paragraph(prose("See [#s].")), Equation("a = b"), Code("run"))
    text = tex.write(made(*blocks), None)  # type: ignore[arg-type]
    assert "\\hyperref[s]{S}" in text and "\\label{s}" in text
    assert "\\begin{equation}\na = b\n\\end{equation}" in text
    text = markdown.write(made(*blocks), None, True)  # type: ignore[arg-type]
    assert "See [S](#s)." in text and "$$\na = b\n$$" in text and "```\nrun\n```" in text
