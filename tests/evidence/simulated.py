"""Predictions made up for tests, and runs that hold them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from covidjax.evidence.predictions import Predicted
from covidjax.runs.results import write_predictions, write_results

CLASSES = {2: ["Normal", "Pneumonia"], 3: ["Normal", "bacterial", "viral"]}


def predicted(
    n: int = 300, classes: int = 2, folds: int = 1, seed: int = 0, skill: float = 1.5
) -> Predicted:
    """Informative probabilities; two images a group, groups whole in a fold, all classes in each.

    Labels, groups and names depend on n, classes and folds alone.
    """
    rng = np.random.default_rng(seed)
    group = np.arange(n) // 2
    labels = group % classes
    logits = rng.normal(size=(n, classes)) + skill * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predicted(
        np.array([f"person{g}_virus_{i}.jpeg" for i, g in enumerate(group)]),
        np.array([f"person{g}_virus" for g in group]),
        labels.astype(np.int64),
        probabilities,
        group // classes % folds,
        np.full(n, 0.5) if classes == 2 else None,
    )


def write_run(folder: Path, made: Predicted, split: str = "out_of_fold", **results: Any) -> Path:
    """A folder with what `read_run` reads."""
    folder.mkdir(parents=True)
    classes = CLASSES[made.probabilities.shape[1]]
    folds = list(dict.fromkeys(made.folds.tolist()))
    cuts = made.thresholds
    found = {
        "experiment": "classify",
        "task": "pneumonia",
        "data": "coronahack",
        "seed": 0,
        "splits": {"validation": {}, split: {}},
        "classes": classes,
        "threshold": {
            "values": [None if cuts is None else cuts[made.folds == fold][0] for fold in folds]
        },
    }
    write_results(folder / "results.json", found | results)
    (folder / "config.json").write_text(json.dumps({"config": {"model": {"name": "cnn"}}}))
    write_predictions(
        folder / f"predictions_{split}.csv",
        list(made.names),
        list(made.groups),
        made.labels,
        made.folds,
        made.probabilities,
        classes,
        phantom=found["data"] == "phantom",
    )
    return folder
