"""Result files out of predictions that are known."""

import json
import time
from pathlib import Path

import ml_collections
import numpy as np
import pandas as pd
import pytest

from covidjax.classify import experiment as classify
from covidjax.classify import report as classify_report
from covidjax.classify import train as classify_train
from covidjax.data.source import Prepared
from covidjax.data.splits import Fold
from covidjax.runs import results

GROUPS = [f"patient{row // 2}" for row in range(24)]


def data(classes: int, folds: list[Fold], kind: str = "phantom") -> classify_train.Data:
    labels = np.arange(24, dtype=np.int32) // 2 % classes
    table = pd.DataFrame({"image": [f"{row}.jpeg" for row in range(24)], "group": GROUPS})
    prepared = Prepared(Path(), kind, "ab" * 32, {})
    return classify_train.Data(prepared, np.zeros((24, 8, 8), np.uint8), labels, table, folds)


def config(task: str, split: str) -> ml_collections.ConfigDict:
    fields = {"task": task, "split": split, "seed": 0, "threshold": "validation", "members": 1}
    return ml_collections.ConfigDict(
        fields
        | {"calibration": "none", "balance": "loss", "model": {"name": "cnn"}, "quiet": True}
        | {"audit": False, "saliency": False}  # they need networks
    ).lock()


def predictions(
    fold: Fold, labels: np.ndarray, classes: int, scores: tuple[float, float] | None
) -> classify_train.Predictions:
    """Half sure of the right class; of two, the scores of validation's and test's positives."""

    def of(rows: np.ndarray, place: int) -> np.ndarray:
        if scores is None:
            return 0.5 * np.eye(classes)[labels[rows]] + 0.5 / classes
        positive = np.where(labels[rows] == 1, scores[place], 0.25)
        return np.stack([1 - positive, positive], axis=1)

    return classify_train.Predictions(fold, of(fold.validation, 0), of(fold.test, 1))


@pytest.fixture
def two_folds() -> list[Fold]:
    rows = np.arange(24)
    return [
        Fold("fold0", 0, rows[16:], rows[12:16], rows[:12]),
        Fold("fold1", 1, rows[:8], rows[8:12], rows[12:]),
    ]


def write(
    task: str,
    split: str,
    given: classify_train.Data,
    folder: Path,
    scores: list[tuple[float, float] | None],
) -> dict:
    (folder / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 1.0}\n')
    about = {"config": {"model": {"name": "cnn"}}, "versions": {}}
    about["data"] = {"kind": given.prepared.kind, "archive": "", "fingerprint": ""}
    (folder / "config.json").write_text(json.dumps(about))
    classes = len(classify.TASKS[task].classes)
    made = [
        predictions(fold, given.labels, classes, score)
        for fold, score in zip(given.folds, scores, strict=True)
    ]
    start = time.time() - 12.34
    return classify_report.write(config(task, split), given, made, None, folder, start)


def test_folds_are_pooled_each_at_its_own_threshold(two_folds: list[Fold], tmp_path: Path) -> None:
    given = data(2, two_folds)
    # A fold's threshold lies halfway between 0.25 and the scores of the other fold's validation,
    # whose images it does not test.
    found = write("covid", "kfold", given, tmp_path, [(0.75, 0.7), (0.95, 0.55)])
    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert list(found["splits"]) == ["validation", "out_of_fold"]
    figures = found["splits"]["out_of_fold"]
    assert figures["auroc"]["value"] == 1 and figures["auroc"]["n"] == 24
    assert figures["specificity"]["value"] == 1
    assert figures["sensitivity"]["value"] == 0.5
    assert found["confusion_matrix"]["out_of_fold"] == [[12, 0], [6, 6]]
    assert found["folds"]["fold0"]["sensitivity"] == 1
    assert found["folds"]["fold1"]["sensitivity"] == 0
    assert found["threshold"] == {"rule": "validation", "value": 0.5, "values": [0.5, 0.6]}
    assert found["ensemble"] == {"networks": 2, "evaluated": False}
    assert "which was not evaluated itself" in found["calibration"]["scale"]
    assert 12.3 <= found["seconds"] < 300
    table = pd.read_csv(tmp_path / "predictions_out_of_fold.csv")
    assert list(table["image"]) == [f"{row}.jpeg" for row in range(24)]
    assert list(table["fold"]) == [0] * 12 + [1] * 12


def test_two_classes_share_their_figures(two_folds: list[Fold], tmp_path: Path) -> None:
    write("covid", "kfold", data(2, two_folds), tmp_path, [(0.75, 0.75)] * 2)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "confusion_out_of_fold.png",
        "confusion_validation.png",
        "decision_curve.png",
        "folds.png",
        "precision_recall.png",
        "predictive_values.png",
        "reliability.png",
        "roc.png",
        "training.png",
    }


def test_more_classes_have_figures_a_split_and_no_threshold(tmp_path: Path) -> None:
    rows = np.arange(24)
    given = data(4, [Fold("", 0, rows[:8], rows[8:16], rows[16:])], kind="coronahack")
    found = write("cause", "official", given, tmp_path, [None])
    assert list(found["splits"]) == ["validation", "test"]
    assert found["threshold"]["values"] == [None]
    assert "folds" not in found and "warning" not in found
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"roc_validation.png", "roc_test.png", "reliability.png"} <= names
    for path in (tmp_path / "results.json", tmp_path / "predictions_test.csv"):
        assert "PHANTOM" not in path.read_text()


def test_the_split_table_is_aligned() -> None:
    rows = np.arange(24)
    labels = np.array([0] * 20 + [1] * 4, np.int32)
    fold = Fold("fold10", 10, rows[:12], rows[12:22], rows[22:])
    lines = classify_report.split_table([fold], labels, ("Normal", "COVID-19")).splitlines()
    assert [line.split() for line in lines] == [
        ["images", "Normal", "COVID-19"],
        ["fold10", "train", "12", "0"],
        ["fold10", "validation", "8", "2"],
        ["fold10", "test", "0", "2"],
    ]
    assert len({len(line) for line in lines}) == 1
    assert lines[0].index("Normal") + len("Normal") == lines[2].index(" 8 ") + 2


def test_the_summary_shows_undefined_figures_and_missing_intervals() -> None:
    figure = {"value": 0.51234, "ci95": [0.25, 0.75], "n": 1234}
    found = {
        "task": "covid",
        "warning": results.PHANTOM_WARNING,
        "splits": {
            "test": {
                "accuracy": figure,
                "auroc": {"value": None, "ci95": None, "n": 3},
                "f1": {"value": 0.5, "ci95": None, "n": 3},
            }
        },
    }
    lines = classify_report.summary(found).splitlines()
    assert lines[0].startswith("PHANTOM")
    assert lines[1] == "test (covid, n=1,234)"
    assert lines[2].split() == ["accuracy", "0.512", "[0.250,", "0.750]"]
    assert lines[3].split() == ["auroc", "undefined"]
    assert lines[4].split() == ["f1", "0.500"]
