"""The source probe: whether a network's features tell, within one class, where an image came from.

A network that has learned the disease need not know the source of two healthy images. Where its
features tell it, the network sees what a shortcut would need; whether it uses it is not shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from covidjax.data.splits import PARTS, Fold, film_series
from covidjax.evidence.aurocs import auroc_estimates
from tfds_coronahack.groups import adults, base_name

FEWEST = 8  # images and more of each source, or there is no figure
MOST_FOLDS = 5


def source_probes(
    features: Sequence[NDArray[np.float32]],
    table: pd.DataFrame,
    labels: NDArray[np.int32],
    folds: Sequence[Fold],
    classes: Sequence[str],
    *,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """AUROCs of logistic regressions on the features, grouped cross-validation within a class.

    `source_within_CLASS` tells the adults of the publications (positive) from the children of
    Guangzhou; `film_series_within_Normal` the images named NORMAL2-IM (positive) from those named
    IM. All images of the folds take part, those that the network was trained on too: no training
    part told it the source of two images of one class, and the adults are all in Kaggle's TRAIN.
    Where there are several networks, a score is the mean over them.

    Args:
      features: float [m, d] for each network, all rows of the table.
      table, labels, folds, classes, seed: as in `audit.audit`.

    Returns:
      `{PROBE: {"auroc": {"value", "ci95", "n"}, "what"}}`, the value None with a `reason` where
      a source has fewer than 8 images or one group.
    """
    used = np.unique(np.concatenate([getattr(fold, part) for fold in folds for part in PARTS]))
    series = np.array([film_series(name)[0] for name in table["image"]])
    adult = np.array([is_adult(name) for name in table["image"]])
    child = series != ""
    found: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(classes):
        rows = used[(labels[used] == number) & (adult | child)[used]]
        sources = ("adults of publications", "children of Guangzhou")
        found[f"source_within_{name}"] = _told_apart(
            features,
            rows,
            adult[rows],
            table,
            f"{name}: {' against '.join(sources)}",
            seed,
        )
        if name == "Normal":
            rows = used[(labels[used] == number) & np.isin(series, ("IM", "NORMAL2-IM"))[used]]
            found["film_series_within_Normal"] = _told_apart(
                features,
                rows,
                series[rows] == "NORMAL2-IM",
                table,
                "Normal: films named NORMAL2-IM against IM",
                seed,
            )
    return found


def is_adult(image: str) -> bool:
    """Whether an image is an adult's from a publication, or stands for one in the phantom."""
    name = base_name(image)
    return name in adults() or name.startswith("phantom-patient")


def linear_model() -> Pipeline:
    """What reads features, and the audit's thumbnail: the same strong penalty for all."""
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
    )


def _told_apart(
    features: Sequence[NDArray[np.float32]],
    rows: NDArray[np.int64],
    positive: NDArray[np.bool_],
    table: pd.DataFrame,
    what: str,
    seed: int,
) -> dict[str, Any]:
    groups = table["group"].to_numpy()[rows]
    counts = [int((positive == side).sum()) for side in (True, False)]
    patients = [len(set(groups[positive == side])) for side in (True, False)]
    what = f"the network's features; {what} ({counts[0]:,} and {counts[1]:,} images)"
    if min(counts) < FEWEST or min(patients) < 2:
        reason = f"a source has fewer than {FEWEST} images, or all of one group"
        return {
            "auroc": {"value": None, "ci95": None, "n": len(rows)},
            "what": what,
            "reason": reason,
        }
    splitter = StratifiedGroupKFold(min(MOST_FOLDS, *patients), shuffle=True, random_state=seed)
    scores = np.zeros(len(rows))
    for train, test in splitter.split(rows, positive, groups):
        for network in features:
            model = linear_model()
            model.fit(network[rows[train]], positive[train])
            scores[test] += model.predict_proba(network[rows[test]])[:, 1] / len(features)
    probabilities: Mapping[str, Any] = {"": np.stack([1 - scores, scores], axis=1)}
    score = auroc_estimates(positive, probabilities, groups)[""]
    return {"auroc": score.row(len(rows)), "what": what}
