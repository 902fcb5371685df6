"""A finished run predicts files: right, one by one as in a batch, and beside broken ones."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidjax import export, predict
from covidjax.classify import saliency as saliency_report
from covidjax.classify import trained
from covidjax.data import cache, source, table
from covidjax.evidence import recalibration

SHRUNK = [
    *("--config.phantom.images=200", "--config.phantom.size=96", "--config.data.size=32"),
    *("--config.batch_size=8", "--config.validation_fraction=0.3"),
    *("--config.bootstrap_samples=50", "--config.evaluations=2", "--config.quiet"),
    *("--config.model.widths=(4,8)", "--config.model.convs=1", "--config.epochs=3"),
]
KFOLD = ["--config=configs/cnn.py", *SHRUNK, "--config.folds=2", "--config.members=2"]
OFFICIAL = ["--config=configs/cnn.py:task=pneumonia", *SHRUNK, "--config.data.resize=pad"]


@pytest.fixture(scope="module")
def runs(launch: Callable, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for name, arguments in (("kfold", KFOLD), ("official", OFFICIAL)):
        folders[name] = tmp_path_factory.mktemp(name) / "run"
        status, _, err = launch(*arguments, f"--workdir={folders[name]}")
        assert status == 0, err
    return folders


@pytest.fixture(autouse=True)
def in_cache(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVIDJAX_CACHE", environment["COVIDJAX_CACHE"])


@pytest.fixture
def pixels(runs: dict[str, Path], in_cache: None) -> dict[str, np.ndarray]:
    """The phantom's images as the official run saw them."""
    prepared, data = prepared_of(runs["official"])
    images = cache.load_cache(
        prepared.path, prepared.fingerprint, data["size"], data["equalize"], data["resize"]
    )
    return dict(zip(table.read_table(prepared.path)["image"], images, strict=True))


def prepared_of(run: Path) -> tuple[source.Prepared, dict[str, Any]]:
    config = json.loads((run / "config.json").read_text())["config"]
    settings = config["phantom"] | {"shortcuts": ()}
    return source.resolve("phantom", "", "", settings, progress=False), config["data"]


@pytest.fixture
def films(runs: dict[str, Path], tmp_path: Path, in_cache: None) -> Path:
    """A folder with the phantom's files."""
    folder = tmp_path / "films"
    folder.mkdir()
    prepared, _ = prepared_of(runs["official"])
    for examples in table.read_examples(prepared.path):
        for example in examples:
            (folder / example["image/name"].decode()).write_bytes(example["image"])
    return folder


def call(*arguments: Any) -> int:
    return predict.main([str(argument) for argument in arguments])


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {Path(row["image"]).name: row for row in csv.DictReader(file)}


def set_results(run: Path, folder: Path, **added: Any) -> Path:
    """A copy of the run with other results."""
    shutil.copytree(run, folder)
    found = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps(found | added))
    return folder


