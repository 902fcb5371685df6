"""Tables of counts and gaps from small made-up metadata."""

import pandas as pd

from covidjax.eda import summaries
from covidjax.eda.archive_facts import KEYS, ArchiveFacts, cross_check


def metadata():
    rows = [
        ("0", "a.jpeg", "Normal", "TRAIN", "", ""),
        ("1", "b.jpeg", "Pnemonia", "TRAIN", "", "Virus"),
        ("5", "c.jpeg", "Pnemonia", "TEST", "COVID-19", "Virus"),
    ]
    columns = ["index", "X_ray_image_name", "Label", "Dataset_type", KEYS[2], KEYS[1]]
    return pd.DataFrame(rows, columns=columns)


def summary(covid):
    return pd.DataFrame(
        [
            ("Normal", "", "", 1),
            ("Pnemonia", "Virus", "", 1),
            ("Pnemonia", "Virus", "COVID-19", covid),
        ],
        columns=[*KEYS, "Image_Count"],
    )


def test_a_wrong_count_in_the_summary_is_named():
    right = cross_check(ArchiveFacts("a", metadata(), summary(1), ""), pd.Series(["a.jpeg"]))
    assert set(right["verdict"]) == {"agrees"}
    assert list(right["readable"]) == [1, 0, 0]
    wrong = cross_check(ArchiveFacts("a", metadata(), summary(4), ""), pd.Series(["a.jpeg"]))
    line = wrong[wrong["verdict"] != "agrees"]
    assert list(line[KEYS[2]]) == ["COVID-19"]
    assert line["verdict"].item() == "WRONG: 3 more than rows"


def test_a_label_that_only_one_side_has_is_wrong():
    stated = pd.concat([summary(1), pd.DataFrame([("Pnemonia", "Virus", "MERS", 2)],
                                                 columns=[*KEYS, "Image_Count"])])  # fmt: skip
    check = cross_check(ArchiveFacts("a", metadata(), stated, ""), pd.Series(["a.jpeg"]))
    assert check.set_index(KEYS[2]).loc["MERS", "verdict"] == "WRONG: 2 more than rows"


def test_missing_values_say_what_they_mean():
    found = summaries.missing_values(metadata()).set_index("column")
    assert found.loc[KEYS[1], "of Normal rows"] == 1 and found.loc[KEYS[1], "of other rows"] == 0
    assert "3 numbers are skipped" in found.loc["index", "meaning"]
    assert "for 1 pneumonias" in found.loc[KEYS[2], "meaning"]


def test_a_group_in_both_splits_is_a_leak():
    table = pd.DataFrame(
        {
            "image": ["a", "b", "c", "d"],
            "group": ["p", "p", "q", "r"],
            "kaggle_split": ["TRAIN", "TEST", "TRAIN", "TEST"],
        }
    )
    report = {"duplicates": [["c", "d"]], "near_duplicates": []}
    found = summaries.leaks(table, report)
    assert list(found["name"]) == ["p", "c"]
    assert list(found["what is shared"]) == ["group (patient or examination)", "identical files"]


def test_a_renamed_file_is_told_from_its_name():
    report = dict.fromkeys(
        ("misplaced", "repeated_rows", "duplicates", "near_duplicates", "label_conflicts"), ()
    )
    report |= {
        "missing_files": ["person12_bacteria_34.jpeg", "IM-0001-0001.jpeg"],
        "files_without_row": ["images/train/person12_bactera_34.jpeg"],
        "unreadable_reasons": {},
    }
    notes = summaries.findings(report).set_index("image")["note"]
    assert "person12_bactera_34.jpeg" in notes["person12_bacteria_34.jpeg"]
    assert notes["IM-0001-0001.jpeg"] == ""
