"""The page: one file without a network, marked, and safe against what stands in the data."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidjax.report import page
from covidjax.report.markdown import Figure


@pytest.fixture
def written(tmp_path):
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "black.png")
    figure = Figure("black", tmp_path / "black.png", None, "A <caption>", 'Black "square"')
    frame = pd.DataFrame(
        {"image": ["<script>alert(1)</script>", "b"], "n_images": [1234.0, np.nan]}
    )
    table = page.write_table(tmp_path, "images", frame, "All & more", phantom=True)
    sections = [page.Section("one", "First", ("Text < 3",), (figure, table))]
    page.render(
        tmp_path / "page.html",
        "A look",
        sections,
        sentences=["Sentence one."],
        facts=[("Data", "x")],
        phantom=True,
    )
    return tmp_path, sections, (tmp_path / "page.html").read_text()


def test_names_in_the_data_are_text_and_no_html(written):
    _, _, text = written
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text and "Text &lt; 3" in text and "All &amp; more" in text


def test_the_page_asks_for_no_other_file_or_network(written):
    _, _, text = written
    assert re.findall(r'(?:src|href)="(?!data:|#|images\.csv)[^"]*"', text) == []
    assert "http" not in re.sub(r'"data:[^"]*"', "", text)


def test_synthetic_data_are_marked_in_title_heading_banner_and_csv(written):
    folder, _, text = written
    assert "<title>PHANTOM: A look</title>" in text and "PHANTOM: A look</h1>" in text
    assert 'class="warning"' in text
    assert list(pd.read_csv(folder / "images.csv")["data"]) == ["PHANTOM", "PHANTOM"]


def test_landmarks_alternatives_and_buttons_are_there(written):
    _, _, text = written
    for tag in ("<main", "<nav", "<header", "<footer", '<html lang="en">', "<dialog"):
        assert tag in text
    assert 'alt="Black &#34;square&#34;"' in text
    assert text.count('<th scope="col"') == text.count("<th scope") == 2
    assert "@media print" in text and "prefers-color-scheme: dark" in text


def test_the_json_names_files_relative_to_the_page(written):
    folder, sections, _ = written
    [section] = page.as_json(sections, folder)
    assert section["figures"][0]["png"] == "black.png"
    assert section["tables"][0] == {
        "name": "images", "caption": "All & more", "csv": "images.csv",
        "columns": ["image", "n_images"], "rows": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234, "1,234"), (0.98765, "0.988"), (12.0, "12"), (1234.56, "1,234.6"), (np.nan, ""),
     (True, "yes"), (None, ""), ("a", "a"), (np.int64(3), "3")],
)  # fmt: skip
def test_cells_are_written_for_people(value, text):
    assert page.cell_text(value) == text
