"""The evidence of whole runs on the phantom: a shortcut planted and none, images from elsewhere."""

import csv
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from covidjax.audit.audit import PROBES, RUN
from covidjax.classify import trained
from tfds_coronahack.phantom import write_archive

SMALL = [
    *("--config.phantom.images=240", "--config.phantom.size=96", "--config.data.size=64"),
    *("--config.model.widths=(8,16)", "--config.model.convs=1", "--config.epochs=12"),
    *("--config.batch_size=16", "--config.bootstrap_samples=100", "--config.evaluations=3"),
]
KFOLD = ["--config=configs/cnn.py:task=pneumonia,split=kfold", *SMALL, "--config.folds=2"]


class Run(NamedTuple):
    arguments: list[str]
    folder: Path
    out: str
    err: str

    @property
    def results(self) -> dict[str, Any]:
        found = json.loads((self.folder / "results.json").read_text())
        found.pop("seconds")
        return found


def films(folder: Path, seed: int, count: int, prefix: str) -> list[list[str]]:
    """Puts the first `count` phantom radiographs of each class there; their rows of the CSV."""
    write_archive(folder / "phantom.zip", images=240, size=96, seed=seed)
    rows: list[list[str]] = []
    with zipfile.ZipFile(folder / "phantom.zip") as archive:
        for label, mark in (("Normal", "IM-"), ("Pneumonia", "person")):
            names = sorted(n for n in archive.namelist() if Path(n).name.startswith(mark))
            for name in names[:count]:
                path = f"{prefix}{Path(name).name}"
                (folder / path).write_bytes(archive.read(name))
                rows.append([path, label, f"{prefix}{len(rows) // 2}"])
    (folder / "phantom.zip").unlink()
    return rows


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten radiographs of each class of another phantom, and two of each of the run's own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    rows = [["image", "label", "group"]]
    rows += films(folder, 7, 10, "other-") + films(folder, 0, 2, "own-")
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def quiet(launch: Callable, tmp_path_factory: pytest.TempPathFactory, elsewhere: Path) -> Run:
    """Nothing planted; radiographs from elsewhere."""
    arguments = [*KFOLD, f"--config.external={elsewhere}"]
    folder = tmp_path_factory.mktemp("quiet") / "run"
    status, out, err = launch(*arguments, f"--workdir={folder}")
    assert status == 0, err
    return Run(arguments, folder, out, err)


