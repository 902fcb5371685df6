"""The files that a denoising run ends with."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.data.noise import NOISES
from covidjax.denoise import cases as denoise_cases
from covidjax.denoise import denoiser
from covidjax.denoise import diagnosis as denoise_diagnosis
from covidjax.denoise import evaluate as denoise_evaluate
from covidjax.denoise import outputs as denoise_outputs
from covidjax.denoise.train import Data, Network, validate, validation_cases
from covidjax.runs import results
from covidjax.training import checkpoint
from covidjax.training.state import parameter_count


def write(
    config: ml_collections.ConfigDict,
    data: Data,
    network: Network,
    variables: dict[str, Any],
    progress: checkpoint.Progress,
    folder: Path,
    start: float,
    classifier: denoise_diagnosis.Classifier | None = None,
) -> dict[str, Any]:
    """Evaluates on TEST, writes `results.json` and the figures, and returns its contents.

    Args:
      start: `time.time()` of the run's.
      classifier: of `config.classifier`.
    """
    phantom = data.prepared.kind == "phantom"
    name = config.model.name
    seen = validation_cases(config, data)
    figures = validate(config, network, variables, seen)
    # On one device: replicated, each would denoise every image.
    alone = jax.device_put(jax.device_get(variables), jax.local_devices()[0])
    evaluated = denoise_evaluate.evaluate(
        config,
        to_float(data.images[data.fold.validation]),
        tested_images(config, data),
        {name: denoiser.create(config, alone, phantom=phantom)},
        denoise_cases.cases_of(config),
        folder,
        phantom=phantom,
        classifier=classifier,
    )
    found_all: dict[str, Any] = {
        "experiment": "denoise",
        "task": config.noise.kind,
        "data": data.prepared.kind,
        **({"warning": results.PHANTOM_WARNING} if phantom else {}),
        "seed": config.seed,
        "seconds": 0.0,
        "splits": {
            "validation": _validation(config, data, figures),
            **evaluated.pop("splits"),
        },
        "network": {
            "name": name,
            "parameters": parameter_count(variables["params"]),
            "best_step": progress.best_step,
            "validation_psnr": progress.best_value,
        },
        "noise": {**config.noise.to_dict(), "unit": NOISES[config.noise.kind].unit},
        **evaluated,
        "evaluated": evaluation_of(config),
    }
    found_all["seconds"] = round(time.time() - start, 1)
    results.write_results(folder / "results.json", found_all)
    print(denoise_outputs.table(found_all, name), flush=True)
    return results.read_results(folder)


def _validation(
    config: ml_collections.ConfigDict, data: Data, figures: Mapping[str, float]
) -> dict[str, Any]:
    """The PSNR of each level of noise, as `results.json` names it."""
    images = min(config.validation_images, len(data.fold.validation))
    prefix = f"{config.model.name}/{config.noise.kind}/"
    return {
        key.replace("psnr_", prefix) + "/psnr": {"value": value, "ci95": None, "n": images}
        for key, value in figures.items()
        if key != "psnr"
    }


def tested_images(config: ml_collections.ConfigDict, data: Data) -> denoise_cases.Films:
    """The TEST images that `config.evaluate` asks for."""
    rows = denoise_cases.tested_rows(config, data.prepared.kind, data.fold.test)
    names, groups = (data.table[column].to_numpy()[rows] for column in ("image", "group"))
    return denoise_cases.Films(names, groups, to_float(data.images[rows]))


def evaluation_of(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """What of the config decides the evaluation, but not the network."""
    return {"classifier": config.classifier, **config.evaluate.to_dict()}


def to_float(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
