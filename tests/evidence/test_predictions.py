"""Runs are read back as they were written, and damaged ones refused by name."""

import json

import numpy as np
import pytest
from simulated import predicted, write_run

from covidjax.evidence.predictions import RunError, read_predictions, read_run


@pytest.mark.parametrize("classes", [2, 3])
def test_a_run_is_read_as_it_was_written(tmp_path, classes):
    made = predicted(60, classes, folds=3)
    if classes == 2:
        made = made._replace(thresholds=np.array([0.3, 0.55, 0.7])[made.folds])
    run = read_run(write_run(tmp_path / "run", made))
    assert run.split == "out_of_fold"
    for name, expected in made._asdict().items():
        found = getattr(run.predicted, name)
        if expected is None:
            assert found is None
        else:
            np.testing.assert_array_equal(found, expected)


def test_thresholds_follow_the_order_of_the_folds_in_the_file(tmp_path):
    made = predicted(40, folds=2).at(np.r_[20:40, 0:20])
    assert made.folds[0] == 1
    thresholds = np.array([0.2, 0.8])
    made = made._replace(thresholds=thresholds[made.folds])
    read = read_run(write_run(tmp_path / "run", made, "test")).predicted
    np.testing.assert_array_equal(read.thresholds, thresholds[read.folds])


def test_a_name_that_pandas_takes_for_nothing_stays_a_name(tmp_path):
    made = predicted(20)
    names, groups = made.names.copy(), made.groups.copy()
    names[0], groups[0], groups[1] = "NA", "null", "007"
    read = read_run(write_run(tmp_path / "r", made._replace(names=names, groups=groups))).predicted
    assert (read.names[0], read.groups[0], read.groups[1]) == ("NA", "null", "007")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(RunError, match=r"holds no run: it has no config\.json"):
        read_run(tmp_path)
    run = write_run(tmp_path / "run", predicted(20))
    (run / "predictions_out_of_fold.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"predictions_out_of_fold\.csv"):
        read_run(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"experiment": "classify"', "damaged"),
        ("[]", "damaged: no object"),
        ('{"experiment": "denoise", "data": "phantom", "splits": {}}', "a run of denoise"),
        ('{"experiment": "classify"}', "its data is missing or wrong"),
        ('{"experiment": "classify", "data": "phantom", "splits": {}}', "no result of classify"),
    ],
)
def test_other_results_are_refused(tmp_path, text, message):
    run = write_run(tmp_path / "run", predicted(20))
    (run / "results.json").write_text(text)
    with pytest.raises(RunError, match=message):
        read_run(run)


def test_damaged_predictions_are_refused(tmp_path):
    run = write_run(tmp_path / "run", predicted(20))
    path = run / "predictions_out_of_fold.csv"
    text = path.read_text()
    for damaged, message in (
        (text.replace("p_Pneumonia", "p_Other"), "damaged"),
        (text.replace(",Normal,", ",Healthy,", 1), "'Healthy' is no class"),
        (text + text.splitlines()[1] + "\n", "twice"),
        (text[:-10] + "x\n", "damaged"),
    ):
        path.write_text(damaged)
        with pytest.raises(RunError, match=message):
            read_run(run)
    path.write_text(text)
    with pytest.raises(RunError, match="1 folds, but thresholds"):
        read_predictions(path, ["Normal", "Pneumonia"], [0.5, 0.6])


def test_results_of_a_run_without_a_fixed_class_order_are_matched_by_name(tmp_path):
    made = predicted(20)
    run = write_run(tmp_path / "run", made)
    results = json.loads((run / "results.json").read_text())
    results["classes"] = results["classes"][::-1]
    (run / "results.json").write_text(json.dumps(results))
    np.testing.assert_array_equal(read_run(run).predicted.labels, 1 - made.labels)
