"""Where the networks of a run look on the images they were tested on: figures and one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.data.table import TASKS
from covidjax.evaluation import saliency, saliency_plots
from covidjax.evaluation.intervals import group_codes, percentiles
from covidjax.evaluation.metrics import call_classes
from covidjax.experiments import classify_check

IMAGES = 256  # whose maps are measured, drawn at random of those tested
EXAMPLES = 3  # of each kind, on the sheet
CHUNK = 32  # images a call, of one shape so that it is compiled once
CHECKED = 32  # images of the randomisation check


def write(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    networks: Sequence[Sequence[Any]],
    folder: Path,
    *,
    phantom: bool,
) -> dict[str, Any]:
    """Writes `figures/saliency.png`; returns what `results.json` holds under `saliency`.

    Args:
      config: of the run.
      tested: one entry an image, each tested once: `images` uint8 [n, size, size], `names`,
        `labels` int, `groups`, `probabilities` [n, k], `threshold` [n] or None, and `network`, the
        position in `networks` of those that tested it.
      networks: of each fold, the `params` and `batch_stats` of its members.
      folder: the workdir.
      phantom: the images are synthetic.

    Returns:
      - `share_outside_thorax`: mean over images of the share of Grad-CAM (for class 1; the called
        class where there are more) outside `saliency.thorax_ellipse`, {"value", "ci95", "n"};
        `even_map` is that share where a map is the same everywhere. Above it, the network looks
        away from the chest.
      - `randomisation`: mean rank correlation with the maps of networks with random weights,
        {"value", "ci95", "n"}; near 1, the maps show the image and not what was learnt.
    """
    labels, probabilities = np.asarray(tested["labels"]), np.asarray(tested["probabilities"])
    calls = call_classes(probabilities, tested["threshold"])
    targets = calls if probabilities.shape[1] > 2 else np.ones_like(calls)
    telling = saliency_plots.telling_rows(labels, probabilities, tested["threshold"], EXAMPLES)
    drawn = np.random.default_rng(config.seed).permutation(len(labels))[:IMAGES]
    wanted = np.unique(np.concatenate([drawn, *telling.values()]))
    maps = dict(zip(wanted.tolist(), _maps(config, tested, networks, wanted, targets), strict=True))
    inside = saliency.thorax_ellipse(config.data.size)
    outside = saliency.share_outside(np.stack([maps[row] for row in drawn.tolist()]), inside)
    alike = _randomisation(config, tested, networks, drawn, targets)
    groups = np.asarray(tested["groups"])
    _write_sheet(config, tested, telling, maps, targets, folder, phantom)
    return {
        "method": "Grad-CAM",
        "share_outside_thorax": _mean(outside, groups[drawn], config),
        "even_map": float((~inside).mean()),
        "randomisation": _mean(alike, groups[drawn[: len(alike)]], config),
    }


def _maps(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    networks: Sequence[Sequence[Any]],
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> NDArray[np.float32]:
    """[len(rows), size, size], each the mean of the scaled maps of the networks that tested it."""
    explain = saliency.compile_gradcam(classify_check.create_model(config), mirror=config.mirror)
    owner = np.asarray(tested["network"])[rows]
    size = config.data.size
    found = np.zeros((len(rows), size, size), np.float32)
    for number, members in enumerate(networks):
        places = np.flatnonzero(owner == number)
        for start in range(0, len(places), CHUNK):
            part = places[start : start + CHUNK]
            padded = np.resize(part, CHUNK)
            images = jnp.asarray(np.asarray(tested["images"][rows[padded]])[..., None])
            for variables in members:
                maps = np.asarray(explain(variables, images, jnp.asarray(targets[rows[padded]])))
                peaks = np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
                scaled = saliency.enlarge(maps / peaks, size)[: len(part)]
                found[part] += scaled / len(members)
    return found


def _randomisation(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    networks: Sequence[Sequence[Any]],
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Of the first fold's first network, on the first of these images."""
    model, chosen = classify_check.create_model(config), rows[:CHECKED]
    return saliency.randomisation_check(
        model,
        networks[0][0],
        np.asarray(tested["images"][chosen]),
        targets[chosen],
        seed=config.seed,
    )


def _mean(
    values: NDArray[np.float64], groups: NDArray[Any], config: ml_collections.ConfigDict
) -> dict[str, Any]:
    """Mean of what is finite, with a 95 % percentile bootstrap interval over groups."""
    kept = np.isfinite(values)
    values, groups = values[kept], groups[kept]
    if not len(values):
        return {"value": None, "ci95": None, "n": 0}
    codes = group_codes(groups, len(values))
    counts = np.bincount(codes)
    sums = np.bincount(codes, weights=values)
    shape = (config.bootstrap_samples, len(counts))
    picks = np.random.default_rng(config.seed).integers(len(counts), size=shape)
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    interval = percentiles(means) if len(counts) > 1 else None
    return {"value": float(values.mean()), "ci95": interval, "n": len(values)}


def _write_sheet(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    telling: Mapping[str, NDArray[np.int64]],
    maps: Mapping[int, NDArray[np.float32]],
    targets: NDArray[np.int64],
    folder: Path,
    phantom: bool,
) -> None:
    classes = TASKS[config.task].classes

    def example(row: int) -> saliency_plots.Example:
        shown = int(targets[row])
        caption = (
            f"{str(tested['names'][row])[:34]}\nlabelled {classes[tested['labels'][row]]}, "
            f"p({classes[shown]})={tested['probabilities'][row][shown]:.2f}"
        )
        return saliency_plots.Example(tested["images"][row], maps[row], caption)

    explained = classes[1] if len(classes) == 2 else "the called class"
    saliency_plots.write_examples(
        folder / "figures" / "saliency.png",
        {name: [example(row) for row in rows.tolist()] for name, rows in telling.items()},
        title=f"{config.model.name}, {config.task}, seed {config.seed}: Grad-CAM for {explained}, "
        "lines at 50 and 80 %\nof each map's own maximum; dotted: what counts as thorax",
        phantom=phantom,
    )
