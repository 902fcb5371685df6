"""The networks of a finished classification run, with all that their predictions need."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import loss as objective
from covidjax.data import cache, preprocess
from covidjax.evidence import recalibration
from covidjax.images import reading
from covidjax.runs import folder as runs
from covidjax.runs.folder import RunError, Variables
from covidjax.training import saved

NOT_AUDITED = "not audited: nothing says whether this score is about the lungs"


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
      folder: its workdir.
      config: as it was resolved.
      classes: names, in the order of the probabilities.
      phantom: trained on synthetic images.
      map: what calibrates the mean probability of a fold's networks.
      scale: what the probabilities are, in words.
      threshold: on class 1's calibrated probability; None for more than two classes.
      verdict: of the shortcut audit, one sentence.
      networks: name (fold, member) -> `params` and `batch_stats`, the folds in order.
    """

    folder: Path
    config: ml_collections.ConfigDict
    classes: tuple[str, ...]
    phantom: bool
    map: recalibration.Map
    scale: str
    threshold: float | None
    verdict: str
    networks: dict[str, Variables]


def load(folder: Path | str) -> Trained:
    """Reads a run's config, results and checkpoints.

    Args:
      folder: the run's workdir; ~ is somebody's home folder.

    Raises:
      RunError: no such folder, no finished classification run in it, or damaged checkpoints.
    """
    run = runs.read(folder, "classify")
    try:
        return _load(run)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{run.folder}: config.json or results.json is damaged, or of another version: "
            f"{type(error).__name__} {error}"
        ) from error


def _load(run: runs.Run) -> Trained:
    config, results = run.config, run.results
    if "map" not in (calibration := results.get("calibration") or {}):
        raise RunError(
            f"{run.folder} was finished by an older covidjax, without one scale for its "
            "probabilities: remove its results.json and give launch.py the same command and "
            "workdir; nothing is trained again"
        )
    folds = len(results["threshold"]["values"])
    names = runs.networks(run)
    if len(names) != folds * config.members:
        raise RunError(
            f"{saved.root(config, run.folder)} holds {len(names)} networks, but the run has "
            f"{folds * config.members}"
        )
    return Trained(
        run.folder,
        config,
        tuple(results["classes"]),
        run.phantom,
        calibration["map"],
        calibration["scale"],
        results["threshold"]["value"],
        str((results.get("audit") or {}).get("verdict") or NOT_AUDITED),
        {name: restore(run, name, classify_check.create_model(config)) for name in names},
    )


def restore(run: runs.Run, name: str, model: nn.Module) -> Variables:
    """`params` and `batch_stats` of one network, on the first device.

    Args:
      run: whose.
      name: of the network, "" where there is one.
      model: that its weights must fit.

    Raises:
      RunError: the checkpoint is missing, damaged, or of another network.
    """
    variables = runs.read_network(run, name)
    try:
        _check_shapes(variables, run.config, model)
    except (KeyError, TypeError, ValueError) as error:
        raise runs.unreadable(run, name, error) from error
    return jax.device_put(variables, jax.devices()[0])


def make_predict(run: Trained) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """uint8 [size, size], prepared -> calibrated probabilities [classes].

    Members are averaged within their fold, the run's map is applied, folds are averaged.
    Every image is computed alone, on one device: so its probabilities cannot depend, not by a last
    bit, on what else is predicted.
    """
    compiled = jax.jit(
        objective.make_predict(classify_check.create_model(run.config), run.config.mirror)
    )

    def predict(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        batch = jnp.asarray(image[None, :, :, None])
        found = [
            np.asarray(compiled(part["params"], part["batch_stats"], batch), np.float64)
            for part in run.networks.values()
        ]
        return np.asarray(recalibration.combine(run.map, found, run.config.members)[0])

    return predict


def prepare(run: Trained, path: Path) -> tuple[reading.Reading, NDArray[np.uint8]]:
    """Reads a file, and makes of it what the networks were trained on: uint8 [size, size].

    Raises:
      reading.ReadingError: see `reading.read_image`.
    """
    data = run.config.data
    found = reading.read_image(path, min_side=cache.DECODE_SCALE * data.size)
    return found, preprocess.prepare_image(found.gray, data.size, data.equalize, data.resize)


def _check_shapes(
    variables: Variables, config: ml_collections.ConfigDict, model: nn.Module
) -> None:
    """Raises ValueError where they are not those of the config's network."""
    image = jnp.zeros((1, config.data.size, config.data.size, 1))
    made = jax.eval_shape(model.init, jax.random.key(0), image)
    expected = {part: made.get(part, {}) for part in ("params", "batch_stats")}
    kinds = [
        {
            jax.tree_util.keystr(path): (leaf.shape, jnp.issubdtype(leaf.dtype, jnp.floating))
            for path, leaf in leaves
        }
        for leaves in map(jax.tree.leaves_with_path, (expected, variables))
    ]
    if kinds[0] != kinds[1]:
        other = sorted(name for name, _ in kinds[0].items() ^ kinds[1].items())
        raise ValueError(f"it holds another network than config.json says, see {other[0]}")
