"""Whole runs of the shipped configs, shrunk by flags, on the phantom: files, figures, going on."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest

from covidjax.data.manifest import MARK
from covidjax.evidence.metrics import classification_metrics, confusion_matrix

SHRUNK = [
    "--config.phantom.images=200",
    "--config.phantom.size=64",
    "--config.data.size=32",
    "--config.folds=2",
    "--config.batch_size=16",
    "--config.validation_fraction=0.3",
    "--config.bootstrap_samples=50",
    "--config.evaluations=4",
    "--config.log_every=1",
]
CNN = ["--config.model.widths=(4,8)", "--config.model.convs=1"]
COVID = ["--config=configs/cnn.py", *SHRUNK, *CNN, "--config.epochs=4"]
PNEUMONIA = ["--config=configs/cnn.py:task=pneumonia", *SHRUNK, *CNN, "--config.epochs=20"]
RESNET = ["--config=configs/resnet.py:task=cause", *SHRUNK, "--config.epochs=1"]
FIGURES = {"auroc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity"}
FIGURES |= {"specificity", "f1", "brier", "ece"}
NAMES = {
    "covid": ("Normal", "COVID-19"),
    "pneumonia": ("Normal", "Pneumonia"),
    "cause": ("Normal", "bacterial", "viral", "COVID-19"),
}


class Run(NamedTuple):
    arguments: list[str]
    folder: Path
    out: str
    err: str


def finished(launch: Callable, folder: Path, arguments: list[str]) -> Run:
    status, out, err = launch(*arguments, f"--workdir={folder}")
    assert status == 0, err
    return Run(arguments, folder, out, err)


@pytest.fixture(scope="module")
def covid(launch: Callable, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(launch, tmp_path_factory.mktemp("covid") / "run", COVID)


@pytest.fixture(scope="module")
def pneumonia(launch: Callable, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(launch, tmp_path_factory.mktemp("pneumonia") / "run", PNEUMONIA)


@pytest.fixture(scope="module")
def resnet(launch: Callable, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(launch, tmp_path_factory.mktemp("resnet") / "run", RESNET)


@pytest.fixture(params=["covid", "pneumonia", "resnet"])
def run(request: pytest.FixtureRequest) -> Run:
    return request.getfixturevalue(request.param)


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def predictions(folder: Path, split: str) -> pd.DataFrame:
    # As text first: not every version of pandas reads floats exactly.
    table = pd.read_csv(folder / f"predictions_{split}.csv", dtype=str)
    exact = {name: float for name in table.columns if name.startswith("p_")}
    return table.astype({"fold": int, **exact})


def figures_of(folder: Path) -> dict[str, Any]:
    found = read_json(folder / "results.json")
    found.pop("seconds")
    return found


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


# pytest -m slow tests/end_to_end/test_launch.py
@pytest.mark.slow
def test_folds_trained_apart_and_merged_are_the_cross_validation(
    covid: Run, launch: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "folds"
    short = ["--noconfig.audit", "--noconfig.saliency", "--config.quiet"]
    sweep = [*COVID, *short, "--sweep=folds", f"--workdir={folder}"]
    status, out, err = launch(*sweep)
    assert status == 0, err
    assert "fold0  finished" in out and "fold1  finished" in out
    status, _, err = launch(*sweep, "--merge")
    assert status == 0, err
    merged, whole = (read_json(path / "results.json") for path in (folder / "all", covid.folder))
    assert merged["splits"] == whole["splits"] and merged["folds"] == whole["folds"]
    for split in ("validation", "out_of_fold"):
        pd.testing.assert_frame_equal(
            predictions(folder / "all", split), predictions(covid.folder, split), check_exact=True
        )
    # Nothing was trained again.
    for fold in ("fold0", "fold1"):
        for text in ("train", "validation"):
            lines = [
                (row["step"], row["loss"])
                for row in map(json.loads, (folder / "all" / "metrics.jsonl").open())
                if row["split"] == text and row.get("fold") == fold
            ]
            assert len(lines) == len({step for step, _ in lines}) > 0


# The files of a run.


def test_a_run_leaves_every_file_of_the_contract(run: Run) -> None:
    found = read_json(run.folder / "results.json")
    tested = set(found["splits"]) - {"validation"}
    assert tested == ({"test"} if found["task"] != "covid" else {"out_of_fold"})
    files = {"config.json", "metrics.jsonl", "results.json", "split.csv"}
    files |= {"predictions_validation.csv", f"predictions_{tested.pop()}.csv", "model_card.md"}
    assert {"calibration", "audit", "saliency"} <= found.keys() and found["audit"]["verdict"]
    assert files <= {path.name for path in run.folder.iterdir()}
    assert not list(run.folder.rglob("*.tmp"))
    saved = {path.name for path in (run.folder / "checkpoints").rglob("*") if path.is_dir()}
    assert {"best", "last"} <= saved
    assert list((run.folder / "tensorboard").glob("events.*"))


def test_results_have_the_form_of_the_contract(run: Run) -> None:
    found = read_json(run.folder / "results.json")
    assert found["experiment"] == "classify"
    assert found["data"] == "phantom"
    assert found["seed"] == 0 and found["seconds"] > 0
    assert tuple(found["classes"]) == NAMES[found["task"]]
    for figures in found["splits"].values():
        assert set(figures) == FIGURES
        for figure in figures.values():
            assert set(figure) - {"few_groups"} == {"value", "ci95", "n"}
            assert 0 <= figure["value"] <= 1 and figure["n"] > 0
            if figure["ci95"] is not None:
                low, high = figure["ci95"]
                assert 0 <= low <= high <= 1


def test_config_json_says_what_ran(run: Run) -> None:
    found = read_json(run.folder / "config.json")
    assert found["config"]["data"]["size"] == 32
    assert {"python", "jax", "flax", "numpy"} <= found["versions"].keys()
    assert found["devices"] and len(found["data"]["fingerprint"]) == 64
    assert "git_revision" in found


def test_every_result_file_of_a_phantom_says_so(run: Run) -> None:
    assert "PHANTOM" in run.err and "PHANTOM" in run.out
    files = [run.folder / "config.json", run.folder / "results.json"]
    files += [run.folder / "metrics.jsonl", run.folder / "split.csv"]
    for path in [*files, *run.folder.glob("predictions_*.csv")]:
        assert "PHANTOM" in path.read_text(encoding="utf-8"), path


def test_metrics_are_one_object_a_line(run: Run) -> None:
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").open()]
    # A line of speed needs two steps between evaluations.
    assert {line["split"] for line in lines} - {"speed"} == {"train", "validation"}
    assert all(isinstance(line["step"], int) for line in lines)
    assert all({"loss", "auroc"} <= line.keys() for line in lines if line["split"] == "validation")


def test_figures_are_pictures(run: Run) -> None:
    task = read_json(run.folder / "results.json")["task"]
    names = {path.stem for path in (run.folder / "figures").iterdir()}
    # More than two classes have one figure a split: their curves do not fit on one.
    suffixes = ["_validation", "_test"] if task == "cause" else [""]
    wanted = {f"{name}{end}" for name in ("roc", "precision_recall") for end in suffixes}
    wanted |= {"training", "confusion_validation", "audit", "saliency", "occlusion"}
    wanted |= {"reliability"}
    assert wanted <= names
    for path in (run.folder / "figures").iterdir():
        assert path.suffix == ".png"
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert picture is not None and min(picture.shape) > 300 and picture.std() > 5


def test_figures_in_results_are_those_of_the_predictions(run: Run) -> None:
    found = read_json(run.folder / "results.json")
    names = NAMES[found["task"]]
    for split, figures in found["splits"].items():
        table = predictions(run.folder, split)
        labels = np.array([names.index(label) for label in table["label"]])
        probabilities = table[[f"p_{name}" for name in names]].to_numpy()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        values = found["threshold"]["values"]
        threshold = None if len(names) > 2 else np.array(values)[table["fold"].to_numpy()]
        for name, value in classification_metrics(labels, probabilities, threshold).items():
            assert figures[name]["value"] == pytest.approx(value, abs=1e-12), (split, name)
        matrix = confusion_matrix(labels, probabilities, threshold)
        assert found["confusion_matrix"][split] == matrix.tolist()


def test_predictions_are_of_the_split_that_was_written_out(run: Run) -> None:
    split = pd.read_csv(run.folder / "split.csv", comment="#")
    for name in read_json(run.folder / "results.json")["splits"]:
        table = predictions(run.folder, name)
        part = split[split["part"] == ("validation" if name == "validation" else "test")]
        columns = ["image", "group", "fold"]
        pd.testing.assert_frame_equal(
            table[columns].sort_values(["fold", "image"], ignore_index=True),
            part[columns].sort_values(["fold", "image"], ignore_index=True),
        )
    tested = split[split["part"] == "test"]
    assert not tested["image"].duplicated().any()


def test_the_printed_table_shows_the_figures(run: Run) -> None:
    found = read_json(run.folder / "results.json")
    for split, figures in found["splits"].items():
        assert f"{split} ({found['task']}, n={figures['auroc']['n']})" in run.out
        assert f"{figures['auroc']['value']:.3f}" in run.out
    assert str(run.folder) in run.out
    assert "images/s" in run.err


# Going on.


def wait_for_step(folder: Path, process: subprocess.Popen, step: int, fold: str | None) -> None:
    """Until metrics.jsonl has that training step."""
    path, end = folder / "metrics.jsonl", time.monotonic() + 900
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        for line in path.read_text().splitlines() if path.exists() else []:
            if line.endswith("}"):
                row = json.loads(line)
                if row["split"] == "train" and row["step"] >= step and row.get("fold") == fold:
                    return
        time.sleep(0.01)
    raise TimeoutError(f"no step {step}")


def test_killed_runs_go_on_to_the_same_figures(
    start: Callable, launch_all: Callable, covid: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    arguments = [*covid.arguments, f"--workdir={folder}"]
    process = start(*arguments)
    wait_for_step(folder, process, 2, "fold0")
    os.kill(process.pid, signal.SIGSTOP)
    # While it lives, though it stands still, no second one gets in.
    [(status, _, err)] = launch_all([arguments])
    process.kill()
    process.communicate()
    assert status == 2
    assert f"another process is running in --workdir={folder}" in err.splitlines()[-1]
    assert not (folder / "results.json").exists()

    process = start(*arguments)
    wait_for_step(folder, process, 1, "fold1")
    process.kill()
    process.communicate()
    assert not (folder / "results.json").exists()

    [(status, _, err)] = launch_all([arguments])
    assert status == 0, err
    assert figures_of(folder) == figures_of(covid.folder)
    for split in ("validation", "out_of_fold"):
        name = f"predictions_{split}.csv"
        assert (folder / name).read_bytes() == (covid.folder / name).read_bytes()


def test_sigterm_saves_and_the_same_command_goes_on(
    start: Callable, launch_all: Callable, pneumonia: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    arguments = [*pneumonia.arguments, f"--workdir={folder}"]
    process = start(*arguments)
    wait_for_step(folder, process, 3, None)
    process.terminate()
    _, err = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM
    assert f"saved; the same command with --workdir={folder} resumes" in err.splitlines()[-1]
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").open()]

    [(status, _, err)] = launch_all([arguments])
    assert status == 0, err
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    resumed = [line["step"] for line in lines[len(steps) :]]
    assert min(resumed) > max(steps)  # nothing is computed twice
    assert figures_of(folder) == figures_of(pneumonia.folder)
    name = "predictions_test.csv"
    assert (folder / name).read_bytes() == (pneumonia.folder / name).read_bytes()


def test_sigterm_before_training_ends_with_a_message(start: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(*PNEUMONIA, f"--workdir={folder}", "--config.phantom.seed=5")
    while not process.stderr.read(1):  # the phantom is being built, or its banner printed
        assert process.poll() is None
    process.terminate()
    _, err = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in err
    assert f"--workdir={folder} resumes" in err.splitlines()[-1]


def test_a_finished_run_says_so_and_changes_nothing(launch_all: Callable, covid: Run) -> None:
    arguments = [*covid.arguments, f"--workdir={covid.folder}"]
    before = contents(covid.folder)
    # What only says how much is printed may differ.
    results = launch_all([arguments, [*arguments, "--config.quiet", "--config.log_every=5"]])
    for status, out, _ in results:
        assert status == 0
        assert f"{covid.folder} is finished" in out
    assert contents(covid.folder) == before


def test_another_config_is_refused_naming_the_field(launch_all: Callable, covid: Run) -> None:
    arguments = [*covid.arguments, f"--workdir={covid.folder}"]
    before = contents(covid.folder)
    changes = {
        "--config.optimizer.learning_rate=0.5": "optimizer.learning_rate: 0.003 there, 0.5 now",
        "--config.seed=3": "seed: 0 there, 3 now",
        "--config.phantom.seed=1": "the data's fingerprint",
    }
    for (status, _, err), text in zip(
        launch_all([[*arguments, change] for change in changes]), changes.values(), strict=True
    ):
        assert status == 2
        assert "another config" in err.splitlines()[-1]
        assert text.split(":")[0] in err.splitlines()[-1]
    assert contents(covid.folder) == before


# Manifests.


def rewritten(source: Path, destination: Path, body: str, signed: bool) -> Path:
    first, _, old = source.read_text().partition("\n")
    assert body != old
    if signed:
        first = MARK + hashlib.sha256(body.encode()).hexdigest()
    destination.write_text(f"{first}\n{body}")
    return destination


def test_a_manifest_given_back_gives_the_same_predictions(
    launch_all: Callable, covid: Run, tmp_path: Path
) -> None:
    manifest = covid.folder / "split.csv"
    folder = tmp_path / "run"
    flags = [f"--config.data.manifest={manifest}", "--config.validation_fraction=0.5"]
    [(status, _, err)] = launch_all([[*covid.arguments, *flags, f"--workdir={folder}"]])
    assert status == 0, err
    for name in ("predictions_validation.csv", "predictions_out_of_fold.csv", "split.csv"):
        assert (folder / name).read_bytes() == (covid.folder / name).read_bytes()


def test_wrong_manifests_are_refused(launch_all: Callable, covid: Run, tmp_path: Path) -> None:
    source = covid.folder / "split.csv"
    body = source.read_text().partition("\n")[2]
    table = pd.read_csv(source, comment="#")
    fold = table[table["fold"] == 0]
    trained = fold[fold["part"] == "train"]
    shared = trained[trained["group"].duplicated(keep=False)].iloc[0]
    line = ",".join(str(value) for value in shared)
    leak = body.replace(line, line.replace(",train", ",validation"), 1)
    twice = body.replace(line, line.replace(",train", ",test"), 1)
    strange = body.replace(trained["image"].iloc[0], "somebody-else.jpeg", 1)
    without_test = "\n".join(row for row in body.splitlines() if not row.endswith("test")) + "\n"
    wanted = {
        rewritten(source, tmp_path / "tampered.csv", leak, signed=False): "its hash does not fit",
        rewritten(source, tmp_path / "leak.csv", leak, signed=True): "share their group with",
        rewritten(source, tmp_path / "twice.csv", twice, signed=True): "tested more than once",
        rewritten(source, tmp_path / "strange.csv", strange, signed=True): "somebody-else.jpeg",
        rewritten(source, tmp_path / "part.csv", without_test, signed=True): "images of test",
    }
    folder = tmp_path / "run"
    lines = [
        [*covid.arguments, f"--config.data.manifest={path}", f"--workdir={folder}"]
        for path in wanted
    ]
    for (status, _, err), text in zip(launch_all(lines), wanted.values(), strict=True):
        assert status == 2
        assert text in err.splitlines()[-1]
        assert "Traceback" not in err
    assert not folder.exists()


# Options.


@pytest.fixture(scope="module")
def variants(
    launch_all: Callable, covid: Run, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    flags = {
        "fold": ["--config.fold=1"],
        "members": ["--config.fold=1", "--config.members=2"],
        "last": ["--config.select=last", "--config.threshold=0.5"],
        "other": ["--config.dtype=bfloat16", "--config.balance=sampling"],
        "accumulate": ["--config.optimizer.accumulate=2", "--config.patience=1"],
    }
    base = tmp_path_factory.mktemp("variants")
    lines = [[*COVID, *more, f"--workdir={base / name}"] for name, more in flags.items()]
    for status, _, err in launch_all(lines):
        assert status == 0, err
    return {name: base / name for name in flags} | {"covid": covid.folder}


def test_one_fold_alone_is_that_fold_of_all(variants: dict[str, Path]) -> None:
    alone, all_folds = (predictions(variants[name], "out_of_fold") for name in ("fold", "covid"))
    assert set(alone["fold"]) == {1}
    same = all_folds[all_folds["fold"] == 1].reset_index(drop=True)
    # The calibration of all folds is fitted on the validation images of all.
    own = [name for name in alone if not name.startswith("p_")]
    assert any(name.startswith("uncalibrated_") for name in own)
    pd.testing.assert_frame_equal(alone[own], same[own], check_exact=True)


def test_members_are_averaged(variants: dict[str, Path]) -> None:
    assert {path.name for path in (variants["members"] / "checkpoints").iterdir()} == {
        "fold1-member0",
        "fold1-member1",
    }
    one, two = (predictions(variants[name], "out_of_fold") for name in ("fold", "members"))
    assert list(one["image"]) == list(two["image"])
    # The first member is the single network: the mean of the two lies within half of 1 of it.
    change = np.abs(one["p_COVID-19"] - two["p_COVID-19"])
    assert 0 < change.max() <= 0.5


def test_a_fixed_threshold_is_used(variants: dict[str, Path]) -> None:
    found = read_json(variants["last"] / "results.json")
    assert found["threshold"] == {"rule": "0.5", "value": 0.5, "values": [0.5, 0.5]}
    table = predictions(variants["last"], "out_of_fold")
    sensitivity = (table["p_COVID-19"] >= 0.5)[table["label"] == "COVID-19"].mean()
    assert found["splits"]["out_of_fold"]["sensitivity"]["value"] == pytest.approx(sensitivity)


@pytest.mark.parametrize("name", ["other", "accumulate"])
def test_options_change_the_network(variants: dict[str, Path], name: str) -> None:
    table, base = (predictions(variants[key], "out_of_fold") for key in (name, "covid"))
    assert list(table["image"]) == list(base["image"])
    assert np.isfinite(table["p_COVID-19"]).all()
    assert not np.array_equal(table["p_COVID-19"], base["p_COVID-19"])
