"""The page of a draft: escaped, numbered, linked, with places for an author."""

import re

import pytest
from PIL import Image

from covidjax.report import draft, html
from covidjax.report.draft import Draft
from covidjax.report.markdown import Author, Figure, listing, md, table


def page(tmp_path, text: str, **parts) -> str:
    """The HTML of a draft with that text in its only section."""
    fields = {"authors": (), "tables": {}, "figures": {}, **parts}
    made = Draft("Title", "", (("Runs", "1"),), f"# Title\n\n## One\n\n{text}\n", **fields)
    html.write_page(tmp_path / "report.html", made)
    written = (tmp_path / "report.html").read_text()
    return written.partition("<main")[2].partition("</main>")[0]


@pytest.mark.parametrize(
    "text",
    ["<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](http://evil/x.png)",
     "<!-- x --><script>1</script>", "a <b onclick=x>b</b>"],
)  # fmt: skip
def test_markdown_cannot_script_or_ask_for_a_network(tmp_path, text) -> None:
    for place in (text, f"- {text}", f"<!-- author k 0 -->\n{text}\n<!-- /author k -->"):
        found = page(tmp_path, place, authors=(Author("k", "Say."),))
        assert not re.search(r"<(img|script|b) ?", found) and 'href="javascript' not in found


def test_a_persons_markdown_is_formatted_and_an_open_place_is_marked(tmp_path) -> None:
    place = Author("k", "Say it.")
    mine = "A *b* **c** `d`.\n\n- one\n- two"
    for text, kind in ((mine, '<div class="author">'), (place.prompt, '<div class="author open">')):
        made = f"<!-- author k {html.keep.short_hash(place.prompt)} -->\n{text}\n<!-- /author k -->"
        found = page(tmp_path, made, authors=(place,))
        assert kind in found and "author k" not in found
    found = page(tmp_path, f"<!-- author k 0 -->\n{mine}\n<!-- /author k -->", authors=(place,))
    assert "<em>b</em>" in found and "<li>two</li>" in found


def test_titles_in_a_persons_text_begin_no_section(tmp_path) -> None:
    text = "<!-- author k 0 -->\n## Mine\n\ntext\n<!-- /author k -->\n\nbehind"
    found = page(tmp_path, text, authors=(Author("k", "Say."),))
    assert found.count("<section") == 1 and "<h2>Mine</h2>" in found


def test_tables_have_their_label_caption_numbers_and_file(tmp_path) -> None:
    grid = listing("t", md("About **it**."), ("run", "x"), [("a", "0.5 [0.4, 0.6]"), ("b", "")])
    rows = [[cell.text for cell in row] for row in grid.rows]
    text = f"**Table 1.** {grid.caption} ([CSV](tables/t.csv))\n\n{table(grid.columns, rows)}"
    found = page(tmp_path, text, tables={"t": grid})
    assert "<strong>Table 1.</strong> About <strong>it</strong>.</span></caption>" in found
    assert 'data-value="0.5"' in found and '<a href="tables/t.csv">' in found
    assert found.count("<tr>") == 3 and "[CSV]" not in found


def test_figures_are_inside_of_the_page(tmp_path) -> None:
    (tmp_path / "figures").mkdir()
    Image.new("L", (7, 5)).save(tmp_path / "figures" / "f.png")
    figure = Figure("f", tmp_path / "figures" / "f.png", None, "What <it> is.", "Alt.")
    text = "![Alt.](figures/f.png)\n\n**Figure 1.** What \\<it> is."
    found = page(tmp_path, text, figures={"f": figure})
    assert 'width="7" height="5"' in found and 'src="data:image/png;base64,' in found
    assert "<strong>Figure 1.</strong> What &lt;it&gt; is.</figcaption>" in found


def test_citations_are_links_and_intervals_are_not(tmp_path) -> None:
    text = "As [3, 12] say: 0.5 [0.4, 0.6] in [0, 1].\n\n## References\n\n1. A.\n2. B."
    found = page(tmp_path, text, references=12)
    assert '[<a href="#reference-3">3</a>, <a href="#reference-12">12</a>]' in found
    assert "[0.4, 0.6] in [0, 1]." in found and '<li id="reference-2">' in found


def test_formulas_become_mathml_and_what_is_none_stays_readable(tmp_path) -> None:
    found = page(tmp_path, "With $x_1$:\n\n$$\nL = \\frac{1}{n}\n$$\n\nIt costs $5 or $6.")
    assert found.count("<math") == 2 and "<mfrac>" in found and "$5 or $6" in found


def test_every_formula_of_the_templates_is_sound() -> None:
    from pathlib import Path

    from latex2mathml.converter import convert

    templates = Path(draft.__file__).parent / "templates"
    text = "".join(path.read_text() for path in templates.glob("*.j2"))
    formulas = re.findall(r"\$\$\n(.*?)\n\$\$", text, re.DOTALL)
    assert len(formulas) > 15
    assert all("<merror" not in convert(formula) for formula in formulas)
