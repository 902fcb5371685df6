"""The pieces: marks are read in templates alone, names and numbers are whole."""

import pytest

from covidjax.report import document, numbering
from covidjax.report.document import Bullets, Code, Grid, Mark, Paragraph, Section, prose
from covidjax.report.sections.tables import listing


def test_marks_of_a_template_become_spans_in_their_order() -> None:
    spans = prose("**{a}** `x` ~~0.9~~ $x_1$ [@one; @two] see [#data] {a}.", a="A")
    kinds = [(span.kind, span.text) for span in spans if isinstance(span, Mark)]
    assert kinds == [
        ("bold", "A"), ("code", "x"), ("struck", "0.9"), ("math", "x_1"),
        ("cite", "one;two"), ("ref", "data"),
    ]  # fmt: skip
    assert document.plain(spans).endswith(" A.")


@pytest.mark.parametrize("value", ["**b**", "[@a]", "$x$", "{b}", "`c`", "<b>"])
def test_marks_in_a_value_are_text(value: str) -> None:
    assert prose("{name}", name=value) == (value,)


def test_a_value_can_be_marked_text() -> None:
    assert prose("a {b}", b=prose("**c**")) == ("a ", Mark("bold", "c"))


def grid(name: str) -> Grid:
    return listing(name, ("x",), ["a"], [["b"]])


def test_tables_are_numbered_over_all_sections() -> None:
    sections = [Section("a", "A", (), (grid("x"),)), Section("b", "B", (), (grid("y"),))]
    assert numbering.labels(sections) == {"a": "A", "b": "B", "x": "Table 1", "y": "Table 2"}


def test_equal_names_are_refused_and_can_be_made_unlike() -> None:
    sections = [Section("x", "A", (), (grid("x"), grid("x"), Code("c")))]
    with pytest.raises(ValueError, match="x"):
        numbering.labels(sections)
    assert set(numbering.labels(numbering.distinct(sections))) == {"x", "x-2", "x-3"}


def test_citations_are_numbered_as_they_are_read() -> None:
    blocks = (Paragraph(prose("[@b]")), Bullets((prose("[@a; @b]"),)))
    made = document.Document(
        "t", "", "", (), (Section("s", "S", (), blocks),), {"a": "A", "b": "B"}
    )
    assert numbering.citations(made) == {"b": 1, "a": 2}


def test_what_is_cited_must_be_known() -> None:
    sections = (Section("s", "S", (), (Paragraph(prose("[@nobody]")),)),)
    with pytest.raises(KeyError, match="nobody"):
        numbering.citations(document.Document("t", "", "", (), sections, {}))
