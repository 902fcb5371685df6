"""Figures: the same bytes for the same figure, both files, and names that stay readable."""

import numpy as np
import pytest

from covidjax.eda.charts import figures
from covidjax.eda.charts.counts import film_bins
from covidjax.eda.classes import CLASSES, LOOKS
from covidjax.runs import canvas


def draw(album):
    figure = canvas.blank(3, 2)
    axes = figure.subplots()
    values = [np.arange(20.0) ** 2, np.array([3.0, 4.0]), np.full(30, 7.0)]
    figures.violins(axes, values, CLASSES[:3], LOOKS[:3])
    return album.save(figure, "violins", "Title", "Caption", "Alternative")


def test_a_figure_has_the_same_bytes_whenever_it_is_drawn(tmp_path):
    one, other = (draw(figures.Album(tmp_path / name, False)) for name in ("a", "b"))
    assert one.png.read_bytes() == other.png.read_bytes()
    assert one.svg.read_bytes() == other.svg.read_bytes()
    assert one.caption == "Caption"


def test_a_phantoms_figure_says_so_in_picture_caption_and_alternative(tmp_path):
    plain = draw(figures.Album(tmp_path / "a", False))
    phantom = draw(figures.Album(tmp_path / "b", True))
    assert plain.png.read_bytes() != phantom.png.read_bytes()
    assert phantom.caption.startswith("PHANTOM") and phantom.alt.startswith("PHANTOM")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("IM-0001-0001.jpeg", "IM-0001-0001"),
        ("1-s2.0-S0140673620303706-fx1_lrg.jpg", "1-s2.0-S01...706-fx1_lrg"),
    ],
)
def test_long_names_keep_their_ends(name, shown):
    assert figures.short(name) == shown and len(shown) <= 24


def test_reasons_are_cut_after_some_lines():
    text = figures.wrapped("word " * 100, 20, 3)
    assert len(text.splitlines()) == 3 and text.endswith("...")


def test_stretches_without_films_have_no_bins():
    starts, width = film_bins(np.array([1, 2, 3, 40, 5001, 5002]))
    assert width == 2 and starts[0] == 1
    assert 5001 in starts and not ((starts > 50) & (starts < 5000)).any()
