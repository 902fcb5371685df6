"""The predictions of one split, and reading them back from a finished run."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.evidence.metrics import Floats, Ints
from covidjax.runs import folder as runs
from covidjax.runs.folder import RunError

TESTED = ("test", "out_of_fold")  # the splits that chose nothing


class Predicted(NamedTuple):
    """One entry a predicted image, [n] each.

    Attributes:
      names: of the images.
      groups: patient or examination of each.
      labels: class indices.
      probabilities: [n, classes].
      folds: number of the fold whose network predicted it.
      thresholds: that fold's threshold on the probability of class 1; None for more classes.
    """

    names: NDArray[np.str_]
    groups: NDArray[np.str_]
    labels: Ints
    probabilities: Floats
    folds: Ints
    thresholds: Floats | None

    def at(self, chosen: NDArray[Any]) -> "Predicted":
        """The chosen examples: positions, or True for each to keep."""
        return Predicted(
            self.names[chosen],
            self.groups[chosen],
            self.labels[chosen],
            self.probabilities[chosen],
            self.folds[chosen],
            None if self.thresholds is None else self.thresholds[chosen],
        )


class Run(NamedTuple):
    """A finished run: contents of its JSON files, and its tested split's name and predictions."""

    folder: Path
    results: dict[str, Any]
    config: dict[str, Any]
    split: str
    predicted: Predicted


def read_run(folder: Path | str) -> Run:
    """Reads `results.json`, `config.json` and the predictions of the tested split.

    Raises:
      FileNotFoundError: the predictions are not there.
      RunError: no finished classification run, a damaged one, or parts that do not fit.
    """
    run = runs.read(folder, "classify")
    folder, results, config = run.folder, dict(run.results), dict(run.about)
    try:
        split = next((name for name in TESTED if name in results["splits"]), TESTED[0])
        classes, thresholds = list(map(str, results["classes"])), results["threshold"]["values"]
        if not isinstance(results["classes"], list):
            raise TypeError("its classes are no list of names")
        settings = config.get("config", {})
        parts = [settings, config.get("data", {})]
        parts += [settings.get(name, {}) for name in ("model", "data", "phantom")]
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError("config.json has other parts than a run's")
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / 'results.json'} is no result of classify: {error!r}") from error
    predicted = read_predictions(folder / f"predictions_{split}.csv", classes, thresholds)
    return Run(folder, results, config, split, predicted)


def read_predictions(
    path: Path, classes: list[str], thresholds: list[float | None] | None
) -> Predicted:
    """Reads a `predictions_SPLIT.csv`.

    Args:
      path: the file.
      classes: names, in the order of the classes.
      thresholds: one a fold, in the order in which the file names the folds; None for none.

    Raises:
      FileNotFoundError: it is not there.
      RunError: missing columns, unknown labels, or thresholds that do not fit the folds.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no predictions {path}: give the workdir of a finished run")
    columns = ["image", "group", "label", "fold", *(f"p_{name}" for name in classes)]
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        labels = pd.Index(classes).get_indexer(table["label"])
        folds = pd.to_numeric(table["fold"]).fillna(-1).to_numpy(np.int64)
        # By Python's float, which is exact in every version of pandas.
        probabilities = table[columns[4:]].to_numpy(object).astype(np.float64)
    except (ValueError, KeyError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if (labels < 0).any():
        unknown = table["label"][int(np.argmax(labels < 0))]
        raise RunError(f"{path}: {unknown!r} is no class, the classes are {', '.join(classes)}")
    if table["image"].duplicated().any() and path.stem.removeprefix("predictions_") in TESTED:
        twice = table["image"][table["image"].duplicated()].iloc[0]
        raise RunError(f"{path} has {twice} twice; the run tests every image once")
    cuts = None
    if thresholds is not None and len(classes) == 2:
        numbers = pd.unique(folds)
        if len(numbers) != len(thresholds) or None in thresholds:
            raise RunError(f"{path} has {len(numbers)} folds, but thresholds are {thresholds}")
        cuts = pd.Series(thresholds, numbers).loc[folds].to_numpy(np.float64)
    return Predicted(
        table["image"].to_numpy(str),
        table["group"].to_numpy(str),
        labels.astype(np.int64),
        probabilities,
        folds,
        cuts,
    )
