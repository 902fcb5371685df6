"""The files that a classification run ends with: results, predictions and figures."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.classify import evidence as classify_evidence
from covidjax.classify import external, external_figures
from covidjax.classify import scale as classify_scale
from covidjax.classify.evidence import Pooled
from covidjax.classify.train import Data, Network, Predictions
from covidjax.data.splits import PARTS, Fold
from covidjax.data.table import TASKS
from covidjax.evidence import intervals, metrics
from covidjax.evidence.predictions import Predicted
from covidjax.runs import results


def write(
    config: ml_collections.ConfigDict,
    data: Data,
    predictions: Sequence[Predictions],
    network: Network,
    folder: Path,
    start: float,
    other: external.External | None = None,
) -> dict[str, Any]:
    """Writes predictions, figures, the model card and, last, `results.json`; returns its contents.

    Args:
      start: `time.time()` of the run's.
      other: the images of `config.external`.
    """
    tested = "test" if config.split == "official" else "out_of_fold"
    raw = {
        "validation": _pool(data, predictions, "validation"),
        tested: _pool(data, predictions, "test"),
    }
    training = np.concatenate([data.labels[p.fold.train] for p in predictions])
    scale = classify_scale.fit(config, raw["validation"], raw[tested], training)
    pooled = {split: classify_scale.calibrated(scale, part) for split, part in raw.items()}
    phantom = data.prepared.kind == "phantom"
    found = _about(config, data.prepared.kind)
    found["threshold"] = {
        "rule": str(config.threshold),
        "value": scale.threshold,
        "values": [(scale.thresholds or {}).get(p.fold.number) for p in predictions],
    }
    found["confusion_matrix"] = {}
    for split, part in pooled.items():
        _write_predictions(folder, split, part, raw[split], found["classes"], phantom)
        found["splits"][split] = intervals.metrics_with_intervals(
            part.labels, part.probabilities, part.groups, part.thresholds
        )
        matrix = metrics.confusion_matrix(part.labels, part.probabilities, part.thresholds)
        found["confusion_matrix"][split] = matrix.tolist()
    found |= classify_evidence.gather(
        config,
        data,
        predictions,
        Pooled(pooled[tested], raw[tested], raw["validation"], scale),
        network,
        folder,
    )
    if len(predictions) > 1:
        found["ensemble"] = {"networks": len(predictions) * config.members, "evaluated": False}
    if other is not None:
        pooled[external_figures.SPLIT] = _external(config, data, network, other, found, folder)
    _write_figures(config, pooled, found, folder)
    from covidjax.classify import model_card  # and with it scikit-learn's trees

    found["seconds"] = round(time.time() - start, 1)
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model_card.write_model_card(folder / "model_card.md", found, about)
    results.write_results(folder / "results.json", found)
    print(f"{summary(found)}\nPredictions, figures and model_card.md are in {folder}", flush=True)
    return results.read_results(folder)


def _about(config: ml_collections.ConfigDict, kind: str) -> dict[str, Any]:
    """What `results.json` begins with."""
    return {
        "experiment": "classify",
        "task": config.task,
        "data": kind,
        **({"warning": results.PHANTOM_WARNING} if kind == "phantom" else {}),
        "seed": config.seed,
        "seconds": 0.0,
        "splits": {},
        "classes": list(TASKS[config.task].classes),
    }


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
    lines = [results.PHANTOM_WARNING] if "warning" in found else []
    for split, figures in found["splits"].items():
        lines.append(f"{split} ({found['task']}, n={figures['accuracy']['n']:,})")
        for name, figure in figures.items():
            interval = figure["ci95"]
            value = "undefined" if figure["value"] is None else f"{figure['value']:.3f}"
            shown = f"  [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
            few = f"  ({figure['few_groups']} groups in a class)" if "few_groups" in figure else ""
            lines.append(f"  {name:18} {value}{shown}{few}")
    if "calibration" in found:
        lines.append(f"Probabilities: {found['calibration']['scale']}")
    if "audit" in found:
        lines.append(f"Shortcut audit: {found['audit']['verdict']}")
    return "\n".join(lines)


def _pool(data: Data, predictions: Sequence[Predictions], part: str) -> Predicted:
    """One entry an image over all folds, the networks' own probabilities."""
    parts = [getattr(prediction.fold, part) for prediction in predictions]
    counts = [len(rows) for rows in parts]
    rows = np.concatenate(parts)
    return Predicted(
        data.table["image"].to_numpy(str)[rows],
        data.table["group"].to_numpy(str)[rows],
        data.labels[rows].astype(np.int64),
        np.concatenate([getattr(p, part) for p in predictions]),
        np.repeat([prediction.fold.number for prediction in predictions], counts),
        None,
    )


def _external(
    config: ml_collections.ConfigDict,
    data: Data,
    network: Network,
    other: external.External,
    found: dict[str, Any],
    folder: Path,
) -> Predicted:
    """Evaluates the images of another hospital, adds their figures to `found`."""
    cut = found["threshold"]["value"]
    mapping = found["calibration"]["map"]
    probabilities = classify_evidence.calibrated(config, data, network, folder, mapping)(
        other.images
    )
    figures, facts = external_figures.evaluate(
        other,
        probabilities,
        cut,
        found["classes"],
        folder,
        phantom=data.prepared.kind == "phantom",
    )
    found["splits"][external_figures.SPLIT] = figures
    found["confusion_matrix"][external_figures.SPLIT] = facts.pop("confusion_matrix")
    found["external"] = facts
    count = len(other.names)
    cuts = None if cut is None else np.full(count, cut)
    folds = np.full(count, -1)
    return Predicted(other.names, other.groups, other.labels, probabilities, folds, cuts)


def _write_predictions(
    folder: Path,
    split: str,
    part: Predicted,
    raw: Predicted,
    classes: Sequence[str],
    phantom: bool,
) -> None:
    results.write_predictions(
        folder / f"predictions_{split}.csv",
        list(part.names),
        list(part.groups),
        part.labels,
        part.folds,
        part.probabilities,
        classes,
        raw=raw.probabilities,
        phantom=phantom,
    )


def _write_figures(
    config: ml_collections.ConfigDict,
    pooled: Mapping[str, Predicted],
    found: Mapping[str, Any],
    folder: Path,
) -> None:
    # matplotlib: no training waits for it
    from covidjax.classify.figures import curves as plots
    from covidjax.classify.figures import evidence_curves as evidence_plots

    figures, classes = folder / "figures", found["classes"]
    shared: dict[str, Any] = {
        "phantom": found["data"] == "phantom",
        "title": classify_evidence.title(config),
    }
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
                part.labels, part.probabilities, part.groups, classes, f"{prefix}: "
            )
        )
    for suffix, drawn in curves.items():
        plots.write_roc(figures / f"roc{suffix}.png", drawn, **shared)
        plots.write_precision_recall(figures / f"precision_recall{suffix}.png", drawn, **shared)
    plots.write_training_curves(figures / "training.png", folder / "metrics.jsonl", **shared)
    evidence_plots.write_evidence_figures(figures, found, **shared)
