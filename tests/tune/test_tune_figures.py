"""Figures of a search: the Pareto front, and pictures of studies with few and odd trials."""

import math
from pathlib import Path

import optuna
import pytest
from PIL import Image

from covidjax.tune import figures as tune_figures
from covidjax.tune.figures import Point

POINTS = [
    Point(0, "complete", 30.0, {"ema": 0.9, "rate": 1e-3}, 100, 5.0, 4.0, True),
    Point(1, "pruned", 20.0, {"ema": 0.99, "rate": 1e-4}),
    Point(2, "failed", math.nan, {}),
    Point(3, "complete", 31.5, {"ema": 0.99, "rate": 1e-2}, 400, 9.0, 7.0),
]


def test_the_front_holds_what_nothing_cheaper_matches() -> None:
    assert tune_figures.front([3, 1, 2, 2, 4], [5.0, 1.0, 4.0, 3.0, 5.0]) == [1, 2, 0]
    assert tune_figures.front([], []) == []


@pytest.mark.parametrize("points", [POINTS, POINTS[:1], POINTS[1:3], []])
def test_every_study_can_be_drawn(tmp_path: Path, points: list[Point]) -> None:
    shared = {"shown": "Validation PSNR (dB)", "phantom": True, "title": "Tuning"}
    found = {"complete": {"n": 2, "shares": {}}, "first": {"n": 3, "shares": {"ema": 0.4}}}
    if not points:
        found["first"]["shares"] = {}
    tune_figures.write_history(tmp_path / "history.png", points, **shared)
    tune_figures.write_pareto(tmp_path / "pareto.png", points, **shared)
    tune_figures.write_importances(tmp_path / "importances.png", found, **shared)
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.parametrize("trials", [1, 12])
def test_complete_trials_are_drawn_over_their_fields_and_no_figure_stays_open(
    tmp_path: Path, trials: int
) -> None:
    from matplotlib import pyplot

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))

    def value(trial: optuna.Trial) -> float:
        ema = trial.suggest_categorical("ema", (0.9, 0.99))
        return 30 + ema + trial.suggest_float("rate", 1e-4, 1e-2, log=True)

    study.optimize(value, n_trials=trials)
    tune_figures.write_parallel(
        tmp_path / "p.png", study, shown="PSNR (dB)", phantom=True, title="Tuning"
    )
    with Image.open(tmp_path / "p.png") as image:
        assert image.size[0] > 800 and image.convert("L").getextrema()[0] < 100
    assert pyplot.get_fignums() == []
