"""The evidence beside a classifier's figures, made at the end of a run from its checkpoints.

Weights are read anew, one fold at a time: a run that was killed here makes the same figures when it
is started again, and no more than one fold's networks are in memory.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.classify.scale import Scale, operating_cuts
from covidjax.classify.train import Data, Network, Predictions, member_name
from covidjax.data.augment import normalize, to_float
from covidjax.data.table import TASKS
from covidjax.evidence import recalibration
from covidjax.evidence.predictions import Predicted
from covidjax.training import chunks, saved, sharding, steps
from covidjax.transfer import strategies

Variables = Any
Tell = Callable[[str], None]


class Pooled(NamedTuple):
    """A run's predictions over all folds, in their order.

    Attributes:
      tested: the test images, calibrated.
      raw, validation: the networks' own probabilities, of the test and of the validation images.
      scale: what calibrates them.
    """

    tested: Predicted
    raw: Predicted
    validation: Predicted
    scale: Scale


def gather(
    config: ml_collections.ConfigDict,
    data: Data,
    predictions: Sequence[Predictions],
    pooled: Pooled,
    network: Network,
    folder: Path,
) -> dict[str, Any]:
    """Keys for `results.json`: those of `evidence.evidence`, `audit` and `saliency`.

    Writes the figures of the latter two into `figures`; `figures.evidence_curves` draws the others.
    """
    from covidjax.evidence import evidence  # imports scikit-learn

    tell = teller(config.quiet)
    tested = pooled.tested
    names = data.table["image"].to_numpy(str)
    # Validation chose the epoch and the threshold, so it has been seen too.
    training = {
        p.fold.number: names[np.concatenate([p.fold.train, p.fold.validation])].tolist()
        for p in predictions
    }
    tell("calibration, operating points, decision curve, grouping")
    cuts = operating_cuts(pooled.scale, pooled.validation, pooled.raw)
    found = evidence.evidence(tested, pooled.raw, cuts, training)
    found["calibration"] = {
        "method": config.calibration,
        "scale": scale_in_words(
            pooled.scale.map, found["calibration"]["verdict"], len(predictions)
        ),
        "map": pooled.scale.map,
        "maps": list(pooled.scale.maps.values()),
        **found["calibration"],
    }
    if config.audit:
        found["audit"] = _audit(config, data, predictions, tested, network, folder, tell)
    if config.saliency:
        tell("where the networks look: Grad-CAM, occlusion, weights drawn at random")
        found["saliency"] = _saliency(config, data, predictions, tested, folder)
    return found


def _audit(
    config: ml_collections.ConfigDict,
    data: Data,
    predictions: Sequence[Predictions],
    tested: Predicted,
    network: Network,
    folder: Path,
    tell: Tell,
) -> dict[str, Any]:
    """The shortcut audit, and its figure."""
    from covidjax.audit import audit  # scikit-learn's trees
    from covidjax.audit.figures import write_audit_figure

    tell("features of each fold's network")
    found = audit.audit(
        data.images,
        data.table,
        data.labels,
        data.folds,
        [tested.probabilities[tested.folds == p.fold.number] for p in predictions],
        classes=TASKS[config.task].classes,
        features=features(config, data, network, folder),
        seed=config.seed,
        progress=lambda what: tell(f"shortcut audit: {what}"),
    )
    write_audit_figure(
        folder / "figures" / "audit.png",
        found,
        phantom=data.prepared.kind == "phantom",
        title=f"{title(config)}: what needs no lung",
    )
    return found


def _saliency(
    config: ml_collections.ConfigDict,
    data: Data,
    predictions: Sequence[Predictions],
    tested: Predicted,
    folder: Path,
) -> dict[str, Any]:
    """Where the networks look, and its figures."""
    from covidjax.classify import saliency

    counts = [len(p.fold.test) for p in predictions]
    entries = {
        "images": data.images,
        "rows": np.concatenate([p.fold.test for p in predictions]),
        "names": tested.names,
        "labels": tested.labels,
        "groups": tested.groups,
        "probabilities": tested.probabilities,
        "threshold": tested.thresholds,
        "network": np.repeat(np.arange(len(predictions)), counts),
    }
    device = jax.local_devices()[0]

    def members(number: int) -> list[Variables]:
        fold = predictions[number].fold
        found = [read(config, folder, fold, member) for member in range(config.members)]
        return jax.device_put(found, device)

    phantom = data.prepared.kind == "phantom"
    return saliency.write(config, entries, members, folder, phantom=phantom)


def features(
    config: ml_collections.ConfigDict, data: Data, network: Network, folder: Path
) -> list[NDArray[np.float32]]:
    """What the classifier of each fold's first network sees: [m, d], 0 where a row is not used."""

    def seen(params: Any, batch_stats: Any, pixels: jax.Array) -> jax.Array:
        return strategies.features(network.model, params, batch_stats, normalize(to_float(pixels)))

    compiled = steps.compile_predict(network.mesh, seen)
    found = []
    for fold in data.folds:
        rows = np.unique(np.concatenate([fold.train, fold.validation, fold.test]))
        part = _each(compiled, read(config, folder, fold, 0), data.images, rows, config, network)
        whole = np.zeros((len(data.images), part.shape[1]), np.float32)
        whole[rows] = part
        found.append(whole)
    return found


def calibrated(
    config: ml_collections.ConfigDict,
    data: Data,
    network: Network,
    folder: Path,
    mapping: recalibration.Map,
) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """uint8 [n, size, size] -> probabilities [n, classes], as `covidjax.predict` gives them.

    Members are averaged within their fold, the run's map is applied, folds are averaged.
    """

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        rows = np.arange(len(images))
        outputs = [
            _each(
                network.predict, read(config, folder, fold, member), images, rows, config, network
            )
            for fold in data.folds
            for member in range(config.members)
        ]
        found = np.asarray(outputs, np.float64)
        return np.asarray(recalibration.combine(mapping, found, config.members))

    return predict


def read(config: ml_collections.ConfigDict, folder: Path, fold: Any, member: int) -> Variables:
    """`params` and `batch_stats` that were evaluated, from the checkpoint."""
    name = member_name(config, fold, member)
    return saved.read_evaluated(saved.root(config, folder) / name, config.select)


def scale_in_words(mapping: recalibration.Map, verdict: str, folds: int) -> str:
    """What a run's probabilities are: `platt on validation (slope 0.84, shift -1.20); VERDICT`."""
    method, _, numbers = recalibration.described(mapping).partition(": ")
    text = "as the networks give them" if method == "none" else f"{method} on validation"
    text += f" ({numbers})" if numbers else ""
    if folds > 1:
        text += (
            f"; new images get the mean of {folds} folds' networks, which was not evaluated itself"
        )
    return f"{text}; {verdict}"


def title(config: ml_collections.ConfigDict) -> str:
    """Of every figure."""
    return f"{config.model.name}, {config.task}, seed {config.seed}"


def teller(quiet: bool) -> Tell:
    """Says on stderr what is being done, with the seconds since the first line."""
    start = time.monotonic()

    def tell(what: str) -> None:
        if not quiet:
            print(f"Evidence, {time.monotonic() - start:4.0f} s: {what}", file=sys.stderr)

    return tell


def _each(
    compiled: steps.PredictFn,
    variables: Variables,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    config: ml_collections.ConfigDict,
    network: Network,
) -> NDArray[Any]:
    return chunks.predict_rows(
        compiled,
        jax.device_put(variables, sharding.replicated(network.mesh)),
        images,
        rows,
        batch_size=config.batch_size,
        mesh=network.mesh,
    )
