"""One scale for a run: fitted on validation, without the groups that a fold tests."""

import ml_collections
import numpy as np
import pytest
from simulated import predicted

from covidjax.classify import scale as classify_scale
from covidjax.evidence import recalibration
from covidjax.evidence.metrics import choose_threshold

CONFIG = ml_collections.ConfigDict(
    {"calibration": "platt", "threshold": "validation", "balance": "loss"}
)


@pytest.fixture
def parts():
    """Test and validation of three folds: an image validates the fold after the one testing it."""
    tested = predicted(240, folds=3)
    validation = predicted(240, folds=3, seed=5)
    return tested, validation._replace(folds=(validation.folds + 1) % 3)


def fit(parts, **changes):
    tested, validation = parts
    config = ml_collections.ConfigDict(CONFIG.to_dict() | changes)
    return classify_scale.fit(config, validation, tested, validation.labels)


def test_no_image_has_a_part_in_its_own_calibration(parts):
    tested, validation = parts
    first = tested.groups[tested.folds == 0]
    corrupted = validation._replace(labels=validation.labels.copy())
    own = np.isin(validation.groups, first)
    corrupted.labels[own] = 1 - corrupted.labels[own]
    honest, wrong = fit(parts), fit((tested, corrupted))
    assert honest.maps[0] == wrong.maps[0] and honest.thresholds[0] == wrong.thresholds[0]
    assert honest.maps[1] != wrong.maps[1] and honest.map != wrong.map


def test_the_runs_own_threshold_is_of_all_validation_images_on_the_calibrated_scale(parts):
    scale = fit(parts)
    _, validation = parts
    scores = recalibration.apply(scale.map, validation.probabilities)[:, 1]
    assert scale.threshold == choose_threshold(validation.labels, scores)


def test_one_fold_has_one_threshold():
    tested, validation = predicted(120), predicted(120, seed=3)
    names = np.array([f"other{n // 2}" for n in range(120)])
    validation = validation._replace(names=names, groups=names)
    scale = fit((tested, validation))
    assert scale.thresholds == {0: scale.threshold} and scale.maps[0] == scale.map


def test_a_threshold_may_be_given_and_more_classes_have_none(parts):
    assert fit(parts, threshold="0.3").thresholds == {0: 0.3, 1: 0.3, 2: 0.3}
    tested, validation = predicted(90, 3, folds=3), predicted(90, 3, folds=3, seed=1)
    validation = validation._replace(folds=(validation.folds + 1) % 3)
    scale = fit((tested, validation))
    assert scale.thresholds is None and scale.threshold is None
    made = classify_scale.calibrated(scale, tested)
    np.testing.assert_allclose(made.probabilities.sum(axis=1), 1)


def test_each_image_is_calibrated_by_the_map_of_its_fold(parts):
    scale, (tested, _) = fit(parts), parts
    made = classify_scale.calibrated(scale, tested)
    own = tested.folds == 2
    expected = recalibration.apply(scale.maps[2], tested.probabilities[own])
    np.testing.assert_array_equal(made.probabilities[own], expected)
    assert set(made.thresholds[own]) == {scale.thresholds[2]}


def test_points_are_looked_up_in_what_the_fold_may_learn_from(parts):
    tested, validation = parts
    cuts = classify_scale.operating_cuts(fit(parts), validation, tested)
    assert set(cuts) >= {"sensitivity_at_specificity_0.90"}
    assert all(set(each) == {0, 1, 2} for each in cuts.values())


@pytest.mark.parametrize("balance", ["loss", "sampling"])
def test_class_weights_are_those_of_the_loss(balance):
    labels = np.array([0] * 30 + [1] * 10)
    assert classify_scale.class_weights(labels, balance, 2) == pytest.approx([2 / 3, 2])
    assert classify_scale.class_weights(labels, "none", 2) is None
    assert classify_scale.class_weights(labels, balance, 3) is None
