"""The shortcut audit: what a classifier reaches that sees no lung, beside what the network reaches.

Every probe is fitted on the training images of each fold and scored on its test images, as the
network was. One rule for all of them, with fixed numbers: 300 extremely randomized trees (Geurts,
Ernst and Wehenkel 2006), but for the 8 x 8 thumbnail, which a linear model reads. Trees were taken
because they found more in the borders of the real images than logistic regression did (COVID-19:
0.98 against 0.96): the stronger the probe, the stricter the audit. A probe that finds nothing
proves nothing; a convolutional network may see in a border what these do not.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from covidjax.audit import shortcut_inputs as inputs
from covidjax.audit.source_probe import linear_model, source_probes
from covidjax.data.splits import Fold
from covidjax.evidence.aurocs import auroc_estimates
from covidjax.runs.results import shown

Probabilities = NDArray[np.float64]


class Probe(NamedTuple):
    """An input and what reads it. `lung`: no lung in it ("none"), or a coarse trace ("coarse")."""

    what: str
    view: Callable[..., inputs.Features]
    lung: str
    linear: bool = False


FACTS = "file_facts"
# The plainest first: where several come near the run, the verdict names the first.
PROBES = {
    "border": Probe("the border", inputs.border, "none"),
    FACTS: Probe("the file's size, shape, mode and compression", inputs.file_facts, "none"),
    "corners": Probe("a patch of each corner", inputs.corner_patches, "none"),
    "lungs_blacked_out": Probe("the image without its lungs", inputs.lungs_blacked_out, "none"),
    "histogram": Probe("the histogram of gray values", inputs.histogram, "coarse"),
    "thumbnail": Probe("an 8 x 8 thumbnail", inputs.thumbnail, "coarse", linear=True),
}
RUN = "run"  # the run's own score, among the probes
# Above 0.5, for with four probes an interval may begin just above chance by luck.
CLEAR = 0.55
# Share of the run's distance from chance. A run of 0.998 and a border of 0.98 do not overlap, and
# yet there is nothing left that would need a lung.
NEAR = 0.9


def audit(
    images: NDArray[np.uint8],
    table: pd.DataFrame,
    labels: NDArray[np.int32],
    folds: Sequence[Fold],
    predictions: Sequence[Probabilities],
    *,
    classes: Sequence[str],
    features: Sequence[NDArray[np.float32]] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """What `results.json` holds under `audit`.

    Args:
      images: uint8 [m, s, s], the run's pixel cache.
      table: m rows, of `covidjax.data.table.read_table`.
      labels: int [m], -1 for rows that are no part of the task.
      folds: rows of the three.
      predictions: the run's probabilities [len(fold.test), k] of each fold.
      classes: k names.
      features: the features of each fold's network, float [m, d] for all rows of the table (those
        of rows that the folds do not use are not looked at); None leaves the source probes out.
      seed: of the probes.
      progress: told the name of each probe before it is fitted.

    Returns:
      `{PROBE: {"auroc": {"value", "ci95", "n"}, "what": text}, ..., "verdict": sentence}`: the
      probes of `PROBES`, `run` for the run's own score, and the source probes (see
      `source_probe.source_probes`).
    """
    scores = {RUN: np.concatenate(list(predictions))}
    tell = progress or (lambda _: None)
    for name, probe in PROBES.items():
        tell(probe.what)
        parts = probe_probabilities(name, images, table, labels, folds, len(classes), seed)
        scores[name] = np.concatenate(parts)
    rows = np.concatenate([fold.test for fold in folds])
    groups = table["group"].to_numpy()[rows]
    found: dict[str, Any] = {
        name: {
            "auroc": score.row(len(rows)),
            "what": PROBES[name].what if name in PROBES else "the run's own score",
        }
        for name, score in auroc_estimates(labels[rows], scores, groups).items()
    }
    if features is not None:
        tell("what the network's features tell of an image's source")
        found |= source_probes(features, table, labels, folds, classes, seed=seed)
    return {**found, "verdict": verdict(found)}


def probe_probabilities(
    name: str,
    images: NDArray[np.uint8],
    table: pd.DataFrame,
    labels: NDArray[np.int32],
    folds: Sequence[Fold],
    k: int,
    seed: int = 0,
) -> list[Probabilities]:
    """The probabilities [len(fold.test), k] of each fold by one of `PROBES`.

    Arguments are those of `audit`; k is the number of classes. A class that a fold is not trained
    on gets probability 0 there.
    """
    probe = PROBES[name]
    rows = np.unique(np.concatenate([part for fold in folds for part in (fold.train, fold.test)]))
    used = table.iloc[rows] if name == FACTS else inputs.shrink(images, rows)
    view = probe.view(used)
    found = []
    for fold in folds:
        train, test = np.searchsorted(rows, fold.train), np.searchsorted(rows, fold.test)
        model = _classifier(probe.linear, seed)
        model.fit(view[train], labels[fold.train])
        if not probe.linear:
            model.set_params(n_jobs=1)  # several threads add up in any order: other last digits
        probabilities = np.zeros((len(test), k))
        probabilities[:, model.classes_] = model.predict_proba(view[test])
        found.append(probabilities)
    return found


def verdict(found: Mapping[str, Any]) -> str:
    """One sentence on how the run's score is to be read, by these rules in order.

    An input without lung speaks against the score where its interval begins above 0.55:
      1. its interval overlaps the run's, or it reaches 90 % of the run's distance from chance: the
         score cannot be read as diagnosis;
      2. else part of the score needs no lung.
    Where none does:
      3. the run's own interval reaches down to chance: there is nothing to explain;
      4. an input without lung overlaps all the same: too few images to tell;
      5. the histogram or the thumbnail comes as near as in 1: no detail of the lung is needed;
      6. else no input without lung comes near.

    Args:
      found: `{PROBE: {"auroc"}}` with all of `PROBES` and `run`.
    """
    run = found[RUN]["auroc"]
    score = f"this score ({shown(run)})"
    aurocs = {name: found[name]["auroc"] for name in PROBES}
    if any(figure["ci95"] is None for figure in (run, *aurocs.values())):
        return f"There are too few patients to audit {score}."
    ranked = sorted(PROBES, key=lambda name: -aurocs[name]["value"])
    without = [name for name in ranked if PROBES[name].lung == "none"]
    clear = [name for name in without if aurocs[name]["ci95"][0] > CLEAR]
    near = [name for name in PROBES if name in clear and comes_near(aurocs[name], run)]
    if near:
        return f"{_reaches(near[0], aurocs)}: {score} cannot be read as diagnosis."
    if clear:
        share = (aurocs[clear[0]]["value"] - 0.5) / (run["value"] - 0.5)
        part = f"{100 * share:.0f} % of what {score} has above chance needs no lung"
        return f"{_reaches(clear[0], aurocs)}: {part}."
    if run["ci95"][0] <= 0.5:
        return f"T{score[1:]} is not clearly above chance: there is nothing to explain."
    best = f"the best, {PROBES[without[0]].what}, reaches {shown(aurocs[without[0]])}"
    if any(overlaps(aurocs[name], run) for name in without):
        return f"There are too few images to tell {score} from inputs without lung: {best}."
    coarse = next(name for name in ranked if PROBES[name].lung == "coarse")
    if comes_near(aurocs[coarse], run):
        return f"{_reaches(coarse, aurocs)}: {score} needs no detail of the lung."
    return f"No input without lung comes near {score}: {best}."


def overlaps(figure: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether the run's interval does not lie above the figure's (both as in `results.json`)."""
    return bool(figure["ci95"][1] >= run["ci95"][0])


def comes_near(figure: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether an AUROC overlaps the run's, or reaches 90 % of its distance from chance."""
    return overlaps(figure, run) or figure["value"] - 0.5 >= NEAR * (run["value"] - 0.5)


def _classifier(linear: bool, seed: int) -> Any:
    if linear:
        return linear_model()
    return ExtraTreesClassifier(
        300, min_samples_leaf=5, class_weight="balanced", random_state=seed, n_jobs=-1
    )


def _reaches(name: str, aurocs: Mapping[str, Mapping[str, Any]]) -> str:
    what = PROBES[name].what
    return f"{what[0].upper()}{what[1:]} alone reaches {shown(aurocs[name])}"
