"""The files that a denoising run ends with."""

import json
import time
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np

from covidjax.data.noise import NOISES
from covidjax.evaluation import results
from covidjax.experiments import denoise_check
from covidjax.experiments.denoise_train import (
    Cases,
    Data,
    Network,
    scores,
    validate,
    validation_cases,
)
from covidjax.training import checkpoint
from covidjax.training.state import parameter_count

PHANTOM_WARNING = "PHANTOM: synthetic images; these figures say nothing about patients"


def write(
    config: ml_collections.ConfigDict,
    data: Data,
    network: Network,
    variables: dict[str, Any],
    progress: checkpoint.Progress,
    folder: Path,
    start: float,
) -> dict[str, Any]:
    """Evaluates on TEST, writes `results.json`, and returns its contents.

    Args:
      start: `time.time()` of the run's.
    """
    phantom = data.prepared.kind == "phantom"
    name = config.model.name
    seen = validation_cases(config, data)
    figures = validate(config, network, variables, seen)
    rows = data.fold.test
    tested = {}
    for level in denoise_check.validation_levels(config):
        cases = Cases(
            data.images[rows], np.full(len(rows), level, np.float32), np.arange(len(rows))
        )
        found = scores(config, network, variables, cases)
        tested[f"{name}/{config.noise.kind}/{level:g}/psnr"] = {
            "value": float(found.mean()),
            "ci95": None,
            "n": len(rows),
        }
    found_all: dict[str, Any] = {
        "experiment": "denoise",
        "task": config.noise.kind,
        "data": data.prepared.kind,
        **({"warning": PHANTOM_WARNING} if phantom else {}),
        "seed": config.seed,
        "seconds": 0.0,
        "splits": {
            "validation": {
                key.replace("psnr_", f"{name}/{config.noise.kind}/") + "/psnr": {
                    "value": value,
                    "ci95": None,
                    "n": min(config.validation_images, len(data.fold.validation)),
                }
                for key, value in figures.items()
                if key != "psnr"
            },
            "test": tested,
        },
        "network": {
            "name": name,
            "parameters": parameter_count(variables["params"]),
            "best_step": progress.best_step,
            "validation_psnr": progress.best_value,
        },
        "noise": {**config.noise.to_dict(), "unit": NOISES[config.noise.kind].unit},
    }
    found_all["seconds"] = round(time.time() - start, 1)
    results.write_results(folder / "results.json", found_all)
    print(json.dumps(found_all["splits"], indent=1))
    return read_results(folder)


def read_results(folder: Path) -> dict[str, Any]:
    """The `results.json` of a finished run."""
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))
