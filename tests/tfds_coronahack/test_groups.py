import pytest

from tfds_coronahack.groups import adults, group_of, merge_groups, person_number_facts


@pytest.mark.parametrize(
    ("image", "group"),
    [
        ("person12_bacteria_34.jpeg", "person12_bacteria"),
        ("person12_virus_35.jpeg", "person12_virus"),
        ("person1_virus_5_1.jpeg", "person1_virus"),
        ("IM-0439-0001.jpeg", "IM-0439"),
        ("IM-0439-0001-0001.jpeg", "IM-0439"),
        ("IM-0439-0001-0002.jpeg", "IM-0439"),
        ("NORMAL2-IM-0439-0001.jpeg", "NORMAL2-IM-0439"),
        ("phantom-patient012-3.png", "phantom-patient012"),
        ("F051E018-DAD1-4506-AD43-BE4CA29E960B.jpeg", "cohen-38"),
        ("gr1_lrg-a.jpg", "cohen-69"),
        ("something-else.jpeg", "something-else.jpeg"),
    ],
)
def test_group_by_name(image, group):
    assert group_of(image) == group


def test_the_seventy_adults_are_known():
    facts = adults()
    assert len(facts) == 70
    assert all(f["patient"].startswith("cohen-") for f in facts.values())
    assert facts["F051E018-DAD1-4506-AD43-BE4CA29E960B.jpeg"]["age"] == "61"
    assert sum(f["view"] == "L" for f in facts.values()) == 4


def test_groups_of_the_same_picture_are_joined_through_chains_and_named_by_the_first():
    groups = {"a": "g2", "b": "g1", "c": "g3", "d": "g3", "e": "g4"}
    merged = merge_groups(groups, [("a", "b"), ("b", "c")])
    assert merged == {"a": "g1", "b": "g1", "c": "g1", "d": "g1", "e": "g4"}


def test_joining_does_not_depend_on_the_order():
    groups = {name: name for name in "abcdef"}
    same = [("a", "f"), ("c", "d"), ("d", "f"), ("b", "e")]
    assert merge_groups(groups, same) == merge_groups(groups, same[::-1])


def test_what_grouping_by_number_alone_changes_is_counted():
    facts = person_number_facts(
        {
            "person1_bacteria_1.jpeg": "TRAIN",
            "person1_virus_2.jpeg": "TEST",
            "person2_virus_3.jpeg": "TRAIN",
            "person2_virus_4.jpeg": "TRAIN",
            "IM-0001-0001.jpeg": "TEST",
        }
    )
    assert facts == {
        "groups_by_number_and_cause": 3,
        "groups_by_number_alone": 2,
        "numbers_under_both_causes": 1,
        "numbers_in_both_splits": 1,
        "images_of_numbers_in_both_splits": 2,
    }
