"""The source probe: what features know of an image's source, within one class."""

import numpy as np
import pandas as pd
import pytest

from covidjax.audit.source_probe import is_adult, source_probes
from covidjax.data.splits import Fold

CLASSES = ("Normal", "Pneumonia")


def table_of(normal: int, children: int, adult: int) -> tuple[pd.DataFrame, np.ndarray]:
    names = [f"{'NORMAL2-IM' if i % 2 else 'IM'}-{i:04d}-0001.jpeg" for i in range(normal)]
    names += [f"person{i}_virus_{i}.jpeg" for i in range(children)]
    names += [f"phantom-patient{i:03d}-1.jpeg" for i in range(adult)]
    labels = np.array([0] * normal + [1] * (children + adult), np.int32)
    return pd.DataFrame({"image": names, "group": names}), labels


def probed(table, labels, features, used=None):
    rows = np.arange(len(labels)) if used is None else used
    folds = [Fold("", 0, rows[::2], rows[1::4], rows[3::4])]
    return source_probes(features, table, labels, folds, CLASSES, seed=0)


def test_features_that_know_the_source_are_found_and_others_are_not():
    table, labels = table_of(60, 60, 40)
    adult = np.array([is_adult(name) for name in table["image"]])
    rng = np.random.default_rng(0)
    blind = rng.standard_normal((160, 8)).astype(np.float32)
    knowing = blind.copy()
    knowing[:, 0] += 4 * adult
    aurocs = [
        probed(table, labels, [features])["source_within_Pneumonia"]["auroc"]
        for features in (knowing, blind)
    ]
    assert aurocs[0]["value"] > 0.97 and aurocs[0]["n"] == 100
    assert aurocs[1]["ci95"][0] < 0.5 < aurocs[1]["ci95"][1]


def test_the_class_itself_cannot_pass_for_a_source():
    """Features that tell the class alone tell no source within one."""
    table, labels = table_of(40, 40, 40)
    features = np.random.default_rng(1).standard_normal((120, 4)).astype(np.float32)
    features[:, 0] += 10 * labels
    found = probed(table, labels, [features])
    for name in ("source_within_Pneumonia", "film_series_within_Normal"):
        low, high = found[name]["auroc"]["ci95"]
        assert low < 0.6 and high > 0.4


def test_the_film_series_is_told_within_normal():
    table, labels = table_of(60, 30, 0)
    features = np.random.default_rng(0).standard_normal((90, 4)).astype(np.float32)
    features[1:60:2, 2] += 4
    found = probed(table, labels, [features, features])["film_series_within_Normal"]
    assert found["auroc"]["value"] > 0.95
    assert "30 and 30 images" in found["what"]


@pytest.mark.parametrize("adult", [0, 7])
def test_too_few_images_of_a_source_give_a_reason(adult):
    table, labels = table_of(20, 30, adult)
    found = probed(table, labels, [np.zeros((50 + adult, 2), np.float32)])
    entry = found["source_within_Pneumonia"]
    assert entry["auroc"] == {"value": None, "ci95": None, "n": 30 + adult}
    assert "fewer than 8" in entry["reason"]


def test_one_patient_is_no_source():
    table, labels = table_of(20, 30, 12)
    table["group"] = ["p" if is_adult(name) else name for name in table["image"]]
    found = probed(table, labels, [np.zeros((62, 2), np.float32)])
    assert found["source_within_Pneumonia"]["auroc"]["value"] is None


def test_rows_that_the_folds_do_not_use_are_not_looked_at():
    table, labels = table_of(40, 40, 30)
    features = np.random.default_rng(0).standard_normal((110, 4)).astype(np.float32)
    used = np.arange(100)
    broken = features.copy()
    broken[100:] = np.nan
    assert probed(table, labels, [broken], used) == probed(table, labels, [features], used)


def test_real_adults_are_known_by_name():
    assert is_adult("1-s2.0-S0140673620303706-fx1_lrg.jpg")
    assert not is_adult("person12_virus_3.jpeg")
