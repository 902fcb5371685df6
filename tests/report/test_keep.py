"""What a person wrote is found again, or the report is refused: nothing is lost."""

import pytest

from covidjax.report import keep
from covidjax.report.markdown import Author

PLACE = Author("question", "State the question.")


def block(text: str, place: Author = PLACE) -> str:
    return f"{keep.begin(place)}\n{text}\n{keep.end(place)}\n"


def read(tmp_path, text: str) -> dict[str, str]:
    path = tmp_path / "report.md"
    path.write_bytes(text.encode())
    return keep.read_authors(path)


def test_an_edited_block_is_read_and_an_untouched_one_is_not(tmp_path) -> None:
    other = Author("data", "Say where.")
    text = block("Is it *so*?\n\n- one\n- two") + block(other.prompt, other)
    assert read(tmp_path, text) == {"question": "Is it *so*?\n\n- one\n- two"}


def test_an_untouched_block_follows_a_new_prompt(tmp_path) -> None:
    assert read(tmp_path, block("State the question.")) == {}
    assert read(tmp_path, block("State it.")) == {"question": "State it."}


def test_an_emptied_block_stays_empty(tmp_path) -> None:
    assert read(tmp_path, block("")) == {"question": ""}


def test_blocks_in_a_line_and_with_other_line_ends_are_read(tmp_path) -> None:
    inline = f"| 17 | x | {keep.begin(PLACE)}Approved{keep.end(PLACE)} |\r\n"
    assert read(tmp_path, inline) == {"question": "Approved"}
    assert read(tmp_path, block("a\nb").replace("\n", "\r\n")) == {"question": "a\nb"}


def test_a_mark_without_its_hash_counts_as_edited(tmp_path) -> None:
    text = f"<!-- author question -->{PLACE.prompt}<!-- /author question -->"
    assert read(tmp_path, text) == {"question": PLACE.prompt}


def test_no_file_has_no_texts(tmp_path) -> None:
    assert keep.read_authors(tmp_path / "none.md") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\n" + block("x").replace(keep.end(PLACE), ""), "line 2: .* has no end"),
        (block("x").replace(keep.begin(PLACE), ""), "has no beginning"),
        (block("x") + block("y"), "second author block question"),
        (block("x").replace("/author question", "/author qestion"), "has no end"),
        (keep.begin(PLACE) + "x" + block("y", Author("data", "p")) + keep.end(PLACE), "no end"),
        (block("x").replace("author question", "author  question ", 1), "has no"),
    ],
)
def test_a_broken_mark_is_refused_with_its_line(tmp_path, text, says) -> None:
    with pytest.raises(keep.KeepError, match=says) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value) and "report.md" in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path) -> None:
    (tmp_path / "report.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(keep.KeepError, match="move it away"):
        keep.read_authors(tmp_path / "report.md")


def test_a_copy_is_kept_of_what_was_edited_outside_of_the_blocks(tmp_path) -> None:
    path = tmp_path / "report.md"
    path.write_text(f"Generated.\n{block('prompt')}")
    known = keep.fingerprint(path)
    path.write_text(f"Generated.\n{block('my own words')}")
    assert keep.back_up_edited(path, known) is None
    path.write_bytes(f"Generated.\n{block('my own words')}".replace("\n", "\r\n").encode())
    assert keep.back_up_edited(path, known) is None
    path.write_text(f"Changed.\n{block('my own words')}")
    copy = keep.back_up_edited(path, known)
    assert copy is not None and copy.read_text() == path.read_text()
    assert keep.back_up_edited(path, None) == tmp_path / "report.backup-2.md"
