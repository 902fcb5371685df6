"""An external folder is checked before the training, and what the run knows is left out."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covidjax.classify import external, external_figures
from covidjax.classify.external_csv import ExternalError
from covidjax.data import source, table
from covidjax.data.preprocess import prepare_image
from tfds_coronahack.phantom import write_archive

CLASSES = ("Normal", "Pneumonia")
OPTIONS = {"size": 32, "equalize": "clahe", "resize": "squash"}


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 15), dtype=np.uint8))
    return np.asarray(coarse.resize((150, 120), Image.Resampling.BICUBIC))


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "other"
    (path / "images").mkdir(parents=True)
    for number in range(6):
        Image.fromarray(picture(number)).save(path / "images" / f"{number}.png")
    write_csv(path, [f"images/{n}.png,{CLASSES[n % 2]},g{n // 2}" for n in range(6)])
    return path


def write_csv(folder: Path, lines: list[str], columns: str = "image,label,group") -> None:
    (folder / "labels.csv").write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")


def load(folder: Path) -> external.External:
    return external.load(folder, CLASSES, **OPTIONS)


def test_images_labels_and_groups_are_read_in_the_order_of_the_csv(folder):
    found = load(folder)
    assert found.names.tolist() == [f"images/{n}.png" for n in range(6)]
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert found.groups.tolist() == ["g0", "g0", "g1", "g1", "g2", "g2"]
    assert np.array_equal(found.images[3], prepare_image(picture(3), **OPTIONS))
    assert found.left_out == {}


def test_labels_may_differ_in_case_and_groups_may_be_missing(folder):
    write_csv(folder, ["images/0.png, normal", "images/1.png,PNEUMONIA"], "image,label")
    found = load(folder)
    assert found.labels.tolist() == [0, 1]
    assert len(set(found.groups)) == 2


def test_bad_images_are_left_out_with_the_reason(folder):
    (folder / "images" / "1.png").write_bytes(b"no image")
    found = load(folder)
    assert len(found.names) == 5 == len(found.images)
    assert found.left_out == {"images/1.png": "not an image of a known format"}
    assert "images/1.png: not an image" in external.report(found)


COPIES = {
    "bytes": "copy.png",
    "spelling": "./images//0.png",
    "link": "link.png",
    "recompressed": "copy.jpeg",
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("label", CLASSES)
def test_a_picture_that_is_there_twice_counts_once_and_with_two_labels_not_at_all(
    folder, kind, label
):
    original, name = folder / "images" / "0.png", COPIES[kind]
    if kind == "bytes":
        (folder / name).write_bytes(original.read_bytes())
    elif kind == "link":
        (folder / name).symlink_to(original)
    elif kind == "recompressed":
        Image.open(original).save(folder / name, quality=80)
    write_csv(folder, [f"images/{n}.png,{CLASSES[n % 2]},g{n}" for n in range(6)])
    with (folder / "labels.csv").open("a") as file:
        file.write(f"{name},{label},someone else\n")
    found = load(folder)
    expected = {name: "is the same picture as images/0.png"}
    if label != CLASSES[0]:
        expected = {name: expected[name] + ", under another label"}
        expected["images/0.png"] = f"is the same picture as {name}, under another label"
    assert found.left_out == expected
    assert len(found.names) == 7 - len(expected)


def test_an_error_that_nobody_foresaw_is_that_files_alone(folder, monkeypatch):
    read = external.reading.read_image

    def broken(path, min_side):
        if path.name == "1.png":
            raise ZeroDivisionError("in a decoder")
        return read(path, min_side)

    monkeypatch.setattr(external.reading, "read_image", broken)
    assert load(folder).left_out == {"images/1.png": "ZeroDivisionError: in a decoder"}


MISTAKES = {
    "no folder": "there is no such folder",
    "no csv": "there is none",
    "two csvs": "there is labels.csv, more.csv",
    "columns": "no column label; it has image, class",
    "empty": "has no rows",
    "nothing": "cannot be read",
    "label": "no class is called 'covid'; the task has Normal, Pneumonia",
    "twice": "names images/0.png more than once",
    "missing": "not in .*: 'images/9.png', ''",
    "fields": "Expected 2 fields in line 2, saw 3",
    "two labels": "has the column label more than once",
    "outside": "do not lie below .*'../images/0.png'",
    "unreadable": "not one of 1 images is read; images/0.png: not an image",
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_folder_that_cannot_be_used_is_refused_before_anything_starts(folder, kind):
    row = "images/0.png,Normal,a"
    if kind == "no csv":
        (folder / "labels.csv").unlink()
    elif kind == "two csvs":
        (folder / "more.csv").write_text("image,label\n")
    elif kind == "columns":
        write_csv(folder, ["images/0.png,Normal"], "image,class")
    elif kind == "fields":
        write_csv(folder, ["images/0.png,Normal,"], "image,label")
    elif kind == "two labels":
        write_csv(folder, ["images/0.png,Normal,Pneumonia"], "image,label,label")
    elif kind == "nothing":
        (folder / "labels.csv").write_text("")
    elif kind == "unreadable":
        (folder / "images" / "0.png").write_bytes(b"no image")
        write_csv(folder, [row])
    else:
        lines = {
            "empty": [],
            "label": [row, "images/1.png,covid,b"],
            "twice": [row, row],
            "missing": [row, "images/9.png,Normal,b", ",Normal,c"],
            "outside": [row, "../images/0.png,Normal,b"],
        }
        write_csv(folder, lines.get(kind, [row]))
    path = folder.parent / "none" if kind == "no folder" else folder
    with pytest.raises(ExternalError, match=MISTAKES[kind]) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> source.Prepared:
    home = tmp_path_factory.mktemp("phantom")
    archive = write_archive(home / "a.zip", images=40, seed=0, size=96, shortcuts=[])
    return source.resolve("auto", str(home), str(archive), progress=False)


def originals(prepared: source.Prepared) -> list[bytes]:
    return [example["image"] for part in table.read_examples(prepared.path) for example in part]


def test_what_the_run_was_trained_with_is_left_out(folder, prepared):
    examples = table.read_table(prepared.path)
    same, near, smaller, tested = (originals(prepared)[row] for row in (3, 35, 36, 20))
    (folder / "images" / "0.png").write_bytes(same)
    (folder / "images" / "5.png").write_bytes(tested)
    with Image.open(io.BytesIO(near)) as image:
        image.convert("L").save(folder / "images" / "1.png")
    with Image.open(io.BytesIO(smaller)) as image:
        shrunk = image.convert("L").resize((80, 78)).point(lambda level: level * 0.8)
        shrunk.save(folder / "images" / "2.png")
    rows = np.setdiff1d(np.arange(len(examples)), [20])
    found = external.without_known(load(folder), prepared.path, examples, rows)
    assert found.names.tolist() == ["images/3.png", "images/4.png", "images/5.png"]
    assert found.labels.tolist() == [1, 0, 1]
    assert found.images.shape == (3, 32, 32)
    names = examples["image"]
    assert f"is {names[3]}" in found.left_out["images/0.png"]
    assert f"is nearly {names[35]}" in found.left_out["images/1.png"]
    assert f"is nearly {names[36]}" in found.left_out["images/2.png"]


def test_a_folder_of_training_images_alone_is_refused(folder, prepared):
    examples = table.read_table(prepared.path)
    (folder / "images" / "0.png").write_bytes(originals(prepared)[0])
    write_csv(folder, ["images/0.png,Normal,a"])
    with pytest.raises(ExternalError, match="trained with all of its images or patients"):
        external.without_known(load(folder), prepared.path, examples, np.arange(len(examples)))


def test_the_figures_are_those_of_the_predictions(folder, tmp_path):
    found = load(folder)
    score = np.array([0.1, 0.9, 0.3, 0.35, 0.5, 0.2])
    p = np.stack([1 - score, score], axis=1)
    figures, facts = external_figures.evaluate(
        found, p, 0.32, CLASSES, tmp_path / "run", phantom=True
    )
    assert figures["auroc"]["value"] == pytest.approx(6 / 9)
    assert figures["accuracy"] == {
        "value": pytest.approx(4 / 6),
        "ci95": figures["accuracy"]["ci95"],
        "n": 6,
        "few_groups": 3,
    }
    assert facts["groups"] == {"Normal": 3, "Pneumonia": 3} and facts["prevalence"] == 0.5
    assert facts["ppv"]["value"] == pytest.approx(2 / 3) and facts["ppv"]["n"] == 3
    assert {"accuracy", "f1", "ppv"} <= set(facts["struck"]) and "auroc" not in facts["struck"]
    assert figures["accuracy"]["ci95"][0] < 4 / 6
    assert facts["confusion_matrix"] == [[2, 1], [1, 2]]
    assert facts["labels"] == {"Normal": 3, "Pneumonia": 3} and facts["threshold"] == 0.32
    written = pd.read_csv(tmp_path / "run" / "predictions_external.csv")
    assert list(written.columns) == [
        *("image", "group", "label", "fold", "p_Normal", "p_Pneumonia", "data")
    ]
    assert (written["data"] == "PHANTOM").all()
    assert list(written["label"]) == ["Normal", "Pneumonia"] * 3


def test_enough_groups_of_each_class_strike_nothing(folder, tmp_path):
    found = load(folder)
    many = 10
    columns = ("names", "patients", "labels")
    more = {name: np.tile(getattr(found, name), many) for name in columns}
    more["groups"] = np.arange(60).astype(str)
    large = dataclasses.replace(found, **more)
    p = np.tile([0.4, 0.6], (60, 1))
    _, facts = external_figures.evaluate(large, p, 0.5, CLASSES, tmp_path, phantom=False)
    assert facts["groups"] == {"Normal": 30, "Pneumonia": 30} and facts["struck"] == []


@pytest.mark.parametrize("column", ["patient", "group"])
def test_other_images_of_an_adult_that_the_run_was_trained_with_are_left_out(folder, column):
    """CoronaHack's table of adults knows which image is of which patient."""
    rows = [f"images/{n}.png,{CLASSES[n % 2]},{('Cohen-46', 'x', '')[n % 3]}" for n in range(6)]
    write_csv(folder, rows, f"image,label,{column}")
    found = load(folder)
    assert len(set(found.groups)) == 4  # the patient is the group where none is named
    known = pd.DataFrame(
        {
            "image": ["train/01E392EE-69F9-4E33-BFCE-E5C968654078.jpeg"],  # of cohen-46
            "sha256": ["f" * 64],
            "phash": np.array([2**63], np.uint64),
            "row": [0],
        }
    )
    left = external.without_known(found, Path("nowhere"), known, np.array([0]))
    assert sorted(left.left_out) == ["images/0.png", "images/3.png"]
    assert "is of patient Cohen-46, whose train/01E392EE" in left.left_out["images/0.png"]


