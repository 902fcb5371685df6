"""The figures: written whole, marked when synthetic, and standing up to odd input."""

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_curve

from covidjax.classify.figures.curves import (
    Scored,
    one_against_rest,
    roc_band,
    write_confusion,
    write_precision_recall,
    write_roc,
    write_training_curves,
)
from covidjax.evidence.intervals import metrics_with_intervals
from covidjax.evidence.metrics import EvaluationError
from covidjax.runs import canvas

CURVE_WRITERS = [write_roc, write_precision_recall]


def scored(n=60, seed=0):
    rng = np.random.default_rng(seed)
    positive = np.arange(n) % 2
    return Scored(positive, (positive + 2 * rng.random(n)) / 3, rng.permutation(n) // 2)


def texts(figure: Figure) -> str:
    """All that is written on a figure."""
    found = [item.get_text() for item in figure.findobj(lambda item: hasattr(item, "get_text"))]
    return "\n".join(found)


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they are saved, so that a test can read what is written on them."""
    figures = []
    save = canvas.save

    def record(figure, path, title, phantom):
        figures.append(figure)
        save(figure, path, title, phantom)

    monkeypatch.setattr(canvas, "save", record)
    return figures


@pytest.mark.parametrize("write", CURVE_WRITERS)
def test_curves_of_several_splits_name_each_with_its_number_of_examples(tmp_path, drawn, write):
    path = tmp_path / "figures" / "figure.png"
    curves = {"validation": scored(40), "test": scored(60, 1)}
    write(path, curves, phantom=False, title="Pneumonia")
    with Image.open(path) as image:
        assert image.format == "PNG" and min(image.size) >= 500
    assert [file.name for file in path.parent.iterdir()] == ["figure.png"]
    words = texts(drawn[0])
    assert "validation (n=40, 20 positive)" in words and "test (n=60, 30 positive)" in words
    assert "PHANTOM" not in words
    labels = [axes.get_xlabel() + axes.get_ylabel() for axes in drawn[0].axes]
    assert all(labels)


@pytest.mark.parametrize("write", CURVE_WRITERS)
def test_synthetic_data_are_marked_across_the_figure_and_in_the_title(tmp_path, drawn, write):
    curves = {"test": scored()}
    write(tmp_path / "plain.png", curves, phantom=False, title="T")
    write(tmp_path / "marked.png", curves, phantom=True, title="T")
    words = texts(drawn[1]).splitlines()
    assert "PHANTOM" in words and "T — PHANTOM data" in words
    plain, marked = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"), dtype=float)
        for name in ("plain", "marked")
    )
    middle = slice(plain.shape[0] // 4, 3 * plain.shape[0] // 4)
    assert (np.abs(plain - marked)[middle] > 20).mean() > 0.02


@pytest.mark.parametrize("write", CURVE_WRITERS)
@pytest.mark.parametrize(
    "curve",
    [
        Scored([], [], []),
        Scored([1, 1], [0.2, 0.7], [0, 1]),
        Scored([0, 1], [0.5, 0.5], [0, 0]),
        Scored([0, 1], [0.0, 1.0], None),
    ],
    ids=["empty", "one class", "one group, tied", "no groups"],
)
def test_odd_splits_are_drawn_beside_a_good_one(tmp_path, write, curve):
    path = tmp_path / "figure.png"
    write(path, {"good": scored(), "odd": curve}, phantom=False, title="T")
    assert path.stat().st_size > 5000


@pytest.mark.parametrize("write", CURVE_WRITERS)
def test_scores_that_are_no_probabilities_are_refused_by_split_and_nothing_is_written(
    tmp_path, write
):
    bad = Scored([0, 1], [0.2, np.nan], None)
    with pytest.raises(EvaluationError, match="^external: .*not finite"):
        write(tmp_path / "figure.png", {"external": bad}, phantom=False, title="T")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", CURVE_WRITERS)
def test_no_splits_at_all_make_an_empty_figure(tmp_path, write):
    write(tmp_path / "figure.png", {}, phantom=False, title="T")
    assert (tmp_path / "figure.png").exists()


def test_the_styles_differ_without_color():
    shapes = {(str(line), marker) for _, line, marker in canvas.STYLES}
    assert len({line for line, _ in shapes}) == len({marker for _, marker in shapes}) == 6


def test_the_roc_legend_and_the_results_give_the_same_interval(tmp_path, drawn):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 90)
    scores = ((labels + rng.normal(size=90)) / 8 + 0.4).clip(0, 1)
    groups = np.arange(90) // 3
    write_roc(
        tmp_path / "roc.png", {"test": Scored(labels, scores, groups)}, phantom=False, title="T"
    )
    auroc = metrics_with_intervals(labels, np.stack([1 - scores, scores], 1), groups, 0.5)["auroc"]
    found = re.search(r"AUROC (\S+) \[(\S+), (\S+)\]", texts(drawn[0]))
    low, high = auroc["ci95"]
    assert [float(text) for text in found.groups()] == pytest.approx(
        [auroc["value"], low, high], abs=5e-4
    )


def test_the_band_encloses_the_curve_and_needs_two_groups_a_class():
    curve = scored(200)
    grid, low, high, interval = roc_band(curve.positive, curve.scores, curve.groups)
    assert grid.shape == low.shape == high.shape == (101,)
    false, true, _ = roc_curve(curve.positive, curve.scores)
    middle = np.interp(grid, false, true)
    assert (low <= middle).mean() > 0.95 and (middle <= high).mean() > 0.95
    assert (high - low).max() > 0.05
    assert interval is not None and interval[0] < interval[1] < 1
    one_group = np.zeros(200, dtype=int)
    _, low, high, interval = roc_band(curve.positive, curve.scores, one_group)
    assert interval is None
    np.testing.assert_array_equal(low, high)


def test_one_against_rest_makes_a_curve_a_class_that_is_there():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]])
    curves = one_against_rest([0, 1, 0], probabilities, None, ("a", "b", "c"), "test: ")
    assert list(curves) == ["test: a", "test: b"]
    assert list(curves["test: b"].positive) == [False, True, False]
    assert list(one_against_rest([0, 1], np.eye(2), None, ("N", "P"))) == ["P"]


def test_confusion_shows_counts_and_shares_of_the_true_class(tmp_path, drawn):
    path = tmp_path / "confusion.png"
    write_confusion(path, [[8, 2], [0, 0]], ["Normal", "Pneumonia"], phantom=True, title="Test")
    words = texts(drawn[0])
    assert "8\n80.0 %" in words and "Normal\n(n=10)" in words and "Pneumonia\n(n=0)" in words
    assert "PHANTOM" in words
    with pytest.raises(EvaluationError, match="3 classes"):
        write_confusion(path, [[1, 2], [3, 4]], ["a", "b", "c"], phantom=False, title="T")


def record(path, rows, rest=""):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + rest, encoding="utf-8")
    return path


def test_training_curves_have_a_panel_a_figure_and_a_line_a_split(tmp_path, drawn):
    rows = [{"step": s, "split": "train", "loss": 1 / (s + 1), "epoch": 0} for s in range(5)]
    rows += [{"step": s, "split": "validation", "loss": 0.5, "auroc": None} for s in (2, 4)]
    rows += [{"step": 4, "split": "validation", "loss": 0.25, "auroc": 0.9}]
    source = record(tmp_path / "metrics.jsonl", rows)
    write_training_curves(tmp_path / "training.png", source, phantom=False, title="T")
    panels = {axes.get_ylabel(): axes for axes in drawn[0].axes if axes.get_ylabel()}
    assert list(panels) == ["loss", "auroc"]
    train, validation = panels["loss"].get_lines()
    assert [line.get_label() for line in (train, validation)] == ["train", "validation"]
    assert list(train.get_xdata()) == [0, 1, 2, 3, 4]
    assert list(validation.get_ydata()) == [0.5, 0.25]  # step 4 was recorded again after a resume
    assert list(panels["auroc"].get_lines()[0].get_xdata()) == [4]


def test_folds_are_lines_of_their_own_with_one_legend_entry(tmp_path, drawn):
    rows = [
        {"step": s, "split": "train", "fold": fold, "loss": fold} for fold in (0, 1) for s in (1, 2)
    ]
    source = record(tmp_path / "metrics.jsonl", rows)
    write_training_curves(tmp_path / "training.png", source, phantom=False, title="T")
    assert len(drawn[0].axes[0].get_lines()) == 2
    assert [t.get_text() for t in drawn[0].axes[0].get_legend().get_texts()] == ["train"]


def test_a_line_cut_off_by_a_kill_is_left_out_and_said_so(tmp_path, drawn):
    source = record(
        tmp_path / "metrics.jsonl", [{"step": 1, "split": "train", "loss": 2.0}], '{"step": 2, "sp'
    )
    write_training_curves(tmp_path / "training.png", source, phantom=False, title="T")
    assert "unreadable lines left out: 1" in texts(drawn[0])


def test_an_empty_record_is_drawn_and_a_missing_one_refused(tmp_path, drawn):
    source = record(tmp_path / "metrics.jsonl", [])
    write_training_curves(tmp_path / "training.png", source, phantom=False, title="T")
    assert "no figures were recorded" in texts(drawn[0])
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        write_training_curves(tmp_path / "t.png", tmp_path / "none.jsonl", phantom=False, title="T")
