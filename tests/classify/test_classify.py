"""The parts of a classification run that need no training, and one run on eight devices."""

import json
from pathlib import Path

import ml_collections
import numpy as np
import pandas as pd
import pytest

from configs import cnn
from covidjax.classify import check as classify_check
from covidjax.classify import experiment as classify
from covidjax.data import manifest, source, splits
from covidjax.training import fitting

ROWS = 120


def config(arg: str = "", **changes: object) -> ml_collections.ConfigDict:
    made = cnn.get_config(arg)
    made.update_from_flattened_dict(changes)
    return classify.resolved(made, "phantom").lock()


@pytest.fixture
def table() -> pd.DataFrame:
    """Two images a group; the first 96 rows are TRAIN."""
    rows = np.arange(ROWS)
    return pd.DataFrame(
        {
            "image": [f"IM-{row // 2:04d}-{row % 2 + 1:04d}.jpeg" for row in rows],
            "group": [f"IM-{row // 2:04d}" for row in rows],
            "sha256": [f"{row:064x}" for row in rows],
            "kaggle_split": np.where(rows < 96, "TRAIN", "TEST"),
        }
    )


@pytest.fixture
def labels() -> np.ndarray:
    return (np.arange(ROWS) // 2 % 3 == 0).astype(np.int32)


def test_folds_follow_the_config(table: pd.DataFrame, labels: np.ndarray) -> None:
    every = classify.make_folds(config(folds=3), table, labels)
    assert [fold.number for fold in every] == [0, 1, 2]
    assert sorted(np.concatenate([fold.test for fold in every])) == list(range(ROWS))
    [one] = classify.make_folds(config(folds=3, fold="2"), table, labels)
    np.testing.assert_array_equal(one.train, every[2].train)
    [official] = classify.make_folds(config("task=pneumonia"), table, labels)
    assert list(official.test) == list(range(96, ROWS))
    [alone] = classify.make_folds(config(part="TRAIN", folds=2, fold="0"), table, labels)
    assert alone.test.max() < 96


def test_a_manifest_overrides_the_split(
    table: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    folds = classify.make_folds(config(folds=3), table, labels)
    manifest.write(tmp_path / "split.csv", folds[1:], table)
    given = config("task=pneumonia", **{"data.manifest": str(tmp_path / "split.csv")})
    read = classify.make_folds(given, table, labels)
    for fold, back in zip(folds[1:], read, strict=True):
        assert fold.number == back.number
        for part in splits.PARTS:
            np.testing.assert_array_equal(getattr(fold, part), getattr(back, part))
    missing = config(fold="0", **{"data.manifest": str(tmp_path / "split.csv")})
    with pytest.raises(ValueError, match=r"config.fold='0' is no fold: give all or one of 1, 2"):
        classify.make_folds(missing, table, labels)


def test_a_manifest_with_one_class_in_a_part_is_refused(
    table: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    rows = np.arange(ROWS)
    normal = np.flatnonzero(labels == 0)
    fold = splits.Fold("", 0, rows[:60], normal[normal >= 60], rows[:2])
    manifest.write(tmp_path / "split.csv", [fold], table)
    given = config(**{"data.manifest": str(tmp_path / "split.csv")})
    with pytest.raises(ValueError, match="validation of fold 0 has .* not of two classes"):
        classify.make_folds(given, table, labels)


def test_a_binary_manifest_is_refused(
    table: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "split.csv").write_bytes(b"\xff\xfe\x00")
    given = config(**{"data.manifest": str(tmp_path / "split.csv")})
    with pytest.raises(ValueError, match="split.csv is no split manifest: it is no text"):
        classify.make_folds(given, table, labels)


def test_the_schedule_counts_whole_batches() -> None:
    given = config(batch_size=16, epochs=3, evaluations=4)
    schedule = fitting.make_schedule(given, 70)
    assert schedule.steps == 3 * 4
    assert schedule.eval_every == 3
    assert fitting.make_schedule(given, 16).steps == 3


def test_epochs_depend_on_the_data_unless_given() -> None:
    given = cnn.get_config()
    given.auto_epochs.update({"phantom": 2, "coronahack": 5})
    assert classify.resolved(given, "phantom").epochs == 2
    assert classify.resolved(given, "coronahack").epochs == 5
    assert classify.resolved(config(epochs=7), "phantom").epochs == 7
    assert given.epochs == 0


def test_runs_without_a_batch_or_an_update_are_refused() -> None:
    with pytest.raises(ValueError, match=r"config.batch_size=16 is more than the 15 training"):
        fitting.make_schedule(config(batch_size=16, epochs=1), 15)
    given = config(**{"batch_size": 10, "epochs": 1, "optimizer.accumulate": 4})
    with pytest.raises(ValueError, match=r"config.optimizer.accumulate=4 is more than the 3 batch"):
        fitting.make_schedule(given, 30)


def test_phantom_parameters_split_the_shortcuts() -> None:
    given = config(**{"phantom.shortcuts": "letter,border"})
    assert source.phantom_parameters(given.phantom)["shortcuts"] == ("letter", "border")
    assert source.phantom_parameters(config().phantom)["shortcuts"] == ()


def test_a_manifest_lifts_what_is_said_of_kaggles_split() -> None:
    classify_check.check(config(split="official", **{"data.manifest": "split.csv"}))
    with pytest.raises(ValueError, match="split=official"):
        classify_check.check(config(split="official"))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ml_collections.ConfigDict:
    monkeypatch.setenv("COVIDJAX_CACHE", str(tmp_path / "cache"))
    return cnn.get_config("size=28,data=phantom,fold=0").copy_and_resolve_references()


def shrink(given: ml_collections.ConfigDict, **changes: object) -> ml_collections.ConfigDict:
    shrunk = {"phantom.images": 200, "phantom.size": 64, "folds": 2, "batch_size": 16}
    shrunk |= {"epochs": 1, "bootstrap_samples": 20, "validation_fraction": 0.3, "quiet": True}
    shrunk |= {"model.widths": (4, 8), "model.convs": 1}
    given.update_from_flattened_dict(shrunk | changes)
    return given.lock()


def test_a_batch_that_eight_devices_cannot_share_is_refused(
    small: ml_collections.ConfigDict, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="batch_size 12 is not divisible by 8 devices"):
        classify.run(shrink(small, batch_size=12), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_on_eight_devices_tests_each_image_once(
    small: ml_collections.ConfigDict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    found = classify.run(shrink(small), folder)
    assert found == json.loads((folder / "results.json").read_text())
    assert len(json.loads((folder / "config.json").read_text())["devices"]) == 8
    table = pd.read_csv(folder / "predictions_out_of_fold.csv")
    split = pd.read_csv(folder / "split.csv", comment="#")
    assert sorted(table["image"]) == sorted(split["image"][split["part"] == "test"])
    captured = capsys.readouterr()
    assert "PHANTOM" in captured.err and "fold0 train" in captured.out
    # A second call reads the results and trains nothing.
    again = classify.run(shrink(cnn.get_config("size=28,data=phantom,fold=0")), folder)
    assert again == found
    assert "is finished" in capsys.readouterr().out