def test_a_file_name_of_the_collection_names_its_patient(folder):
    (folder / "images" / "0.png").rename(folder / "images" / "1-s2.0-S0140673620303706-fx1_lrg.jpg")
    write_csv(folder, ["images/1-s2.0-S0140673620303706-fx1_lrg.jpg,Normal"], "image,label")
    assert load(folder).patients.tolist() == ["cohen-11"]


def test_a_folder_of_one_class_has_the_figures_that_it_can_have(folder, tmp_path):
    found = load(folder)
    one = dataclasses.replace(found, labels=np.ones(6, np.int64))
    p = np.tile([0.4, 0.6], (6, 1))
    figures, _ = external_figures.evaluate(one, p, 0.5, CLASSES, tmp_path, phantom=False)
    assert figures["accuracy"]["value"] == 1
    assert np.isnan(figures["auroc"]["value"])


def test_the_digest_is_of_contents_and_not_of_the_place(folder, tmp_path):
    before = external.digest(load(folder))
    assert before == external.digest(load(folder.rename(tmp_path / "moved")))
    moved = tmp_path / "moved"
    Image.fromarray(picture(9)).save(moved / "images" / "0.png")
    after = external.digest(load(moved))
    write_csv(moved, [f"images/{n}.png,{CLASSES[0]},g{n // 2}" for n in range(6)])
    assert len({before, after, external.digest(load(moved))}) == 3
