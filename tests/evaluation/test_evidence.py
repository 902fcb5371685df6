"""The evidence of a whole run, and its figures."""

import json

import numpy as np
import pytest
from PIL import Image
from simulated import predicted

from covidjax.evaluation.calibration import fit_temperature, scale
from covidjax.evaluation.evidence import evidence
from covidjax.evaluation.evidence_plots import write_evidence_figures
from covidjax.evaluation.metrics import (
    FIGURES,
    EvaluationError,
    classification_metrics,
)
from covidjax.evaluation.operating import operating_points, rates_at
from covidjax.evaluation.results import write_results

FOUND = ("calibration", "operating_points", "predictive_values", "decision_curve")


def made(n=120, classes=2, folds=3, **given):
    tested = predicted(n, classes, folds, **given)
    validation = predicted(n, classes, folds, seed=9, **given)
    training = {fold: ["person0_bacteria_1.jpeg"] for fold in range(folds)}
    return tested, validation, training


def test_two_classes_have_all_of_it_and_json_can_hold_it(tmp_path):
    found = evidence(*made(), samples=40)
    assert list(found) == [*FOUND, "folds", "across_folds", "grouping"]
    write_results(tmp_path / "results.json", found)
    again = json.loads((tmp_path / "results.json").read_text())
    assert again["calibration"]["temperatures"] == found["calibration"]["temperatures"]


def test_more_classes_have_what_needs_no_threshold():
    assert list(evidence(*made(classes=3), samples=40)) == [
        "calibration",
        "folds",
        "across_folds",
        "grouping",
    ]


def test_one_fold_has_no_folds():
    found = evidence(*made(folds=1), samples=40)
    assert not {"folds", "across_folds"} & found.keys()
    assert len(found["calibration"]["temperatures"]) == 1


def test_each_fold_has_its_own_temperature_fitted_on_its_own_validation_images():
    tested, validation, training = made(n=600, folds=2)
    factor = np.where(validation.folds == 0, 0.25, 1.0)  # fold 0 is too sure of itself
    validation = validation._replace(probabilities=scale(validation.probabilities, factor))
    tested = tested._replace(
        probabilities=scale(tested.probabilities, np.where(tested.folds == 0, 0.25, 1.0))
    )
    found = evidence(tested, validation, training, samples=20)["calibration"]
    own = validation.at(validation.folds == 0)
    assert found["temperatures"][0] == fit_temperature(own.labels, own.probabilities)
    assert found["temperatures"][0] > 2 * found["temperatures"][1]
    assert found["after"]["ece"]["value"] < found["before"]["ece"]["value"]
    assert found["after"]["log_loss"]["value"] < found["before"]["log_loss"]["value"]


def test_points_chosen_on_validation_use_each_folds_threshold():
    tested, validation, training = made(n=240, folds=2)
    found = evidence(tested, validation, training, samples=20)["operating_points"]
    name = "sensitivity_at_specificity_0.90"
    cuts = np.zeros(240)
    for fold in (0, 1):
        own = validation.at(validation.folds == fold)
        points = operating_points(own.labels, own.probabilities, own.groups, samples=5)
        cuts[tested.folds == fold] = points[name]["threshold"]
    expected = rates_at(tested.labels, tested.probabilities, cuts, tested.groups, samples=20)
    assert found[name]["chosen_on_validation"] == expected


def test_folds_are_figures_of_their_own_images_beside_pooled_ones():
    tested, validation, training = made()
    found = evidence(tested, validation, training, samples=20)
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
    tested, validation, training = made(n=240, folds=2)
    scores = tested.probabilities[:, 1]
    scores = np.where(tested.folds == 0, scores / 4, scores)
    tested = tested._replace(probabilities=np.stack([1 - scores, scores], axis=1))
    across = evidence(tested, validation, training, samples=20)["across_folds"]["auroc"]
    assert across["pooled"] < across["mean"] - 0.03


def test_a_fold_without_validation_is_named():
    tested, validation, training = made()
    with pytest.raises(EvaluationError, match="fold 2 has no validation"):
        evidence(tested, validation.at(validation.folds < 2), training, samples=20)


def test_tested_images_of_one_class_leave_calibration():
    tested, validation, training = made(folds=1)
    tested = tested.at(tested.labels == 1)
    assert list(evidence(tested, validation, training, samples=20)) == ["calibration", "grouping"]


@pytest.mark.parametrize("phantom", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_figures_are_written_for_what_was_found(tmp_path, classes, phantom):
    found = evidence(*made(classes=classes), samples=20)
    write_evidence_figures(tmp_path, found, phantom=phantom, title="T")
    two = {"predictive_values.png", "decision_curve.png"} if classes == 2 else set()
    assert {path.name for path in tmp_path.iterdir()} == {"reliability.png", "folds.png"} | two
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            assert min(image.size) >= 300


def test_figures_of_odd_predictions_are_drawn(tmp_path):
    tested, validation, training = made(folds=1)
    lonely = tested._replace(groups=np.where(tested.labels == 1, "same", tested.groups))
    nobody = tested._replace(thresholds=np.full(120, 2.0))
    for name, odd in (("lonely", lonely), ("nobody", nobody)):
        found = evidence(odd, validation, training, samples=20)
        write_evidence_figures(tmp_path / name, found, phantom=False, title="T")
        assert len(list((tmp_path / name).iterdir())) == 3
