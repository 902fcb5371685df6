"""Grouping by the number in personN."""

import numpy as np
from simulated import predicted

from covidjax.evidence.grouping import grouping, groups_by_number, person_number
from covidjax.evidence.intervals import metrics_with_intervals


def test_only_childrens_pneumonia_bears_a_number():
    assert person_number("person12_bacteria_34.jpeg") == 12
    assert person_number("person12_virus_7.jpeg") == 12
    for name in ("IM-0012-0001.jpeg", "NORMAL2-IM-0012-0001.jpeg", "cohen.jpg", "phantom-1-2.png"):
        assert person_number(name) == -1


def test_groups_of_a_number_are_joined_also_through_a_third():
    names = [
        "person1_virus_1.jpeg",
        "person1_bacteria_1.jpeg",
        "person2_bacteria_1.jpeg",  # looks like person1_bacteria_1: one group already
        "person2_virus_1.jpeg",
        "person3_virus_1.jpeg",
        "IM-0001-0001.jpeg",
        "IM-0001-0002.jpeg",
    ]
    given = ["person1_virus", "b", "b", "person2_virus", "person3_virus", "IM-0001", "IM-0001"]
    groups = groups_by_number(names, given)
    assert len(set(groups[:4])) == 1
    assert len({groups[0], groups[4], groups[5]}) == 3 and groups[5] == groups[6]


def test_shared_numbers_are_those_of_the_own_folds_training_images():
    made = predicted(80, folds=2)
    training = {
        # fold 0 tests persons 0 1 4 5 ..., fold 1 tests persons 2 3 6 7 ...
        0: ["person0_bacteria_1.jpeg", "person2_bacteria_1.jpeg", "IM-0004-0001.jpeg"],
        1: ["person3_bacteria_1.jpeg", "person0_bacteria_1.jpeg"],
    }
    found = grouping(made, training)
    assert found["shared_with_training"] == 4  # two images each of persons 0 and 3
    left = ~np.isin(made.groups, ["person0_virus", "person3_virus"])
    rest = made.at(left)
    expected = metrics_with_intervals(rest.labels, rest.probabilities, rest.groups, rest.thresholds)
    assert found["without_shared"]["auroc"] == expected["auroc"]
    assert found["without_shared"]["auroc"]["n"] == 76


def test_coarser_groups_widen_the_interval():
    made = predicted(400, skill=0.8)
    # two causes a number: each pair of groups is one child, if numbers are children
    names = np.array(
        [f"person{i // 8}_{'virus' if i % 4 < 2 else 'bacteria'}_{i}.jpeg" for i in range(400)]
    )
    labels = (np.arange(400) // 8 % 2).astype(np.int64)
    scores = np.clip(
        0.5 + 0.15 * (labels - 0.5) + 0.2 * np.repeat(np.random.default_rng(0).normal(size=50), 8),
        0.01,
        0.99,
    )
    made = made._replace(
        names=names, labels=labels, probabilities=np.stack([1 - scores, scores], axis=1)
    )
    found = grouping(made, {0: []})
    assert found["groups"] == {"number_and_cause": 200, "number_alone": 50}
    fine = metrics_with_intervals(labels, made.probabilities, made.groups, 0.5)
    low, high = found["by_number"]["auroc"]["ci95"]
    assert high - low > 1.4 * (fine["auroc"]["ci95"][1] - fine["auroc"]["ci95"][0])
    assert found["by_number"]["auroc"]["value"] == fine["auroc"]["value"]
    assert found["shared_with_training"] == 0
    assert found["without_shared"]["auroc"] == fine["auroc"]


def test_without_any_number_there_is_nothing_to_say():
    made = predicted(20)
    names = np.array([f"phantom-patient{i}-1.png" for i in range(20)])
    assert grouping(made._replace(names=names), {0: []}) == {}


def test_when_all_are_shared_nothing_is_left_and_nothing_breaks():
    made = predicted(20)
    training = {0: [f"person{i}_bacteria_1.jpeg" for i in range(10)]}
    found = grouping(made, training)
    assert found["shared_with_training"] == 20
    assert found["without_shared"]["auroc"]["n"] == 0
    assert found["without_shared"]["auroc"]["ci95"] is None
