"""Counts, gaps, copies and leaks, as tables: what the archive holds before anybody trains on it."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from covidjax.eda.archive_facts import KEYS
from covidjax.eda.classes import CLASSES, sources_of
from tfds_coronahack.groups import adults, base_name
from tfds_coronahack.metadata import CAUSES, COLUMNS

SPLITS = ("TRAIN", "TEST")
_SAME = 0.6  # of difflib's ratio: two names that a typing mistake may part


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Readable images and groups of each label level: all, each label, each cause; by split."""
    levels = [("all images", table)]
    for label in ("Normal", "Pneumonia"):
        levels.append((label, table[table["label"] == label]))
    for cause in CAUSES[1:]:
        levels.append((f"- {cause}", table[table["cause"] == cause]))
    lines = []
    for name, part in levels:
        train, test = (part[part["kaggle_split"] == split] for split in SPLITS)
        lines.append(
            {
                "level": name,
                "TRAIN images": len(train),
                "TEST images": len(test),
                "images": len(part),
                "share of all (%)": round(100 * len(part) / len(table), 2),
                "TRAIN groups": train["group"].nunique(),
                "TEST groups": test["group"].nunique(),
                "groups": part["group"].nunique(),
            }
        )
    return pd.DataFrame(lines)


def by_source(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Images of each source and class; `classes` is the class of each row."""
    frame = pd.crosstab(pd.Series(sources_of(table), name="source"), pd.Series(list(classes)))
    order = [name for name in CLASSES if name in frame.columns]
    return frame[order].reset_index().rename_axis(columns=None)


def missing_values(metadata: pd.DataFrame) -> pd.DataFrame:
    """Empty cells of each column of the metadata as typed, and what they mean."""
    normal = metadata["Label"] == "Normal"
    lines = []
    for column in metadata.columns:
        empty = metadata[column] == ""
        lines.append(
            {
                "column": column,
                "empty": int(empty.sum()),
                "empty (%)": round(100 * float(empty.mean()), 2),
                "of Normal rows": int((empty & normal).sum()),
                "of other rows": int((empty & ~normal).sum()),
                "meaning": _meaning(column, metadata, empty, normal),
            }
        )
    return pd.DataFrame(lines)


def _meaning(column: str, metadata: pd.DataFrame, empty: pd.Series, normal: pd.Series) -> str:
    sick = int((empty & ~normal).sum())
    if column == "index":
        numbers = pd.to_numeric(metadata["index"], errors="coerce").dropna()
        gaps = int(numbers.max() - numbers.min() + 1 - numbers.nunique()) if len(numbers) else 0
        return f"a row number; {gaps:,} numbers are skipped, so rows were taken out before"
    if column == KEYS[1]:
        rest = f"; {sick:,} pneumonia rows lack it too" if sick else ""
        return f"the cause of a pneumonia: empty where the film is Normal{rest}"
    if column == KEYS[2]:
        return (
            "the germ where it is known by name: empty for Normal, and for "
            f"{sick:,} pneumonias of which only bacteria or virus is known"
        )
    return "must not be empty" if empty.any() else "complete"


def patient_facts(table: pd.DataFrame) -> pd.DataFrame:
    """What is known of the people: age, sex and view, which only the adults' publications tell."""
    known = adults()
    lines = []
    for fact in ("patient", "age", "sex", "view"):
        names = [base_name(image) for image in table["image"]]
        told = [name for name in names if known.get(name, {}).get(fact)]
        adult = sum(name in known for name in names)
        lines.append(
            {
                "fact": fact,
                "known of images": len(told),
                "unknown": len(table) - len(told),
                "adults without it": adult - len(told),
                "meaning": "no file name of a child tells it"
                if fact != "patient"
                else "a child's film has a group by its name, an adult's by the publication",
            }
        )
    return pd.DataFrame(lines)


def findings(report: Mapping[str, Any]) -> pd.DataFrame:
    """Every odd file of the build report, one line each, with what may explain it."""
    spare = [path.rsplit("/", 1)[-1] for path in report["files_without_row"]]
    lines = []
    for name in report["missing_files"]:
        lines.append(("row without a file", name, _renamed(name, spare)))
    for path in report["files_without_row"]:
        guess = _renamed(path.rsplit("/", 1)[-1], report["missing_files"])
        lines.append(("file without a row", path, guess))
    for name, reason in report["unreadable_reasons"].items():
        lines.append(("unreadable image", name, reason))
    for name in report["misplaced"]:
        lines.append(("in the other split's folder", name, ""))
    for name in report["repeated_rows"]:
        lines.append(("row given twice", name, ""))
    for names in report["duplicates"]:
        lines.append(("identical files", " = ".join(names), ""))
    for names in report["near_duplicates"]:
        lines.append(("nearly identical pictures", " ~ ".join(names), ""))
    for names in report["label_conflicts"]:
        lines.append(("one picture, two labels", " / ".join(names), ""))
    return pd.DataFrame(lines, columns=["finding", "image", "note"])


def _renamed(name: str, others: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, others, n=1, cutoff=_SAME)
    return f"renamed? compare {close[0]}" if close else ""


def group_sizes(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """How many groups have 1, 2, 3, ... images, for each class; a group counts in each it has."""
    sizes = table.assign(classes=list(classes)).groupby(["classes", "group"]).size()
    found = sizes.rename("images").reset_index()
    found["images in the group"] = found["images"].clip(upper=10)
    frame = pd.crosstab(found["images in the group"], found["classes"])
    frame = frame[[name for name in CLASSES if name in frame.columns]].reset_index()
    frame = frame.rename_axis(columns=None)
    frame["images in the group"] = [
        "10 or more" if size == 10 else str(size) for size in frame["images in the group"]
    ]
    return frame


def largest_groups(table: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """The groups with the most images."""
    grouped = table.groupby("group")
    found = pd.DataFrame(
        {
            "images": grouped.size(),
            "causes": grouped["cause"].agg(lambda causes: ", ".join(sorted(set(causes)))),
            "splits": grouped["kaggle_split"].agg(lambda splits: ", ".join(sorted(set(splits)))),
        }
    ).reset_index()
    return found.sort_values(["images", "group"], ascending=[False, True]).head(most)


def leaks(table: pd.DataFrame, report: Mapping[str, Any]) -> pd.DataFrame:
    """Groups and pictures that are in TRAIN and in TEST, one line each."""
    split = dict(zip(table["image"], table["kaggle_split"], strict=True))
    lines = []
    for group, part in table.groupby("group"):
        both = part["kaggle_split"].value_counts()
        if len(both) > 1:
            lines.append(
                ("group (patient or examination)", group, both["TRAIN"], both["TEST"])
                + (", ".join(part["image"].head(6)),)
            )
    for kind, key in (("identical files", "duplicates"), ("near-identical", "near_duplicates")):
        for names in report[key]:
            sides = [split[name] for name in names]
            if len(set(sides)) > 1:
                lines.append(
                    (kind, names[0], sides.count("TRAIN"), sides.count("TEST"), ", ".join(names))
                )
    columns = ["what is shared", "name", "TRAIN images", "TEST images", "images"]
    return pd.DataFrame(lines, columns=columns)


def person_numbers(report: Mapping[str, Any]) -> pd.DataFrame:
    """What taking personN for one child, whatever the cause, would change."""
    return pd.DataFrame(
        [(key.replace("_", " "), value) for key, value in report["grouping"].items()],
        columns=["what", "number"],
    )


def presence(
    table: pd.DataFrame, metadata: pd.DataFrame | None, report: Mapping[str, Any]
) -> pd.DataFrame:
    """Which facts are there for each row of the metadata: True and False, for the matrix.

    Without the archive, rows are the readable images and the labels' columns follow the causes.
    """
    known = adults()
    if metadata is None:
        names, label = table["image"], table["label"]
        first = table["label"] != "Normal"
        second = ~table["cause"].isin(["none", "bacterial", "viral"])
    else:
        names, label = metadata[COLUMNS[0]], metadata["Label"]
        first, second = metadata[KEYS[1]] != "", metadata[KEYS[2]] != ""
    lost = set(report["missing_files"])
    broken = set(report["unreadable"]) | lost
    facts = {
        "name": names != "",
        "Label": label != "",
        "Label_1": first,
        "Label_2": second,
        "file": ~names.isin(lost),
        "readable": ~names.isin(broken),
        "group": names.isin(set(table["image"])),
        **{
            fact: pd.Series([bool(known.get(base_name(name), {}).get(fact)) for name in names])
            for fact in ("age", "sex", "view")
        },
    }
    found = pd.DataFrame({key: pd.Series(values).to_numpy(bool) for key, values in facts.items()})
    return found.assign(normal=(label == "Normal").to_numpy())
