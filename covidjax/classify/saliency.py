"""Where the networks of a run look on the images they were tested on: figures and two pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import loss as objective
from covidjax.data.table import TASKS
from covidjax.evidence import saliency
from covidjax.evidence.estimates import group_codes
from covidjax.evidence.metrics import call_classes
from covidjax.evidence.resampling import percentiles
from covidjax.images import thorax
from covidjax.training.chunks import in_chunks

IMAGES = 256  # whose maps are measured, drawn at random of those tested
OF_A_CLASS = 64  # at least, where there are as many: the share outside is told by class too
EXAMPLES = 3  # of each kind, on the sheet
CHUNK = 32  # images a call, of one shape so that it is compiled once
CHECKED = 32  # images of the randomisation check
WINDOW, STRIDE = 1 / 4, 1 / 8  # of a side: the square that covers, and its steps
FLOOR = 1e-6  # of a probability, before its log-odds

Networks = Callable[[int], Sequence[Any]]
Maps = dict[int, NDArray[np.float32]]  # row of `tested` -> [size, size]


def write(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    networks: Networks,
    folder: Path,
    *,
    phantom: bool,
) -> dict[str, Any]:
    """Writes `figures/saliency.png` and `figures/occlusion.png`; returns what `results.json` holds
    under `saliency`.

    Args:
      config: of the run.
      tested: `images` uint8 [m, size, size], and one entry a tested image, each tested once:
        `rows` of the images, `names`, `labels` int, `groups`, `probabilities` [n, k], `threshold`
        [n] or None, and `network`, the position of those that tested it.
      networks: position -> the `params` and `batch_stats` of those members, read anew at each
        call, so that those of one fold are in memory at a time.
      folder: the workdir.
      phantom: the images are synthetic.

    Returns:
      - `share_outside_thorax`: mean over images of the share of Grad-CAM (for class 1; the called
        class where there are more) outside `images.thorax.ellipse`, {"value", "ci95", "n"};
        `even_map` is that share where a map is the same everywhere. Above it, the network looks
        away from the chest.
      - `share_outside_by_class`, `share_outside_by_call`: {class: the same}, over the images of the
        class, or called so; each with "random", the mean share of networks with random weights on
        these images, and "against_random": {"value", "ci95", "n"} of the paired difference. Where
        that holds 0, the share says nothing of what was learnt.
      - `randomisation`: mean rank correlation with the maps of networks with random weights,
        {"value", "ci95", "n"}; near 1, the maps show the image and not what was learnt.
    """
    from covidjax.classify.figures import (
        saliency_sheets as saliency_plots,  # matplotlib, which no training waits for
    )

    labels, probabilities = np.asarray(tested["labels"]), np.asarray(tested["probabilities"])
    calls = call_classes(probabilities, tested["threshold"])
    targets = calls if probabilities.shape[1] > 2 else np.ones_like(calls)
    telling = saliency_plots.telling_rows(labels, probabilities, tested["threshold"], EXAMPLES)
    shown = np.unique(np.concatenate(list(telling.values())))
    order = np.random.default_rng(config.seed).permutation(len(labels))
    drawn = order[:IMAGES]
    of_class = {
        name: order[labels[order] == number][:OF_A_CLASS]
        for number, name in enumerate(TASKS[config.task].classes)
    }
    of_call = {
        name: order[calls[order] == number][:OF_A_CLASS]
        for number, name in enumerate(TASKS[config.task].classes)
    }
    measured = np.unique(np.concatenate([drawn, *of_class.values(), *of_call.values()]))
    alike = np.array([])
    maps: Maps = {}
    covered: Maps = {}
    makers = _explain(config), _occlude(config)
    for number in np.unique(tested["network"]).tolist():
        members = networks(number)
        own = np.flatnonzero(np.asarray(tested["network"]) == number)
        wanted = np.intersect1d(own, np.concatenate([measured, shown]))
        maps |= _gradcams(makers[0], members, tested, wanted, targets)
        covered |= _occlusions(makers[1], members, tested, np.intersect1d(own, shown), targets)
        if not len(alike):  # of the first fold's first network
            checked = drawn[:CHECKED]
            alike = saliency.randomisation_check(
                classify_check.create_model(config),
                members[0],
                _images(tested, checked),
                targets[checked],
                seed=config.seed,
            )
    inside = thorax.ellipse(config.data.size)
    groups = np.asarray(tested["groups"])

    random: Maps = _gradcams(
        makers[0],
        saliency.random_networks(
            classify_check.create_model(config), config.data.size, seed=config.seed
        ),
        tested,
        measured,
        targets,
    )

    def share(of: Maps, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return saliency.share_outside(np.stack([of[row] for row in rows.tolist()]), inside)

    def outside(rows: NDArray[np.int64]) -> dict[str, Any]:
        if not len(rows):
            return {"value": None, "ci95": None, "n": 0}
        own, other = share(maps, rows), share(random, rows)
        return {
            **_mean(own, groups[rows], config),
            "random": float(np.nanmean(other)) if np.isfinite(other).any() else None,
            "against_random": _mean(own - other, groups[rows], config),
        }

    explained = TASKS[config.task].classes[1] if probabilities.shape[1] == 2 else "the called class"
    for name, found, title in (
        ("saliency", maps, f"Grad-CAM for {explained}"),
        ("occlusion", covered, f"occlusion, what speaks for {explained} (bare: nothing)"),
    ):
        saliency_plots.write_examples(
            folder / "figures" / f"{name}.png",
            {
                kind: [_example(config, tested, row, targets, found) for row in rows.tolist()]
                for kind, rows in telling.items()
            },
            title=f"{config.model.name}, {config.task}, seed {config.seed}: {title}\n"
            "lines at 50 and 80 % of each map's own maximum; dotted: what counts as thorax",
            phantom=phantom,
        )
    return {
        "method": "Grad-CAM",
        "share_outside_thorax": outside(drawn),
        "share_outside_by_class": {name: outside(rows) for name, rows in of_class.items()},
        "share_outside_by_call": {name: outside(rows) for name, rows in of_call.items()},
        "even_map": float((~inside).mean()),
        "randomisation": _mean(alike, groups[drawn[: len(alike)]], config),
    }


def _images(tested: Mapping[str, Any], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.asarray(tested["images"][np.asarray(tested["rows"])[rows]])


def _explain(config: ml_collections.ConfigDict) -> saliency.Explain:
    return saliency.compile_gradcam(classify_check.create_model(config), mirror=config.mirror)


def _gradcams(
    explain: saliency.Explain,
    members: Sequence[Any],
    tested: Mapping[str, Any],
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> Maps:
    """Each the mean of the scaled maps of the networks that tested the image."""

    def mean_map(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        pixels = _images(tested, rows[positions])
        wanted = jnp.asarray(targets[rows[positions]])
        scaled = []
        for variables in members:
            maps = np.asarray(explain(variables, jnp.asarray(pixels[..., None]), wanted))
            peaks = np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
            scaled.append(saliency.enlarge(maps / peaks, pixels.shape[1]))
        return np.stack(scaled).mean(axis=0)

    if not len(rows):
        return {}
    return dict(zip(rows.tolist(), in_chunks(mean_map, len(rows), CHUNK), strict=True))


def _occlude(config: ml_collections.ConfigDict) -> Callable[..., Any]:
    """(params, batch_stats, images) -> probabilities, on one device."""
    return jax.jit(objective.make_predict(classify_check.create_model(config), config.mirror))


def _occlusions(
    predict: Callable[..., Any],
    members: Sequence[Any],
    tested: Mapping[str, Any],
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> Maps:
    """What the log-odds of the class lose where a square is covered, the members averaged.

    Log-odds, as in Grad-CAM: of a probability near 0 or 1 hardly anything is seen to change.
    """

    def odds(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        def mean_output(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            batch = jnp.asarray(images[rows][..., None])
            outputs = [predict(v["params"], v["batch_stats"], batch) for v in members]
            return np.array(outputs, np.float64).mean(axis=0)

        p = np.clip(in_chunks(mean_output, len(images), CHUNK), FLOOR, 1 - FLOOR)
        return np.log(p) - np.log1p(-p)

    found: Maps = {}
    for row in rows.tolist():
        image = _images(tested, np.array([row]))[0]
        window, stride = (max(1, round(share * len(image))) for share in (WINDOW, STRIDE))
        falls = saliency.occlusion(odds, image, int(targets[row]), window=window, stride=stride)
        found[row] = np.asarray(
            cv2.blur(falls, (stride, stride)), np.float32
        )  # else lines run along the squares
    return found


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


def _example(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    row: int,
    targets: NDArray[np.int64],
    maps: Maps,
) -> Any:
    from covidjax.classify.figures import saliency_sheets as saliency_plots

    classes, shown = TASKS[config.task].classes, int(targets[row])
    caption = (
        f"{str(tested['names'][row])[:34]}\nlabelled {classes[tested['labels'][row]]}, "
        f"p({classes[shown]})={tested['probabilities'][row][shown]:.2f}"
    )
    return saliency_plots.Example(_images(tested, np.array([row]))[0], maps[row], caption)
