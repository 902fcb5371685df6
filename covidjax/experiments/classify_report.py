"""The files that a classification run ends with: results, predictions and figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.data.splits import PARTS, Fold
from covidjax.data.table import TASKS
from covidjax.evaluation import intervals, metrics, results
from covidjax.experiments.classify_train import Data, Predictions

PHANTOM_WARNING = "PHANTOM: synthetic images; these figures say nothing about patients"


def write(
    config: ml_collections.ConfigDict,
    data: Data,
    predictions: Sequence[Predictions],
    folder: Path,
    seconds: float,
) -> dict[str, Any]:
    """Writes predictions, figures and, last, `results.json`; returns the latter's contents."""
    tested = "test" if config.split == "official" else "out_of_fold"
    pooled = {
        "validation": _pool(predictions, "validation"),
        tested: _pool(predictions, "test"),
    }
    phantom = data.prepared.kind == "phantom"
    found: dict[str, Any] = {
        "experiment": "classify",
        "task": config.task,
        "data": data.prepared.kind,
        **({"warning": PHANTOM_WARNING} if phantom else {}),
        "seed": config.seed,
        "seconds": round(seconds, 1),
        "splits": {},
        "classes": list(TASKS[config.task].classes),
        "threshold": {
            "rule": str(config.threshold),
            "values": [prediction.threshold for prediction in predictions],
        },
        "confusion_matrix": {},
    }
    for split, part in pooled.items():
        _write_predictions(folder, split, part, data, config.task, phantom)
        labels = data.labels[part["rows"]]
        groups = data.table["group"].to_numpy()[part["rows"]]
        found["splits"][split] = intervals.metrics_with_intervals(
            labels,
            part["probabilities"],
            groups,
            part["threshold"],
            samples=config.bootstrap_samples,
            seed=config.seed,
        )
        matrix = metrics.confusion_matrix(labels, part["probabilities"], part["threshold"])
        found["confusion_matrix"][split] = matrix.tolist()
    if len(predictions) > 1:
        found["folds"] = {
            prediction.fold.name: metrics.classification_metrics(
                data.labels[prediction.fold.test], prediction.test, prediction.threshold
            )
            for prediction in predictions
        }
    _write_figures(config, data, pooled, found, folder)
    results.write_results(folder / "results.json", found)
    print(f"{summary(found)}\nPredictions and figures are in {folder}", flush=True)
    return found


def read_results(folder: Path) -> dict[str, Any]:
    """The `results.json` of a finished run."""
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def split_table(folds: Sequence[Fold], labels: NDArray[np.int32], classes: Sequence[str]) -> str:
    """A small table: images of each class in each part of each fold."""
    names = [f"{fold.name} {part}".strip() for fold in folds for part in PARTS]
    rows = [labels[getattr(fold, part)] for fold in folds for part in PARTS]
    first, widths = max(map(len, ["images", *names])), [max(8, len(name) + 2) for name in classes]
    cells = zip(classes, widths, strict=True)
    lines = [f"{'images':<{first}}" + "".join(f"{name:>{width}}" for name, width in cells)]
    for name, row in zip(names, rows, strict=True):
        counts = zip(np.bincount(row, minlength=len(classes)), widths, strict=True)
        lines.append(f"{name:<{first}}" + "".join(f"{count:>{width},}" for count, width in counts))
    return "\n".join(lines)


def summary(found: Mapping[str, Any]) -> str:
    """A small table of the figures with their intervals."""
    lines = [PHANTOM_WARNING] if "warning" in found else []
    for split, figures in found["splits"].items():
        lines.append(f"{split} ({found['task']}, n={figures['accuracy']['n']:,})")
        for name, figure in figures.items():
            interval = figure["ci95"]
            value = "undefined" if figure["value"] is None else f"{figure['value']:.3f}"
            shown = f"  [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
            lines.append(f"  {name:18} {value}{shown}")
    return "\n".join(lines)


def _pool(predictions: Sequence[Predictions], part: str) -> dict[str, Any]:
    """One entry an image over all folds: rows, fold, probabilities, threshold (or None)."""
    rows = [getattr(prediction.fold, part) for prediction in predictions]
    counts = [len(piece) for piece in rows]
    thresholds = [p.threshold for p in predictions if p.threshold is not None]
    return {
        "rows": np.concatenate(rows),
        "fold": np.repeat([prediction.fold.number for prediction in predictions], counts),
        "probabilities": np.concatenate([getattr(p, part) for p in predictions]),
        "threshold": np.repeat(thresholds, counts) if thresholds else None,
    }


def _write_predictions(
    folder: Path, split: str, part: Mapping[str, NDArray], data: Data, task: str, phantom: bool
) -> None:
    rows = part["rows"]
    results.write_predictions(
        folder / f"predictions_{split}.csv",
        list(data.table["image"].iloc[rows]),
        list(data.table["group"].iloc[rows]),
        data.labels[rows],
        part["fold"],
        part["probabilities"],
        TASKS[task].classes,
        phantom=phantom,
    )


def _write_figures(
    config: ml_collections.ConfigDict,
    data: Data,
    pooled: Mapping[str, Mapping[str, NDArray]],
    found: Mapping[str, Any],
    folder: Path,
) -> None:
    figures, classes = folder / "figures", TASKS[config.task].classes
    shared: dict[str, Any] = {
        "phantom": data.prepared.kind == "phantom",
        "title": f"{config.model.name}, {config.task}, seed {config.seed}",
    }
    from covidjax.evaluation import plots  # matplotlib, which no training waits for

    curves: dict[str, dict[str, plots.Scored]] = {}
    for split, part in pooled.items():
        prefix = split.replace("_", " ")
        plots.write_confusion(
            figures / f"confusion_{split}.png",
            found["confusion_matrix"][split],
            classes,
            phantom=shared["phantom"],
            title=f"{shared['title']}: {prefix}",
        )
        # Two classes have one curve a split, so all splits fit on one figure.
        curves.setdefault("" if len(classes) == 2 else f"_{split}", {}).update(
            plots.one_against_rest(
                data.labels[part["rows"]],
                part["probabilities"],
                data.table["group"].to_numpy()[part["rows"]],
                classes,
                f"{prefix}: ",
            )
        )
    for suffix, drawn in curves.items():
        plots.write_roc(
            figures / f"roc{suffix}.png",
            drawn,
            samples=config.bootstrap_samples,
            seed=config.seed,
            **shared,
        )
        plots.write_precision_recall(figures / f"precision_recall{suffix}.png", drawn, **shared)
        plots.write_calibration(figures / f"calibration{suffix}.png", drawn, **shared)
    plots.write_training_curves(figures / "training.png", folder / "metrics.jsonl", **shared)
