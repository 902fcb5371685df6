"""The evidence of a whole run, and its figures."""

import json

import numpy as np
import pytest
from PIL import Image
from simulated import predicted

from covidjax.classify.figures.evidence_curves import write_evidence_figures
from covidjax.evidence.calibration import calibration_figures
from covidjax.evidence.evidence import evidence
from covidjax.evidence.metrics import (
    FIGURES,
    classification_metrics,
)
from covidjax.evidence.operating import rates_at
from covidjax.runs.results import write_results

CUTS = {"sensitivity_at_specificity_0.90": dict.fromkeys(range(5), 0.4)}
FOUND = ("calibration", "operating_points", "predictive_values", "decision_curve")


def made(n=120, classes=2, folds=3, **given):
    tested = predicted(n, classes, folds, **given)
    training = {fold: ["person0_bacteria_1.jpeg"] for fold in range(folds)}
    return tested, tested, CUTS, training


def test_two_classes_have_all_of_it_and_json_can_hold_it(tmp_path):
    found = evidence(*made())
    assert list(found) == [*FOUND, "folds", "across_folds", "grouping"]
    write_results(tmp_path / "results.json", found)
    again = json.loads((tmp_path / "results.json").read_text())
    assert again["calibration"]["verdict"] == found["calibration"]["verdict"]


def test_more_classes_have_what_needs_no_threshold():
    assert list(evidence(*made(classes=3))) == [
        "calibration",
        "folds",
        "across_folds",
        "grouping",
    ]


def test_one_fold_has_no_folds():
    assert not {"folds", "across_folds"} & evidence(*made(folds=1)).keys()


def test_calibration_stands_before_and_after_on_the_same_images():
    tested, _, cuts, training = made(n=600)
    raw = tested._replace(probabilities=np.sqrt(tested.probabilities))
    raw.probabilities[:] /= raw.probabilities.sum(axis=1, keepdims=True)
    found = evidence(tested, raw, cuts, training)["calibration"]
    assert found["before"] == calibration_figures(raw.labels, raw.probabilities, raw.groups)
    assert found["after"] == calibration_figures(tested.labels, tested.probabilities, raw.groups)


def test_points_chosen_on_validation_use_each_folds_threshold():
    tested, raw, _, training = made(n=240, folds=2)
    name = "sensitivity_at_specificity_0.90"
    found = evidence(tested, raw, {name: {0: 0.3, 1: 0.6}}, training)["operating_points"]
    cuts = np.where(tested.folds == 0, 0.3, 0.6)
    expected = rates_at(tested.labels, tested.probabilities, cuts, tested.groups)
    assert found[name]["chosen_on_validation"] == expected
    assert "chosen_on_validation" not in found["specificity_at_sensitivity_0.95"]


def test_folds_are_figures_of_their_own_images_beside_pooled_ones():
    tested, _, cuts, training = made()
    found = evidence(tested, tested, cuts, training)
    assert list(found["folds"]) == ["fold0", "fold1", "fold2"]
    own = tested.at(tested.folds == 1)
    assert found["folds"]["fold1"] == classification_metrics(own.labels, own.probabilities, 0.5)
    values = [figures["auroc"] for figures in found["folds"].values()]
    across = found["across_folds"]["auroc"]
    assert across["mean"] == pytest.approx(np.mean(values))
    assert across["sd"] == pytest.approx(np.std(values, ddof=1))
    assert (across["lowest"], across["highest"]) == (min(values), max(values))
    pooled = classification_metrics(tested.labels, tested.probabilities, 0.5)
    assert across["pooled"] == pooled["auroc"] and list(found["across_folds"]) == list(FIGURES)


def test_folds_whose_scales_differ_rank_worse_pooled_than_one_by_one():
    tested, _, cuts, training = made(n=240, folds=2)
    scores = tested.probabilities[:, 1]
    scores = np.where(tested.folds == 0, scores / 4, scores)
    tested = tested._replace(probabilities=np.stack([1 - scores, scores], axis=1))
    across = evidence(tested, tested, cuts, training)["across_folds"]["auroc"]
    assert across["pooled"] < across["mean"] - 0.03


def test_tested_images_of_one_class_leave_calibration():
    tested, _, cuts, training = made(folds=1)
    tested = tested.at(tested.labels == 1)
    assert list(evidence(tested, tested, cuts, training)) == ["calibration", "grouping"]


def drawn(found):
    """With the map that a run adds to what `evidence` finds."""
    mapping = {"method": "platt", "slope": 1.2, "shift": [0.0, -0.5]}
    return found | {"calibration": found["calibration"] | {"map": mapping}}


@pytest.mark.parametrize("phantom", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_figures_are_written_for_what_was_found(tmp_path, classes, phantom):
    found = drawn(evidence(*made(classes=classes)))
    write_evidence_figures(tmp_path, found, phantom=phantom, title="T")
    two = {"predictive_values.png", "decision_curve.png"} if classes == 2 else set()
    assert {path.name for path in tmp_path.iterdir()} == {"reliability.png", "folds.png"} | two
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            assert min(image.size) >= 300


def test_figures_of_odd_predictions_are_drawn(tmp_path):
    tested, _, cuts, training = made(folds=1)
    lonely = tested._replace(groups=np.where(tested.labels == 1, "same", tested.groups))
    nobody = tested._replace(thresholds=np.full(120, 2.0))
    for name, odd in (("lonely", lonely), ("nobody", nobody)):
        found = drawn(evidence(odd, odd, cuts, training))
        write_evidence_figures(tmp_path / name, found, phantom=False, title="T")
        assert len(list((tmp_path / name).iterdir())) == 3
