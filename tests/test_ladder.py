"""The ladder: one table and one figure of finished runs and of what needs no lung."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from covidjax import ladder
from covidjax.data import manifest, source, splits
from covidjax.data.table import TASKS, read_table, task_labels
from covidjax.runs import results

PHANTOM = {"images": 120, "seed": 0, "size": 64, "shortcuts": "border"}
CLASSES = TASKS["pneumonia"].classes


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDJAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def make_run(tmp_path_factory):
    """Writes the folder of a finished run whose network ranks at about `skill`."""

    def make(name: str, skill: float, split_seed: int = 0, **config) -> Path:
        folder = tmp_path_factory.mktemp("runs") / name
        phantom = PHANTOM | {"shortcuts": ("border",)}
        prepared = source.resolve("phantom", "", "", phantom, progress=False)
        table = read_table(prepared.path)
        labels = task_labels(table, "pneumonia")
        folds = splits.kfold(table, labels, folds=2, fraction=0.15, seed=split_seed)
        digest = manifest.write(folder / "split.csv", folds, table, phantom=True)
        rows = np.concatenate([fold.test for fold in folds])
        noise = np.random.default_rng(len(name)).standard_normal(len(rows))
        probability = 1 / (1 + np.exp(-skill * (2 * labels[rows] - 1) - noise))
        results.write_predictions(
            folder / "predictions_out_of_fold.csv",
            list(table["image"].iloc[rows]),
            list(table["group"].iloc[rows]),
            labels[rows],
            np.repeat([0, 1], [len(fold.test) for fold in folds]),
            np.stack([1 - probability, probability], axis=1),
            CLASSES,
            phantom=True,
        )
        settings = {
            "experiment": "classify",
            "task": "pneumonia",
            "split": "kfold",
            "seed": 0,
            "bootstrap_samples": 100,
            "phantom": PHANTOM,
            "model": {"name": "resnet", "depth": 18},
            "data": {"size": 32, "equalize": "clahe", "resize": "squash"}
            | {"archive": "", "data_dir": ""},
        } | config
        data = {"kind": "PHANTOM", "fingerprint": prepared.fingerprint, "archive": "archive.zip"}
        results.write_results(
            folder / "config.json", {"config": settings, "data": data | {"split": digest}}
        )
        figures = {
            "experiment": "classify",
            "data": "phantom",
            "splits": {"out_of_fold": {}},
            "classes": list(CLASSES),
            "threshold": {"values": [0.5, 0.5]},
        }
        results.write_results(folder / "results.json", figures)
        return folder

    return make


def test_one_command_makes_the_table_and_the_figure(make_run, tmp_path, capsys):
    runs = [make_run("weak", 0.7), make_run("strong", 9.0, init="hf://timm/resnet18.tv_in1k")]
    assert ladder.main([*map(str, runs), f"--out={tmp_path / 'new' / 'out'}"]) == 0
    out = tmp_path / "new" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["ladder.csv", "ladder.md", "ladder.png"]
    rows = list(csv.DictReader((out / "ladder.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == [
        *("prevalence", "file facts", "border", "8 x 8 thumbnail, linear"),
        *("weak (resnet18, from scratch)", "strong (resnet18, from resnet18.tv_in1k)"),
    ]
    by_step = {row["step"]: row for row in rows}
    assert float(by_step["prevalence"]["auroc"]) == 0.5
    assert float(by_step["border"]["auroc"]) > 0.85  # it was planted
    assert [row["struck"] for row in rows[:4]] == ["False"] * 4
    assert {row["data"] for row in rows} == {"PHANTOM"}
    weak, border = (
        float(by_step["weak (resnet18, from scratch)"]["auroc"]),
        float(by_step["border"]["auroc"]),
    )
    assert float(by_step["weak (resnet18, from scratch)"]["above_border"]) == pytest.approx(
        weak - border
    )
    text = (out / "ladder.md").read_text()
    assert "PHANTOM" in text and text in capsys.readouterr().out
    # A planted border comes near a perfect score, and overlaps a weak one.
    assert text.count("| ~~") == 2
    assert (out / "ladder.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_different_splits_are_refused(make_run, tmp_path, capsys):
    runs = [make_run("a", 3.0), make_run("b", 3.0, split_seed=1)]
    assert ladder.main([*map(str, runs), f"--out={tmp_path / 'out'}"]) == 2
    told = capsys.readouterr().err
    assert "not of one split" in told and str(runs[1]) in told and "data.manifest" in told
    assert not (tmp_path / "out").exists()


def test_runs_of_different_tasks_are_refused(make_run, tmp_path, capsys):
    runs = [make_run("a", 3.0), make_run("b", 3.0, task="cause")]
    assert ladder.main([*map(str, runs), f"--out={tmp_path / 'out'}"]) == 2
    assert "not of one task" in capsys.readouterr().err


def test_what_is_no_finished_run_is_named(make_run, tmp_path, capsys):
    unfinished = make_run("unfinished", 1.0)
    (unfinished / "results.json").unlink()
    for folder in (tmp_path, unfinished):
        assert ladder.main([str(folder), f"--out={tmp_path / 'out'}"]) == 2
        assert str(folder) in capsys.readouterr().err


def test_a_damaged_run_is_named(make_run, tmp_path, capsys):
    run = make_run("damaged", 1.0)
    (run / "config.json").write_text("{}")
    assert ladder.main([str(run), f"--out={tmp_path / 'out'}"]) == 2
    assert "config.json is damaged" in capsys.readouterr().err
    whole = make_run("unsplit", 1.0)
    (whole / "split.csv").unlink()
    assert ladder.main([str(whole), f"--out={tmp_path / 'out'}"]) == 2
    assert "split.csv" in capsys.readouterr().err


def test_other_data_than_the_runs_are_refused(make_run, tmp_path, capsys):
    run = make_run("moved", 1.0)
    saved = json.loads((run / "config.json").read_text())
    saved["data"]["fingerprint"] = "0" * 64
    (run / "config.json").write_text(json.dumps(saved))
    assert ladder.main([str(run), f"--out={tmp_path / 'out'}"]) == 2
    assert "are not those of" in capsys.readouterr().err


def test_predictions_of_other_images_are_refused(make_run, tmp_path, capsys):
    run = make_run("cut", 1.0)
    path = run / "predictions_out_of_fold.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    assert ladder.main([str(run), f"--out={tmp_path / 'out'}"]) == 2
    assert "does not hold the images" in capsys.readouterr().err
