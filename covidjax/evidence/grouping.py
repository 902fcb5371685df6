"""What grouping children's pneumonia images by the number in `personN` alone would change.

The same number stands in Kaggle's TRAIN and TEST and under both causes. Whether it is the same
child cannot be known, so splits and intervals take (number, cause) for a patient, and this is the
other reading: groups that share a number are one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covidjax.data.splits import film_series
from covidjax.evidence.intervals import metrics_with_intervals
from covidjax.evidence.metrics import FIGURES
from covidjax.evidence.predictions import Predicted
from tfds_coronahack.groups import merge_groups

SHOWN = ("auroc", "accuracy", "balanced_accuracy")


def person_number(image: str) -> int:
    """The N of `personN_cause_M.jpeg`; -1 for other names."""
    series, number = film_series(image)
    return number if series in ("bacteria", "virus") else -1


def _person(image: str) -> str:
    """The number with the image's source, whose numbers are its own; "" for other names."""
    number = person_number(image)
    return f"{image.rpartition('/')[0]}/{number}" if number >= 0 else ""


def groups_by_number(names: Iterable[str], groups: Iterable[str]) -> NDArray[np.str_]:
    """The groups [n], those that share a person number joined."""
    given = dict(zip(names, groups, strict=True))
    same: dict[str, list[str]] = defaultdict(list)
    for name in given:
        if person := _person(name):
            same[person].append(name)
    joined = merge_groups(given, same.values())
    return np.array(list(joined.values()), dtype=str)


def grouping(
    tested: Predicted,
    training: Mapping[int, Sequence[str]],
) -> dict[str, Any]:
    """The intervals with the coarser groups, and the figures without the shared numbers.

    Args:
      tested: predictions, each image once.
      training: names of the images that trained the network or chose its epoch and threshold, by
        number of the fold.

    Returns:
      {"groups": {"number_and_cause", "number_alone": counts}, "by_number": {figure: {...}},
      "shared_with_training": count of tested images whose number one of these images has,
      "without_shared": {figure: {...}}}, for AUROC, accuracy and balanced accuracy. Empty where no
      tested image bears a number.
    """
    persons = [_person(name) for name in tested.names]
    if not any(persons):
        return {}
    seen = {fold: {_person(name) for name in names} for fold, names in training.items()}
    shared = np.array(
        [
            person != "" and person in seen.get(int(fold), ())
            for person, fold in zip(persons, tested.folds, strict=True)
        ]
    )
    coarse = groups_by_number(tested.names, tested.groups)

    def figures(part: Predicted, groups: ArrayLike) -> dict[str, Any]:
        found = metrics_with_intervals(part.labels, part.probabilities, groups, part.thresholds)
        return {name: found[name] for name in FIGURES if name in SHOWN}

    return {
        "groups": {
            "number_and_cause": len(np.unique(tested.groups)),
            "number_alone": len(np.unique(coarse)),
        },
        "by_number": figures(tested, coarse),
        "shared_with_training": int(shared.sum()),
        "without_shared": figures(tested.at(~shared), tested.groups[~shared]),
    }
