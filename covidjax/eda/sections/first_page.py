"""Ten sentences that a careful reader must know before training, computed from the data."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.data.splits import film_series
from covidjax.eda.classes import CLASSES, SOURCES
from covidjax.eda.data import Data

NEAR = 5  # film numbers
TOLD = 0.7  # AUROC from which one number alone is worth a warning


def sentences(data: Data, facts: Mapping[str, Any]) -> list[str]:
    """The sentences, of what the sections found."""
    rare = rarest(data)
    return [
        _records(data),
        str(facts["summary"]),
        _imbalance(data, rare),
        _test(data, rare),
        _sources(data, rare, facts.get("neighbors_raw")),
        _copies(data, str(facts["leak"])),
        _groups(data, facts["group_sizes"]),
        _single_feature(facts["feature_summary"], rare),
        _flags(facts["flags"], rare),
        _preparation(facts.get("normalization")),
    ]


def rarest(data: Data) -> str:
    """COVID-19 where there is any, for that is what the archive is used for; else the smallest."""
    counts = pd.Series(data.classes).value_counts()
    named = [name for name in CLASSES[1:-1] if name in counts]
    return "COVID-19" if "COVID-19" in counts else min(named, key=lambda name: counts[name])


def _records(data: Data) -> str:
    counted = data.prepared.report["counts"]
    return (
        f"{counted['rows']:,} rows name {counted['examples']:,} readable images of "
        f"{counted['groups']:,} groups (a patient or an examination); "
        f"{counted['missing_files']:,} rows have no file, {counted['files_without_row']:,} files "
        f"no row, and {counted['unreadable']:,} images cannot be read."
    )


def _imbalance(data: Data, rare: str) -> str:
    rows = data.table[[name == rare for name in data.classes]]
    normal = data.classes.count("Normal")
    return (
        f"{rare} is {len(rows):,} images of {rows['group'].nunique():,} groups, "
        f"{100 * len(rows) / len(data.table):.1f} % of all, one for every "
        f"{normal / max(len(rows), 1):.0f} Normal ones: accuracy says little, and every figure "
        "needs its interval over groups."
    )


def _test(data: Data, rare: str) -> str:
    table = data.table.assign(classes=data.classes)
    train, test = (table[table["kaggle_split"] == split] for split in ("TRAIN", "TEST"))
    if test.empty:
        return f"There is no TEST: all {len(train):,} images are TRAIN, so cross-validate by group."
    inside = int((test["classes"] == rare).sum())
    shares = [100 * float((part["classes"] == "Normal").mean()) for part in (train, test)]
    said = (
        f"holds no image of {rare}, so {rare} can only be cross-validated"
        if inside == 0
        else f"holds {inside:,} images of {rare}"
    )
    return (
        f"TEST ({len(test):,} images) {said}; {shares[1]:.1f} % of it are Normal against "
        f"{shares[0]:.1f} % of TRAIN{_stretches(train, test)}."
    )


def _stretches(train: pd.DataFrame, test: pd.DataFrame) -> str:
    """How many of TEST's numbered images lie beside TRAIN's, and of TRAIN's beside others."""
    beside: list[float] = []
    among: list[float] = []
    for series, films in _films(test).items():
        others = _films(train).get(series, np.array([]))
        if len(others) < 2:
            continue
        away = np.abs(films[:, None] - others[None]).min(axis=1)
        beside += list(away <= NEAR)
        among += list(np.minimum(np.diff(others)[:-1], np.diff(others)[1:]) <= NEAR)
    if not beside:
        return ""
    return (
        f", and {100 * np.mean(beside):.0f} % of its numbered films lie within {NEAR} numbers of "
        f"one of TRAIN ({100 * np.mean(among):.0f} % of TRAIN's do): it is no random part"
        if np.mean(beside) < np.mean(among) / 2
        else ""
    )