@pytest.mark.parametrize("epoch", ["best", "last"])
def test_the_runs_own_test_images_get_the_runs_own_probabilities(runs, films, tmp_path, epoch):
    run = shutil.copytree(runs["official"], tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["config"]["select"] = epoch
    (run / "config.json").write_text(json.dumps(config))
    own = pd.read_csv(run / "predictions_test.csv")
    last = run / "checkpoints" / "last"
    newest = max(int(path.name) for path in last.iterdir() if path.name.isdigit())
    best = json.loads((last / str(newest) / "progress" / "metadata").read_text())["best_step"]
    if epoch == "last" and best != newest:
        pytest.skip("the best epoch was not the last, whose probabilities no file has")
    assert call(f"--run={run}", films, f"--out={tmp_path / 'p.csv'}") == 0
    found = rows_of(tmp_path / "p.csv")
    assert len(found) == len(list(films.iterdir()))
    results = json.loads((run / "results.json").read_text())
    threshold = results["threshold"]["value"]
    assert results["threshold"]["values"] == [threshold]
    for name, p in zip(own["image"], own["p_Pneumonia"], strict=True):
        row = found[name]
        assert float(row["p_Pneumonia"]) == pytest.approx(p, abs=1e-5)
        assert float(row["threshold"]) == threshold
        assert row["call"] == ("Pneumonia" if p >= threshold else "Normal")
        assert row["data"] == "PHANTOM"
        assert row["verdict"]


def test_the_same_image_gives_the_same_bits_alone_and_among_others(runs, films, tmp_path):
    names = sorted(path.name for path in films.iterdir())[:12]
    assert call(f"--run={runs['kfold']}", films, f"--out={tmp_path / 'all.csv'}") == 0
    together = rows_of(tmp_path / "all.csv")
    for name in names[::4]:
        out = tmp_path / f"{name}.csv"
        assert call(f"--run={runs['kfold']}", films / name, f"--out={out}") == 0
        alone = rows_of(out)[name]
        assert {**alone, "image": ""} == {**together[name], "image": ""}


def test_folds_and_members_are_averaged_and_calibrated(runs, films, tmp_path):
    path = next(films.iterdir())
    plain = trained.load(runs["kfold"])
    assert list(plain.networks) == [f"fold{f}-member{m}" for f in (0, 1) for m in (0, 1)]
    _, image = trained.prepare(plain, path)
    each = []
    for name, network in plain.networks.items():
        one = trained.dataclasses.replace(plain, networks={name: network}, map={"method": "none"})
        config = one.config.copy_and_resolve_references()
        config.members = 1
        each.append(trained.make_predict(trained.dataclasses.replace(one, config=config))(image))
    plain = trained.dataclasses.replace(plain, map={"method": "none"})
    np.testing.assert_allclose(trained.make_predict(plain)(image), np.mean(each, axis=0))
    mapping = {"method": "platt", "slope": 2.0, "shift": [0.0, -0.7]}
    run = set_results(
        runs["kfold"],
        tmp_path / "run",
        calibration={"map": mapping, "scale": "platt"},
        threshold={"value": 0.45, "values": [0.6, 0.3]},
        audit={"verdict": "the border alone reaches 0.97"},
    )
    cold = trained.load(run)
    folds = [np.mean(each[:2], axis=0), np.mean(each[2:], axis=0)]
    expected = recalibration.apply(mapping, folds).mean(axis=0)
    np.testing.assert_allclose(trained.make_predict(cold)(image), expected)
    assert cold.threshold == 0.45
    assert cold.verdict == "the border alone reaches 0.97"


def test_bad_files_have_their_own_line_and_the_rest_go_on(runs, films, tmp_path, capsys):
    good = sorted(films.iterdir())[:2]
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    shutil.copy(good[0], folder / "a.png")
    shutil.copy(good[1], folder / "below" / "z.png")
    (folder / "notes.txt").write_text("not an image")
    (folder / "cut.png").write_bytes(good[0].read_bytes()[:-300])
    (folder / ".hidden").write_text("")
    out = tmp_path / "p.csv"
    status = call(f"--run={runs['official']}", folder, f"--out={out}", f"--heatmap={tmp_path}/m")
    shown = capsys.readouterr()
    assert status == 1
    lines = shown.out.splitlines()
    assert len(lines) == 4 and all("PHANTOM" in line for line in lines)
    assert "not read: not an image" in next(line for line in lines if "notes.txt" in line)
    assert "2 of 4 files could not be read" in shown.err
    assert "Audit of the run: " in shown.err
    found = rows_of(out)
    assert list(found) == ["a.png", "cut.png", "notes.txt", "z.png"]
    assert found["cut.png"]["error"] and not found["cut.png"]["p_Normal"]
    assert not found["a.png"]["error"]
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["a.png.png", "z.png.png"]
    with Image.open(tmp_path / "m" / "a.png.png") as image:
        assert min(image.size) > 300


def test_what_nobody_foresaw_in_one_file_is_that_files_line(runs, films, tmp_path, monkeypatch):
    good = sorted(films.iterdir())[:3]
    read = trained.prepare

    def broken(run, path):
        if path == good[1]:
            raise ZeroDivisionError("in a decoder")
        return read(run, path)

    monkeypatch.setattr(trained, "prepare", broken)
    out = tmp_path / "p.csv"
    assert call(f"--run={runs['official']}", *good, f"--out={out}") == 1
    found = rows_of(out)
    assert found[good[1].name]["error"] == "ZeroDivisionError: in a decoder"
    assert found[good[0].name]["call"] and found[good[2].name]["call"]


def test_a_heatmap_that_cannot_be_written_leaves_the_probability(runs, films, tmp_path, capsys):
    good = sorted(films.iterdir())[0]
    (tmp_path / "m" / f"{good.name}.png").mkdir(parents=True)  # a folder in its place
    arguments = [f"--run={runs['official']}", good, f"--heatmap={tmp_path / 'm'}"]
    assert call(*arguments, f"--out={tmp_path / 'p.csv'}") == 1
    assert "heatmap not written: is there and is no file" in capsys.readouterr().out
    row = rows_of(tmp_path / "p.csv")[good.name]
    assert row["call"] and row["p_Normal"] and row["error"]


def test_names_that_are_no_utf8_and_linked_folders_are_read(runs, films, tmp_path, capsys):
    good = sorted(films.iterdir())[:2]
    folder, real = tmp_path / "mixed", tmp_path / "real"
    for place in (folder, real):
        place.mkdir()
    odd = os.fsdecode("Th\xf6rax.png".encode("latin-1"))
    shutil.copy(good[0], folder / odd)
    shutil.copy(good[1], real / "b.png")
    (folder / "linked").symlink_to(real)
    (real / "circle").symlink_to(folder)
    out = tmp_path / "p.csv"
    arguments = [f"--run={runs['official']}", folder, f"--out={out}", f"--heatmap={tmp_path}/m"]
    assert call(*arguments) == 0
    assert list(rows_of(out)) == [r"Th\xf6rax.png", "b.png"]
    assert r"Th\xf6rax.png" in capsys.readouterr().out
    assert call(f"--run={runs['official']}", "--json", folder) == 0
    rows = json.loads(capsys.readouterr().out)["predictions"]
    assert rows[0]["image"].endswith(r"Th\xf6rax.png")


def test_a_reader_who_leaves_costs_no_row(runs, films, tmp_path, environment):
    out = tmp_path / "p.csv"
    command = [sys.executable, "-m", "covidjax.predict", f"--run={runs['official']}", str(films)]
    process = subprocess.Popen(
        [*command, f"--out={out}"],
        cwd=Path(predict.__file__).parents[1],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and process.stderr
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read().decode()
    assert process.wait(900) == 0 and "Broken pipe" not in said and "Traceback" not in said
    assert len(rows_of(out)) == len(list(films.iterdir()))


def test_json_says_the_same_and_writes_nothing(runs, films, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    path = next(films.iterdir())
    assert call(f"--run={runs['kfold']}", "--json", path) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(tmp_path.iterdir()) == before
    assert found["data"] == "PHANTOM" and found["networks"] == 4
    (row,) = found["predictions"]
    assert row["call"] in found["classes"]
    assert sum(row["probabilities"]) == pytest.approx(1)
    assert row["verdict"] and 0 < row["threshold"] < 1


def test_command_lines_that_cannot_work_are_one_line_and_status_2(
    runs, films, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = next(films.iterdir())
    (tmp_path / "empty").mkdir()
    (tmp_path / "unfinished").mkdir()
    shutil.copy(runs["kfold"] / "config.json", tmp_path / "unfinished")
    shutil.copytree(runs["kfold"], tmp_path / "partial")
    shutil.rmtree(tmp_path / "partial" / "checkpoints" / "fold1-member0")
    shutil.copytree(runs["official"], tmp_path / "damaged")
    for file in (tmp_path / "damaged" / "checkpoints" / "best").rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(b"damaged")
    (tmp_path / "predictions.csv").write_text("precious")
    set_results(runs["kfold"], tmp_path / "odd", calibration={"temperatures": [1.0, 1.0]})
    set_results(runs["kfold"], tmp_path / "old", threshold=0.5)
    run = f"--run={runs['official']}"
    wanted = {
        (run, str(path)): "predictions.csv is there",
        (run, "--json", "none.png"): "none.png: there is no such file",
        (run, "--json", "empty"): "no file in empty",
        ("--run=empty", "--json", str(path)): "empty holds no run: it has no config.json",
        ("--run=unfinished", "--json", str(path)): "is not finished",
        ("--run=partial", "--json", str(path)): "holds 3 networks, but the run has 4",
        ("--run=damaged", "--json", str(path)): "cannot be read",
        ("--run=odd", "--json", str(path)): "was finished by an older covidjax",
        ("--run=old", "--json", str(path)): "is damaged, or of another version",
        (run, "--out=empty", "--overwrite", str(path)): "empty is there; give another --out",
        (run, "--out=predictions.csv/p.csv", str(path)): "cannot write predictions.csv/p.csv: ",
        (run, "--json", "--heatmap=predictions.csv", str(path)): "cannot make the folder",
    }
    for arguments, text in wanted.items():
        assert call(*arguments) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert len(shown.err.splitlines()) == 1 and text in shown.err, shown.err
    assert (tmp_path / "predictions.csv").read_text() == "precious"
    assert call(run, str(path), "--overwrite") == 0
    assert (tmp_path / "predictions.csv").read_text().startswith("image,call,p_Normal")


def test_a_run_that_cannot_write_says_so_before_the_work(runs, films, tmp_path, monkeypatch):
    def predict_files(*_arguments: Any) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(predict, "predict_files", predict_files)
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "p.csv"
    assert call(f"--run={runs['official']}", next(films.iterdir()), f"--out={out}") == 2


def test_what_was_predicted_before_ctrl_c_is_written(runs, films, tmp_path, capsys, monkeypatch):
    whole = predict.predict_files

    def interrupted(*arguments: Any) -> Any:
        for number, row in enumerate(whole(*arguments)):
            if number == 2:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(predict, "predict_files", interrupted)
    out = tmp_path / "p.csv"
    assert call(f"--run={runs['official']}", films, f"--out={out}") == 130
    assert "stopped after 2 of 200 files" in capsys.readouterr().err
    assert list(rows_of(out)) == sorted(path.name for path in films.iterdir())[:2]


LOADS = """
import json, pathlib, sys
for name in ("covidjax", "flax", "cv2"):
    sys.modules[name] = None  # an import of it fails
import jax, numpy as np
program = jax.export.deserialize(bytearray(pathlib.Path("net").read_bytes()))
films = [np.load(path) for path in sorted(pathlib.Path("gray").iterdir())]
found = [np.asarray(program.call(film[None])) for film in films]
twice = np.asarray(program.call(np.stack([films[0]] * 2)))
np.testing.assert_allclose(twice, np.concatenate([found[0]] * 2), atol=1e-6)
np.save("found.npy", np.concatenate(found))
loaded = [name for name, module in sys.modules.items() if module is not None]
assert not [name for name in loaded if name.split(".")[0] in ("covidjax", "flax", "cv2")]
print(json.dumps(program.platforms))
"""


@pytest.mark.parametrize("name", ["kfold", "official"])
def test_the_exported_network_predicts_without_covidjax(runs, films, tmp_path, name, capsys):
    run = set_results(runs[name], tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    results["calibration"]["map"] = {"method": "platt", "slope": 0.6, "shift": [0.0, 0.4]}
    (run / "results.json").write_text(json.dumps(results))
    assert export.main([f"--run={run}", f"--out={tmp_path / 'net'}"]) == 0
    assert "PHANTOM" in capsys.readouterr().out
    loaded = trained.load(run)
    read = [trained.prepare(loaded, path) for path in sorted(films.iterdir())[:5]]
    (tmp_path / "gray").mkdir()
    for number, (found, _) in enumerate(read):
        np.save(tmp_path / "gray" / f"{number}.npy", found.gray)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADS],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["cpu", "cuda", "tpu"]
    expected = np.stack([trained.make_predict(loaded)(image) for _, image in read])
    assert np.ptp(expected[:, 1]) > 0.005
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=2e-3)
    described = json.loads((tmp_path / "net.json").read_text())
    assert described["classes"] == list(loaded.classes)
    assert described["threshold"] == pytest.approx(loaded.threshold)
    assert described["input"]["shape"] == ["b", "height", "width"]
    assert described["inside"]["size"] == 32
    assert described["data"] == "PHANTOM" and described["verdict"]
    assert export.main([f"--run={run}", f"--out={tmp_path / 'net'}"]) == 2
    assert "is there" in capsys.readouterr().err


def test_the_saliency_of_a_run_is_measured_and_shown(runs, pixels, tmp_path):
    run = trained.load(runs["official"])
    own = pd.read_csv(run.folder / "predictions_test.csv")
    tested = {
        "images": np.stack([pixels[name] for name in own["image"]]),
        "rows": np.arange(len(own)),
        "names": own["image"].to_numpy(),
        "labels": np.array([run.classes.index(label) for label in own["label"]]),
        "groups": own["group"].to_numpy(),
        "probabilities": own[["p_Normal", "p_Pneumonia"]].to_numpy(),
        "threshold": np.full(len(own), run.threshold),
        "network": np.zeros(len(own), int),
    }
    networks = list(run.networks.values())
    found = saliency_report.write(run.config, tested, lambda _: networks, tmp_path, phantom=True)
    assert 0.2 < found["even_map"] < 0.35
    share, alike = found["share_outside_thorax"], found["randomisation"]
    assert 0 <= share["ci95"][0] <= share["value"] <= share["ci95"][1] <= 1
    assert 0 < share["n"] <= len(own)
    assert -1 <= alike["value"] <= 1
    with Image.open(tmp_path / "figures" / "saliency.png") as image:
        assert min(image.size) > 500
