"""`config.classifier=run:WORKDIR`: a finished classifier that looks at denoised images.

Images reach it at the denoiser's size and as they come out of it: rounded to 8 bits, then resized
to the classifier's size, then equalized as it was trained (the order of `preprocess`, in which
equalization always comes after the resize). Clean, noisy and denoised ones go the same way, so a
classifier of another size loses the same on all of them; best is one of the denoiser's size.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import loss as objective
from covidjax.classify import trained
from covidjax.data import manifest, preprocess
from covidjax.data.source import Prepared
from covidjax.data.table import task_labels
from covidjax.denoise.measures.classical import Images
from covidjax.denoise.measures.diagnosis_kept import diagnosis_kept
from covidjax.evidence import recalibration
from covidjax.runs import folder as runs
from covidjax.training.chunks import in_chunks
from tfds_coronahack.paths import expanded

PREFIX = "run:"
CHUNK = 32  # images a call, of one shape so that it is compiled once


class DiagnosisError(ValueError):
    """A classifier that cannot judge these images; one line that says why and what to do."""


class Classifier(NamedTuple):
    """A finished classifier and the images that it judges.

    Attributes:
      folder: of its run.
      task: of its run.
      classes: its two.
      threshold: on class 1's calibrated probability.
      labels: int [n] of the images, -1 where one is no part of its task.
      how: one line on how images reach it, for `results.json`.
      predict: images float32 [n, h, w] in [0, 1] -> probability of class 1, [n].
    """

    folder: Path
    task: str
    classes: tuple[str, ...]
    threshold: float
    labels: NDArray[np.int32]
    how: str
    predict: Callable[[Images], NDArray[np.float64]]


def load(
    text: str,
    data: ml_collections.ConfigDict,
    prepared: Prepared,
    table: pd.DataFrame,
    rows: NDArray[np.int64],
) -> Classifier:
    """The classifier of `config.classifier`, checked against the images that it will be shown.

    Args:
      text: run:WORKDIR.
      data: the denoiser's `config.data`: size, equalize, resize.
      prepared: the denoiser's data.
      table: of `read_table`.
      rows: of the table, the images that are evaluated.

    Raises:
      DiagnosisError: another form, a task of more than two classes, other data, one of the images
        (or another of its patient) was trained or chosen with, images prepared another way.
      RunError: no finished classification run there.
    """
    if not text.startswith(PREFIX) or text == PREFIX:
        raise DiagnosisError(f"config.classifier={text!r}: write run:WORKDIR of a classifier's run")
    run = trained.load(expanded(text.removeprefix(PREFIX)))
    where = f"config.classifier={text}"
    if run.threshold is None:
        raise DiagnosisError(
            f"{where} tells {len(run.classes)} classes apart; give one of two, as task=pneumonia"
        )
    labels = task_labels(table, run.config.task)
    _check_unseen(run, where, prepared, table, labels, rows)
    own = run.config.data
    if data.resize != own.resize or (own.resize == "pad" and own.equalize != data.equalize):
        raise DiagnosisError(
            f"{where} has config.data.resize={own.resize} and equalize={own.equalize}, the "
            f"denoiser {data.resize} and {data.equalize}: it would not see what it was trained on; "
            "give both resize=squash"
        )
    if data.equalize not in ("none", own.equalize):
        raise DiagnosisError(
            f"{where} has config.data.equalize={own.equalize}; the denoiser's must be none or "
            f"{own.equalize}, not {data.equalize}"
        )
    equalize = own.equalize if data.equalize == "none" else "none"
    resized = "" if data.size == own.size else f"resized from {data.size} to {own.size} px, "
    equalized = f"equalised ({equalize})" if equalize != "none" else "not equalised again"
    return Classifier(
        run.folder,
        run.config.task,
        run.classes,
        run.threshold,
        labels[rows],
        f"rounded to 8 bits, {resized}{equalized}, at {own.size} px",
        make_predict(run, equalize),
    )


def make_predict(run: trained.Trained, equalize: str) -> Callable[[Images], NDArray[np.float64]]:
    """float32 [n, h, w] in [0, 1] -> calibrated probability of class 1 [n]; as `trained` averages.

    Members are averaged within their fold, the run's map is applied, folds are averaged.
    """
    compiled = jax.jit(
        objective.make_predict(classify_check.create_model(run.config), run.config.mirror)
    )
    size = run.config.data.size

    def predict(images: Images) -> NDArray[np.float64]:
        gray = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
        ready = np.stack([preprocess.prepare_image(g, size, equalize, "squash") for g in gray])
        each = [_probabilities(compiled, part, ready) for part in run.networks.values()]
        return np.asarray(recalibration.combine(run.map, each, run.config.members)[:, 1])

    return predict


def report(
    classifier: Classifier,
    groups: Sequence[str],
    clean: ArrayLike,
    cases: Mapping[str, Mapping[str, ArrayLike]],
    clean_denoised: Mapping[str, ArrayLike],
    *,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """What `results.json` holds under `diagnosis`: see `diagnosis_kept`.

    Images that are no part of the classifier's task are left out.
    """
    used = classifier.labels >= 0

    def kept(columns: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
        return {name: np.asarray(column)[used] for name, column in columns.items()}

    return {
        "classifier": classifier.folder,
        "task": classifier.task,
        "classes": list(classifier.classes),
        "threshold": classifier.threshold,
        "images_reach_it": classifier.how,
        **diagnosis_kept(
            classifier.labels[used],
            np.asarray(groups)[used],
            classifier.threshold,
            np.asarray(clean)[used],
            {case: kept(methods) for case, methods in cases.items()},
            kept(clean_denoised),
            samples=samples,
            seed=seed,
        ),
    }


def _probabilities(
    compiled: Callable[..., Any], variables: trained.Variables, images: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """[n, classes] of one network, CHUNK images at a time."""

    def outputs(rows: NDArray[np.int64]) -> jax.Array:
        batch = jnp.asarray(images[rows][..., None])
        return compiled(variables["params"], variables["batch_stats"], batch)

    return in_chunks(outputs, len(images), CHUNK).astype(np.float64)


def _check_unseen(
    run: trained.Trained,
    where: str,
    prepared: Prepared,
    table: pd.DataFrame,
    labels: NDArray[np.int32],
    rows: NDArray[np.int64],
) -> None:
    """Raises DiagnosisError where one of the images was trained or chosen with."""
    fingerprint = str(runs.look(run.folder).data["fingerprint"])
    if fingerprint != prepared.fingerprint:
        raise DiagnosisError(
            f"{where} was trained on other data ({fingerprint[:8]}) than the denoiser "
            f"({prepared.fingerprint[:8]}): whether it knows these images cannot be told"
        )
    folds = manifest.read(run.folder / "split.csv", table, labels)
    used = np.concatenate([part for fold in folds for part in (fold.train, fold.validation)])
    groups = table["group"].to_numpy()
    known = rows[np.isin(groups[rows], groups[used])]
    if len(known):
        raise DiagnosisError(
            f"{where} was trained with {len(known)} of the {len(rows)} images that are evaluated "
            f"(or others of their patients), such as {table['image'].iloc[known[0]]}: give a "
            "classifier with the same split, as split=official"
        )
