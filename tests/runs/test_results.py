"""Result files: plain JSON, exact CSV, replaced in one step."""

import json
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from covidjax.evidence.metrics import classification_metrics
from covidjax.runs.results import (
    ResultsError,
    write_predictions,
    write_results,
)


def test_results_are_json_with_null_for_what_json_does_not_know(tmp_path):
    path = tmp_path / "new" / "results.json"
    write_results(
        path,
        {
            "experiment": "classify",
            "auroc": float("nan"),
            "psnr": np.float32(np.inf),
            "n": np.int64(5),
            "flag": np.bool_(True),
            "matrix": np.array([[1, 2], [3, 4]]),
            "jax": jnp.float32(0.5),
            "half": jnp.array([1.5], dtype=jnp.bfloat16),
            "ci95": (0.25, None),
            "path": tmp_path,
        },
    )

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse) == {
        "experiment": "classify",
        "auroc": None,
        "psnr": None,
        "n": 5,
        "flag": True,
        "matrix": [[1, 2], [3, 4]],
        "jax": 0.5,
        "half": [1.5],
        "ci95": [0.25, None],
        "path": str(tmp_path),
    }
    assert list(json.loads(path.read_text(encoding="utf-8")))[0] == "experiment"


@pytest.mark.parametrize("bad", [{"a": {"b": object()}}, {"a": {1: 2}}, {"a": {"b": {1, 2}}}])
def test_what_json_cannot_hold_is_refused_by_its_place_and_the_old_file_stays(tmp_path, bad):
    path = tmp_path / "results.json"
    write_results(path, {"old": 1})
    with pytest.raises(ResultsError, match=r"results\.a"):
        write_results(path, bad)
    assert json.loads(path.read_text(encoding="utf-8")) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_predictions_read_back_give_exactly_the_same_figures(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    scores = rng.random(80).astype(np.float32)
    probabilities = np.stack([1 - scores, scores], axis=1)
    names = ("Normal", "COVID-19")
    path = tmp_path / "predictions_test.csv"
    images = [f'a "{i}", b.jpeg' for i in range(80)]
    groups = [f"person{i // 2}" for i in range(80)]
    write_predictions(path, images, groups, labels, labels * 3, probabilities, names)
    table = pd.read_csv(path, dtype={"p_Normal": str, "p_COVID-19": str})
    assert list(table) == ["image", "group", "label", "fold", "p_Normal", "p_COVID-19"]
    assert list(table.image) == images and list(table.group) == groups
    assert list(table.label) == [names[i] for i in labels]
    assert list(table.fold) == list(labels * 3)
    read = table[["p_Normal", "p_COVID-19"]].to_numpy().astype(np.float64)
    cut = float(scores[3])
    assert classification_metrics(labels, read, cut) == classification_metrics(
        labels, probabilities, cut
    )


def test_unknown_labels_and_missing_folds_are_empty(tmp_path):
    path = tmp_path / "predictions_external.csv"
    write_predictions(path, ["a", "b"], ["g", "h"], [-1, 1], None, np.eye(2), ("N", "P"))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == ["image,group,label,fold,p_N,p_P", "a,g,,,1.0,0.0", "b,h,P,,0.0,1.0"]


def test_no_predictions_are_a_header(tmp_path):
    path = tmp_path / "predictions_test.csv"
    write_predictions(path, [], [], [], None, np.zeros((0, 2)), ("N", "P"))
    assert path.read_text(encoding="utf-8") == "image,group,label,fold,p_N,p_P\n"


@pytest.mark.parametrize(
    ("image", "label", "probabilities", "message"),
    [
        (["a"], [0, 1], np.eye(2), "differ in length"),
        (["a", "b"], [0, 2], np.eye(2), "labels run from 0 to 2"),
        (["a", "b"], [0, 1], np.eye(2, 3), "do not fit the 2 classes"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path, image, label, probabilities, message):
    path = tmp_path / "p.csv"
    with pytest.raises(ResultsError, match=message):
        write_predictions(path, image, ["g", "h"], label, None, probabilities, ("N", "P"))
    assert not path.exists()


def test_names_that_are_no_utf8_are_written_escaped(tmp_path):
    odd = os.fsdecode("Th\xf6rax".encode("latin-1"))
    write_results(tmp_path / "a.json", {"folder": odd, "path": Path(odd), "text": "Müller\n"})
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert found == {"folder": r"Th\xf6rax", "path": r"Th\xf6rax", "text": "Müller\n"}
