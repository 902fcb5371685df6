"""Figures within what is known of the images."""

import numpy as np
import pytest
from simulated import predicted

from covidjax.evidence.subgroups import facts, subgroup_figures
from tfds_coronahack.groups import adults

ADULT = "train/01E392EE-69F9-4E33-BFCE-E5C968654078.jpeg"  # 55 years, F, PA


def test_adults_are_known_by_age_sex_and_view_and_children_by_their_series():
    found = facts([ADULT, "train/person3_virus_1.jpeg", "train/NORMAL2-IM-0439-0001.jpeg", "x.png"])
    assert found["source"].tolist() == [
        "adults of publications",
        "children of Guangzhou",
        "children of Guangzhou",
        "",
    ]
    assert found["age"].tolist() == ["40 to 59", "", "", ""]
    assert found["sex"].tolist() == ["F", "", "", ""] and found["view"][0] == "PA"
    assert found["film series"].tolist() == ["", "virus", "NORMAL2-IM", ""]


def test_the_packaged_table_gives_every_known_adult_a_band():
    table = adults()
    found = facts(list(table))
    told = np.array([row["age"] != "" for row in table.values()])
    assert ((found["age"] != "") == told).all()


def test_a_subgroup_has_the_rates_of_its_own_images_and_an_auroc_where_it_holds_both_classes():
    made = predicted(80)
    names = made.names.copy()
    names[:20] = [f"NORMAL2-IM-{n:04d}-0001.jpeg" for n in range(20)]
    names[20:40] = [f"person{n}_bacteria_1.jpeg" for n in range(20)]
    found = subgroup_figures(made._replace(names=names))["film series"]
    assert list(found) == ["NORMAL2-IM", "bacteria", "virus"]
    own = np.arange(80) < 20
    positive = own & (made.labels == 1)
    called = made.probabilities[:, 1] >= 0.5
    row = found["NORMAL2-IM"]
    assert (row["n"], row["groups"]) == (20, 10)
    assert row["sensitivity"]["value"] == pytest.approx(called[positive].mean())
    assert row["auroc"]["ci95"] is not None
    ones = made._replace(names=names, labels=np.ones(80, int))
    assert "specificity" not in subgroup_figures(ones)["film series"]["virus"]


def test_one_known_subgroup_is_no_comparison_and_more_classes_have_the_accuracy():
    assert subgroup_figures(predicted(40)) == {}  # all of one series and source
    three = predicted(60, 3)
    names = np.where(np.arange(60) < 30, "IM-0001-0001.jpeg", three.names)
    found = subgroup_figures(three._replace(names=names))["film series"]
    assert set(found["IM"]) == {"n", "groups", "accuracy"}