def _films(table: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """The different film numbers of each series, ascending."""
    found: dict[str, set[int]] = {}
    for image in table["image"]:
        series, number = film_series(image)
        if series:
            found.setdefault(series, set()).add(number)
    return {series: np.array(sorted(numbers)) for series, numbers in found.items()}


def _sources(data: Data, rare: str, neighbors: pd.DataFrame | None) -> str:
    adult = SOURCES["adult"]
    frame = pd.DataFrame({"class": data.classes, "source": data.sources})
    sick, normal = frame[frame["class"] == rare], frame[frame["class"] == "Normal"]
    text = (
        f"{(sick['source'] == adult).sum():,} of {len(sick):,} {rare} images are adults' of "
        f"publications, but {(normal['source'] == adult).sum():,} of {len(normal):,} Normal ones: "
        "a classifier may learn the source and not the disease"
    )
    if neighbors is not None:
        line = neighbors[(neighbors["fact"] == "source") & (neighbors["value"] == adult)]
        if len(line):
            share, chance = line.iloc[0][["neighbors alike (%)", "by chance (%)"]]
            text += (
                f"; among the 10 most similar raw pictures of an adult's film {share:.0f} % are "
                f"adults' ({chance:.1f} % by chance)"
            )
    return text + "."


def _copies(data: Data, leak: str) -> str:
    counted = data.prepared.report["counts"]
    leak = f"{leak[0].lower()}{leak[1:]}"
    if not counted["duplicates"] + counted["near_duplicates"]:
        return f"No two images are the same file or nearly the same picture; {leak}"
    conflicts = counted["label_conflicts"]
    return (
        f"{counted['duplicates']:,} sets of images are byte for byte the same and "
        f"{counted['near_duplicates']:,} nearly so, {conflicts or 'none'} of them with different "
        f"labels; {leak}"
    )


def _groups(data: Data, sizes: pd.Series) -> str:
    facts = data.prepared.report["grouping"]
    text = (
        f"{int((sizes > 1).sum()):,} of {len(sizes):,} groups have several images, up to "
        f"{int(sizes.max()):,}, so splits must go by group"
    )
    if not facts["numbers_in_both_splits"]:
        return f"{text}; no number in personN occurs in TRAIN and in TEST."
    return (
        f"{text}; {facts['numbers_in_both_splits']:,} of the numbers in personN occur in TRAIN and "
        f"in TEST ({facts['images_of_numbers_in_both_splits']:,} images), and whether these are "
        "the same children cannot be known."
    )


def _single_feature(summary: pd.DataFrame, rare: str) -> str:
    part = summary[summary["class"] == rare].sort_values(
        "AUROC against Normal", ascending=False, kind="stable"
    )
    best = part.dropna(subset=["AUROC against Normal"]).head(3)
    named = ", ".join(
        f"{str(line['feature']).replace('_', ' ')} {line['AUROC against Normal']:.2f}"
        for _, line in best.iterrows()
    )
    if best.empty:
        return "There are no Normal images to compare a class with."
    clear = best["AUROC against Normal"].iloc[0] >= TOLD
    end = "none of them looks at a lung" if clear else "none of them tells much"
    return f"Single numbers tell {rare} from Normal with an AUROC of: {named}; {end}."


def _flags(table: pd.DataFrame, rare: str) -> str:
    line = table.set_index("flag")
    shares = {
        name: [line.loc[name, f"{kind} (%)"] for kind in ("Normal", rare) if f"{kind} (%)" in line]
        for name in ("black and white", "lettered")
    }
    kinds = [kind for kind in ("Normal", rare) if f"{kind} (%)" in line]
    marks = " and ".join(
        f"{share:.0f} % of {kind}" for kind, share in zip(kinds, shares["lettered"], strict=True)
    )
    stark = " and ".join(f"{share:.0f} %" for share in shares["black and white"])
    others = ", ".join(
        f"{int(line.loc[name, 'images']):,} {name}" for name in line.index if name not in shares
    )
    lost = f"of the same {stark}" if any(shares["black and white"]) else "none of these"
    return (
        f"Letter-like marks are on {marks} images; {lost} have lost their gray levels to black "
        f"and white; flagged for a look are also {others}."
    )


def _preparation(lines: pd.DataFrame | None) -> str:
    if lines is None:
        return "There are too few images to measure what a normalization does to a classifier."
    named = lines.set_index("normalization")
    raw, best = named.loc["raw"], named.loc[named["validation AUROC"].idxmax()]
    overlap = best["95 % low"] <= raw["95 % high"]
    verdict = (
        "the intervals overlap, so this chooses nothing"
        if overlap
        else "its interval lies above that of raw"
    )
    told = max(("brightness", "contrast"), key=lambda name: raw[f"AUROC of {name}"])
    flat = named[f"AUROC of {told}"].idxmin()
    alone = f"{told} alone tells pneumonia with {raw[f'AUROC of {told}']:.2f} raw"
    if flat != "raw":
        alone += f" and {named.loc[flat, f'AUROC of {told}']:.2f} after {flat}"
    if best.name == "raw":
        return (
            f"Of {len(lines)} normalizations none gave a small classifier a higher validation "
            f"AUROC than raw pixels, {_shown(raw)}; {alone}."
        )
    return (
        f"Of {len(lines)} normalizations {best.name} gave a small classifier the highest "
        f"validation AUROC, {_shown(best)}, against {_shown(raw)} raw ({verdict}); {alone}."
    )


def _shown(line: pd.Series) -> str:
    return f"{line['validation AUROC']:.3f} [{line['95 % low']:.3f}, {line['95 % high']:.3f}]"
