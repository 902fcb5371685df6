"""Who is trained on, who validates, who is tested. A group is never on two sides.

`official` keeps Kaggle's TEST and takes validation out of TRAIN. A random part of TRAIN is too easy
to choose anything by: TEST is another stretch of images. So `shifted` validation leaves out both
ends of every series of film numbers: no network has seen images from there. `kfold` is grouped and
stratified; every fold takes its validation part, grouped too, out of the other folds.
"""

import dataclasses
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tfds_coronahack.groups import base_name

Rows = NDArray[np.int64]
PARTS = ("train", "validation", "test")
SERIES = re.compile(
    r"(?P<normal>NORMAL2-IM|IM)-(?P<film>\d+)|person(?P<child>\d+)_(?P<cause>[a-z]+)"
)


class LeakError(ValueError):
    """The same patient, or the same picture, is on two sides of a split."""


@dataclasses.dataclass(frozen=True)
class Fold:
    """Rows of the example table, ascending. `name` is "" where there is one fold only."""

    name: str
    number: int
    train: Rows
    validation: Rows
    test: Rows


def official(
    table: pd.DataFrame, labels: NDArray[np.int32], *, validation: str, fraction: float, seed: int
) -> list[Fold]:
    """Kaggle's split, validation taken out of TRAIN.

    TRAIN images of a group that TEST has too are left out.

    Args:
      table: of `table.read_table`.
      labels: int [n], -1 for rows that are no part of the task.
      validation: "shifted" (both ends of every film series) or "random", both by group.
      fraction: of TRAIN that validates, in (0, 0.5].
      seed: of the random part.

    Raises:
      ValueError: unknown `validation`, `fraction` out of range, or a part without examples.
    """
    _check_fraction(fraction)
    used = labels >= 0
    test = used & (table["kaggle_split"] == "TEST").to_numpy()
    seen = set(table["group"][test])
    train = used & ~test & ~table["group"].isin(seen).to_numpy()
    candidates = np.flatnonzero(train)
    if validation == "shifted":
        held = _series_ends(table.iloc[candidates], fraction)
    elif validation == "random":
        held = _random_part(table.iloc[candidates], labels[candidates], fraction, seed)
    else:
        raise ValueError(f"validation={validation!r}: known are 'shifted', 'random'")
    fold = Fold("", 0, candidates[~held], candidates[held], np.flatnonzero(test))
    return [_checked_sizes(fold, labels)]


def kfold(
    table: pd.DataFrame,
    labels: NDArray[np.int32],
    *,
    folds: int,
    fraction: float,
    seed: int,
    kaggle_split: str = "",
) -> list[Fold]:
    """Grouped, stratified cross-validation; each image is tested once.

    Args:
      table, labels: as in `official`.
      folds: 2 or more, and no more than the smallest class has groups.
      fraction: of each fold's training part that validates.
      seed: of both cuts.
      kaggle_split: "TRAIN" or "TEST" to use that part alone; "" for all.

    Raises:
      ValueError: too many folds for the groups there are; the message counts them.
    """
    _check_fraction(fraction)
    used = labels >= 0
    if kaggle_split:
        used &= (table["kaggle_split"] == kaggle_split).to_numpy()
    rows = np.flatnonzero(used)
    groups = table["group"].to_numpy()[rows]
    smallest = min((len(set(groups[labels[rows] == c])) for c in set(labels[rows])), default=0)
    if not 2 <= folds <= smallest:
        raise ValueError(
            f"folds={folds} must be from 2 to {smallest}, the patients of the smallest class"
        )
    tested_in = assign_folds(labels[rows], groups, folds, seed)
    result = []
    for number in range(folds):
        inner, out = rows[tested_in != number], rows[tested_in == number]
        held = _random_part(table.iloc[inner], labels[inner], fraction, seed + 1 + number)
        fold = Fold(f"fold{number}", number, inner[~held], inner[held], out)
        result.append(_checked_sizes(fold, labels))
    return result


def film_series(image: str) -> tuple[str, int]:
    """Series and number of a child's image: ("IM", 128), ("bacteria", 23); ("", -1) for others.

    Sources number their radiographs each from 1: of two sources equal series are not one.
    """
    match = SERIES.match(base_name(image))
    if match is None:
        return "", -1
    if match["normal"]:
        return match["normal"], int(match["film"])
    return match["cause"], int(match["child"])