@pytest.fixture(scope="module")
def planted(launch: Callable, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A letter on the radiographs of the ill."""
    arguments = [*KFOLD, "--config.phantom.shortcuts=letter"]
    folder = tmp_path_factory.mktemp("planted") / "run"
    status, out, err = launch(*arguments, f"--workdir={folder}")
    assert status == 0, err
    return Run(arguments, folder, out, err)


def test_results_hold_all_of_the_evidence(quiet: Run) -> None:
    found = quiet.results
    assert {"calibration", "operating_points", "predictive_values", "decision_curve"} <= set(found)
    assert {"folds", "across_folds", "grouping", "audit", "saliency", "external"} <= set(found)
    assert len(found["calibration"]["maps"]) == 2
    assert found["calibration"]["verdict"].startswith(("calibrated", "calibration not shown: "))
    assert set(found["audit"]) >= {*PROBES, RUN, "verdict", "film_series_within_Normal"}
    for probe in (*PROBES, RUN):
        assert set(found["audit"][probe]["auroc"]) - {"few_groups"} == {"value", "ci95", "n"}
    figures = found["splits"]["out_of_fold"]
    assert found["audit"][RUN]["auroc"] == figures["auroc"]
    assert found["across_folds"]["auroc"]["pooled"] == figures["auroc"]["value"]
    assert 0 <= found["saliency"]["share_outside_thorax"]["value"] <= 1
    for kind in ("class", "call"):
        shares = found["saliency"][f"share_outside_by_{kind}"]
        assert set(shares) == {"Normal", "Pneumonia"}
        assert all({"value", "ci95", "n"} <= set(row) for row in shares.values())
    assert 0 <= found["saliency"]["share_outside_thorax"]["random"] <= 1
    names = {path.stem for path in (quiet.folder / "figures").iterdir()}
    assert {"audit", "saliency", "occlusion", "reliability", "predictive_values"} <= names
    assert {"decision_curve", "folds", "confusion_external"} <= names


def test_a_planted_shortcut_is_found_and_nothing_where_there_is_none(
    quiet: Run, planted: Run
) -> None:
    for run, found in ((quiet, False), (planted, True)):
        audit = run.results["audit"]
        assert (audit["corners"]["auroc"]["ci95"][0] > 0.75) == found
        speaks = any(
            w in audit["verdict"] for w in ("cannot be read as diagnosis", "needs no lung")
        )
        assert speaks == found, audit["verdict"]
        assert audit["verdict"] in run.out
        card = (run.folder / "model_card.md").read_text()
        assert audit["verdict"] in card and "PHANTOM" in card


def test_what_is_being_done_is_said(quiet: Run) -> None:
    assert "shortcut audit: the border" in quiet.err
    assert "Grad-CAM" in quiet.err


def test_films_from_elsewhere_are_evaluated_without_the_runs_own(
    quiet: Run, elsewhere: Path
) -> None:
    found = quiet.results
    facts = found["external"]
    assert facts["images"] == 20 and facts["labels"] == {"Normal": 10, "Pneumonia": 10}
    assert set(facts["left_out"]) == {path.name for path in elsewhere.glob("own-*")}
    assert all("which the run was trained with" in why for why in facts["left_out"].values())
    assert "external: 20 images" in quiet.out and "left out: own-" in quiet.out
    figures = found["splits"]["external"]
    assert figures["accuracy"]["n"] == 20 and len(figures["accuracy"]["ci95"]) == 2
    table = pd.read_csv(quiet.folder / "predictions_external.csv")
    assert list(table["group"].unique()) == [f"other-{n}" for n in range(10)]
    assert sum(map(sum, found["confusion_matrix"]["external"])) == 20
    card = (quiet.folder / "model_card.md").read_text()
    assert "## External test" in card and "own-" in card


def test_films_from_elsewhere_get_what_predict_gives_them(
    quiet: Run, elsewhere: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVIDJAX_CACHE", environment["COVIDJAX_CACHE"])
    run = trained.load(quiet.folder)
    assert quiet.results["external"]["threshold"] == pytest.approx(run.threshold, abs=1e-12)
    predict = trained.make_predict(run)
    for row in pd.read_csv(quiet.folder / "predictions_external.csv").itertuples():
        expected = predict(trained.prepare(run, elsewhere / row.image)[1])
        assert row.p_Pneumonia == pytest.approx(expected[1], abs=1e-4)


def test_a_run_killed_in_its_evidence_makes_the_same_again(
    start: Callable[..., subprocess.Popen[str]], launch_all: Callable, quiet: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(quiet.folder, folder)
    for name in ("results.json", "model_card.md", "predictions_external.csv"):
        (folder / name).unlink()
    shutil.rmtree(folder / "figures")
    arguments = [*quiet.arguments, f"--workdir={folder}"]
    process = start(*arguments)
    assert process.stderr
    while "a patch of each corner" not in (line := process.stderr.readline()):
        assert line, process.communicate()
    process.kill()
    process.communicate()
    assert not (folder / "results.json").exists()
    [(status, _, err)] = launch_all([arguments])
    assert status == 0, err
    assert Run(arguments, folder, "", "").results == quiet.results
    for path in (quiet.folder / "figures").iterdir():
        assert (folder / "figures" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_wrong_external_folder_is_one_line_and_nothing_is_written(
    launch_all: Callable, elsewhere: Path, tmp_path: Path
) -> None:
    rows = (elsewhere / "labels.csv").read_text().splitlines()
    wanted: dict[str, tuple[list[str], str]] = {
        "column": (["image,klass", *rows[1:]], "has no column label"),
        "label": ([*rows, "other-x.jpeg,Tuberculosis,g"], "no class is called 'Tuberculosis'"),
        "missing": ([*rows, "nowhere.jpeg,Normal,g"], "names files that are not in"),
        "twice": ([*rows, rows[1]], "more than once"),
        "empty": ([rows[0]], "has no rows"),
    }
    lines = []
    for name, (text, _) in wanted.items():
        shutil.copytree(elsewhere, tmp_path / name)
        (tmp_path / name / "labels.csv").write_text("\n".join(text) + "\n")
        lines.append(f"--config.external={tmp_path / name}")
    lines.append(f"--config.external={tmp_path / 'nowhere'}")
    words = [words for _, words in wanted.values()] + ["there is no such folder"]
    folder = tmp_path / "run"
    done = launch_all([[*KFOLD, line, f"--workdir={folder}"] for line in lines])
    for (status, _, err), text in zip(done, words, strict=True):
        assert status == 2
        assert text in err.splitlines()[-1] and "Traceback" not in err
    assert not folder.exists()


def test_other_films_are_another_run_wherever_they_lie(
    launch_all: Callable, quiet: Run, elsewhere: Path, tmp_path: Path
) -> None:
    shutil.copytree(elsewhere, tmp_path / "moved")
    shutil.copytree(elsewhere, tmp_path / "other")
    text = (elsewhere / "labels.csv").read_text().splitlines()
    (tmp_path / "other" / "labels.csv").write_text("\n".join(text[:-6]) + "\n")
    base = [*KFOLD, f"--workdir={quiet.folder}"]
    moved, other, none = launch_all(
        [[*base, f"--config.external={tmp_path / name}"] for name in ("moved", "other")] + [base]
    )
    assert moved[0] == 0 and "is finished" in moved[1]
    for status, _, err in (other, none):
        assert status == 2 and "the data's external" in err.splitlines()[-1]


def test_audit_and_saliency_can_be_left_out(launch_all: Callable, tmp_path: Path) -> None:
    flags = ["--noconfig.audit", "--config.saliency=False", "--config.quiet", "--config.epochs=1"]
    [(status, out, err)] = launch_all([[*KFOLD, *flags, f"--workdir={tmp_path / 'run'}"]])
    assert status == 0, err
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    assert "calibration" in found and not {"audit", "saliency"} & found.keys()
    assert "Shortcut audit" not in out and "Evidence" not in err
    assert "Not measured" in (tmp_path / "run" / "model_card.md").read_text()
    assert os.listdir(tmp_path / "run" / "figures")
