"""Figures of a search: the Pareto front, and pictures of studies with few and odd trials."""

import math
from pathlib import Path

import pytest

from covidjax.tune import figures as tune_plots
from covidjax.tune.figures import Axis, Point

AXES = [Axis("ema", [0.9, 0.99], None, False), Axis("rate", None, (1e-4, 1e-2), True)]
POINTS = [
    Point(0, "complete", 30.0, {"ema": 0.9, "rate": 1e-3}, 100, 5.0, 4.0, True),
    Point(1, "pruned", 20.0, {"ema": 0.99, "rate": 1e-4}),
    Point(2, "failed", math.nan, {}),
    Point(3, "complete", 31.5, {"ema": 0.99, "rate": 1e-2}, 400, 9.0, 7.0),
]


def test_the_front_holds_what_nothing_cheaper_matches() -> None:
    assert tune_plots.front([3, 1, 2, 2, 4], [5.0, 1.0, 4.0, 3.0, 5.0]) == [1, 2, 0]
    assert tune_plots.front([], []) == []


def test_fields_lie_where_their_scale_puts_them() -> None:
    ema, rate = AXES
    assert (ema.height(0.9), ema.height(0.99)) == (0, 1)
    assert rate.height(1e-3) == pytest.approx(0.5)
    assert Axis("one", ["a"], None, False).height("a") == 0.5


@pytest.mark.parametrize("points", [POINTS, POINTS[:1], POINTS[1:3], []])
def test_every_study_can_be_drawn(tmp_path: Path, points: list[Point]) -> None:
    shared = {"shown": "Validation PSNR (dB)", "phantom": True, "title": "Tuning"}
    found = {"complete": {"n": 2, "shares": {}}, "first": {"n": 3, "shares": {"ema": 0.4}}}
    if not points:
        found["first"]["shares"] = {}
    tune_plots.write_history(tmp_path / "history.png", points, **shared)
    tune_plots.write_parallel(tmp_path / "parallel.png", points, AXES, **shared)
    tune_plots.write_pareto(tmp_path / "pareto.png", points, **shared)
    tune_plots.write_importances(tmp_path / "importances.png", found, **shared)
    assert len(list(tmp_path.glob("*.png"))) == 4