def check_leaks(
    folds: Sequence[Fold], table: pd.DataFrame, same_pictures: Sequence[Sequence[str]]
) -> None:
    """Stops where a group, equal bytes or a near-duplicate pair is on two sides of a fold.

    Args:
      folds: to check.
      table: with the columns image, group and sha256.
      same_pictures: lists of image names that show the same picture (of the build report).

    Raises:
      LeakError: names the fold, what is shared and examples of it.
    """
    position = {name: row for row, name in enumerate(table["image"])}
    picture = np.arange(len(table))
    for names in same_pictures:
        rows = [position[name] for name in names if name in position]
        if rows:
            picture[np.isin(picture, picture[rows])] = picture[rows[0]]
    identities = {
        "group": table["group"].to_numpy(),
        "sha256": table["sha256"].to_numpy(),
        "near-duplicate picture": picture,
    }
    for fold in folds:
        for kind, identity in identities.items():
            for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
                rows, others = getattr(fold, one), getattr(fold, other)
                shared = others[np.isin(identity[others], identity[rows])]
                if len(shared):
                    names = ", ".join(table["image"].iloc[shared[:3]])
                    raise LeakError(
                        f"{fold.name or 'the split'}: {len(shared)} images of {other} share their "
                        f"{kind} with {one}, such as {names}. Such a score would mean nothing; "
                        "mend the manifest or the groups."
                    )


def _series_ends(train: pd.DataFrame, fraction: float) -> NDArray[np.bool_]:
    """True for the lowest and the highest film numbers of every series, by group.

    Images without a film number (adults) stay in training: they have no stretch to be taken from.
    """
    named = pd.DataFrame([film_series(name) for name in train["image"]], columns=["series", "film"])
    named["source"] = [name.rpartition("/")[0] for name in train["image"]]
    rank = named.groupby(["source", "series"])["film"].rank(pct=True, method="average")
    ends = ((rank <= fraction / 2) | (rank > 1 - fraction / 2)) & (named["series"] != "")
    # A group that reaches into an end goes there whole.
    groups = train["group"].reset_index(drop=True)
    return groups.isin(set(groups[ends])).to_numpy()


def _random_part(
    train: pd.DataFrame, labels: NDArray[np.int32], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """True for about `fraction` of the rows, stratified, groups whole."""
    folds = max(2, round(1 / fraction))
    return assign_folds(labels, train["group"].to_numpy(), folds, seed) == 0


def assign_folds(
    labels: NDArray[np.integer], groups: NDArray[Any], folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold [n] of each row: groups whole, each fold about equally many of each class.

    Raises:
      ValueError: more folds than groups, or than images of the largest class.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # a second to import

    most = min(len(np.unique(groups)), max(np.bincount(labels), default=0))
    if folds > most:
        raise ValueError(f"{folds} folds are more than the {most} groups or images there are")
    cutter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = np.empty(len(labels), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class with fewer images than folds
        for number, (_, rows) in enumerate(cutter.split(labels, labels, groups)):
            found[rows] = number
    return found


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction <= 0.5:
        raise ValueError(f"validation_fraction must be in (0, 0.5], got {fraction}")


def _checked_sizes(fold: Fold, labels: NDArray[np.int32]) -> Fold:
    for part in PARTS:
        rows = getattr(fold, part)
        if len(np.unique(labels[rows])) < 2:
            mend = "fewer folds, a larger validation_fraction" if fold.name else "split=kfold"
            count = len(np.unique(labels[rows]))
            raise ValueError(
                f"{part} of {fold.name or 'the split'} has {len(rows)} images of {count} "
                f"class, but two are needed: try {mend} or more images"
            )
    return fold


def as_columns(folds: Sequence[Fold], table: pd.DataFrame) -> dict[str, list[Any]]:
    """One entry an image and fold: image, group, fold, part."""
    columns: dict[str, list[Any]] = {"image": [], "group": [], "fold": [], "part": []}
    for fold in folds:
        for part in PARTS:
            rows = getattr(fold, part)
            columns["image"] += list(table["image"].iloc[rows])
            columns["group"] += list(table["group"].iloc[rows])
            columns["fold"] += [fold.number] * len(rows)
            columns["part"] += [part] * len(rows)
    return columns


def from_columns(columns: Mapping[str, Sequence[Any]], table: pd.DataFrame) -> list[Fold]:
    """The folds that `as_columns` described, for the images that `table` has.

    Raises:
      ValueError: an image that the table lacks, or a part of another name.
    """
    position = {name: row for row, name in enumerate(table["image"])}
    missing = [name for name in columns["image"] if name not in position]
    if missing:
        raise ValueError(
            f"{len(missing)} images of the manifest are not in the data, such as {missing[0]}"
        )
    unknown = sorted(set(columns["part"]) - set(PARTS))
    if unknown:
        raise ValueError(f"the manifest has the part {unknown[0]!r}: known are {', '.join(PARTS)}")
    frame = pd.DataFrame(dict(columns))
    frame["row"] = [position[name] for name in frame["image"]]
    numbers = sorted(set(frame["fold"]))
    folds = []
    for number in numbers:
        name = f"fold{number}" if len(numbers) > 1 else ""
        rows = {
            part: np.sort(frame.row[(frame.fold == number) & (frame.part == part)].to_numpy())
            for part in PARTS
        }
        folds.append(Fold(name, int(number), **rows))
    return folds
