"""The table of the examples, and the tasks' labels."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tfds_coronahack
from covidjax.data import table

IMAGES = 72


def copies() -> list[Path]:
    return list(Path(os.environ["COVIDJAX_CACHE"]).glob("tables/*"))


def test_the_table_has_every_example_once_train_before_test(prepared):
    examples = table.read_table(prepared)
    assert len(examples) == IMAGES and examples["image"].is_unique
    assert examples["row"].tolist() == list(range(IMAGES))
    train = int((examples["kaggle_split"] == "TRAIN").sum())
    assert 0 < train < IMAGES
    assert examples["kaggle_split"].tolist() == ["TRAIN"] * train + ["TEST"] * (IMAGES - train)


def test_the_columns_tell_what_the_examples_hold(prepared):
    examples = table.read_table(prepared)
    kinds = {name: str(kind) for name, kind in examples.dtypes.items()}
    # pandas before 3 keeps text as objects.
    assert {name: kind.replace("object", "str") for name, kind in kinds.items()} == table.COLUMNS
    normal = examples["label"] == "Normal"
    assert set(examples["label"]) == {"Normal", "Pneumonia"}
    assert ((examples["cause"] == "none") == normal).all()
    assert (examples["group"] != "").all() and examples["group"].nunique() < IMAGES
    assert examples["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    row = 0
    for chunk in table.read_examples(prepared):
        for example in chunk:
            assert examples["phash"][row] == int(example["phash"])
            assert examples["bytes"][row] == len(example["image"])
            assert examples["height"][row] == example["height"]
            row += 1


def test_the_copy_reads_back_the_same(prepared):
    first = table.read_table(prepared)
    (copy,) = copies()
    before = copy.stat().st_mtime_ns
    pd.testing.assert_frame_equal(table.read_table(prepared), first)
    assert copies() == [copy] and copy.stat().st_mtime_ns == before


@pytest.mark.parametrize("keep", [0, 1, 500, -30])
def test_a_damaged_copy_is_made_again(prepared, keep):
    first = table.read_table(prepared)
    (copy,) = copies()
    whole = copy.read_bytes()
    copy.write_bytes(whole[:keep])
    pd.testing.assert_frame_equal(table.read_table(prepared), first)
    assert copy.read_bytes() == whole


def test_another_dataset_in_the_same_folder_is_not_mistaken_for_the_old(prepared, tmp_path):
    folder = Path(shutil.copytree(prepared, tmp_path / "coronahack" / prepared.name))
    table.read_table(folder)
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    table.read_table(folder)
    assert len(copies()) == 2


def test_without_a_folder_for_the_copy_the_table_is_read_all_the_same(prepared, monkeypatch):
    monkeypatch.setenv("COVIDJAX_CACHE", "/dev/null/cache")
    assert len(table.read_table(prepared)) == IMAGES


def test_a_folder_without_a_dataset_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.*tfds_coronahack"):
        table.read_table(tmp_path / "nowhere")


CAUSES = ["none", "bacterial", "viral", "COVID-19", "SARS", "ARDS", "Streptococcus"]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("covid", [0, -1, -1, 1, -1, -1, -1]),
        ("pneumonia", [0, 1, 1, 1, 1, 1, 1]),
        ("cause", [0, 1, 2, 3, 2, -1, 1]),
    ],
)
def test_each_task_sorts_the_causes_into_its_classes(task, expected):
    labels = table.task_labels(pd.DataFrame({"cause": CAUSES}), task)
    assert labels.tolist() == expected and np.issubdtype(labels.dtype, np.integer)
    assert max(expected) == len(table.TASKS[task].classes) - 1


def test_the_causes_of_the_tasks_are_those_of_the_builder(prepared):
    names = set(
        tfds_coronahack.Coronahack(data_dir=prepared.parents[1]).info.features["cause"].names
    )
    assert names == set(CAUSES)
    for task in table.TASKS.values():
        assert {cause for causes in task.causes for cause in causes} <= names


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'corona'.*covid, pneumonia, cause"):
        table.task_labels(pd.DataFrame({"cause": CAUSES}), "corona")
