"""Where the networks of a run look on the images they were tested on: figures and two pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import maps as maps_of
from covidjax.classify.maps import Maps
from covidjax.data.table import TASKS
from covidjax.evidence import saliency
from covidjax.evidence.estimates import group_codes
from covidjax.evidence.metrics import call_classes
from covidjax.evidence.resampling import percentiles
from covidjax.images import thorax

IMAGES = 256  # whose maps are measured, drawn at random of those tested
OF_A_CLASS = 64  # at least, where there are as many: the share outside is told by class too
EXAMPLES = 3  # of each kind, on the sheet
CHECKED = 32  # images of the randomization check

Networks = Callable[[int], Sequence[Any]]


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
        that holds 0, the share says nothing of what was learned.
      - `randomisation`: mean rank correlation with the maps of networks with random weights,
        {"value", "ci95", "n"}; near 1, the maps show the image and not what was learned.
    """
    labels, probabilities = np.asarray(tested["labels"]), np.asarray(tested["probabilities"])
    calls = call_classes(probabilities, tested["threshold"])
    targets = calls if probabilities.shape[1] > 2 else np.ones_like(calls)
    chosen = _choose(config, tested, labels, calls)
    maps, covered, alike = _explained(config, tested, networks, targets, chosen)
    random = _random_maps(config, tested, targets, chosen)
    inside, groups = thorax.ellipse(config.data.size), np.asarray(tested["groups"])

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

    _draw(
        config, tested, targets, chosen, {"saliency": maps, "occlusion": covered}, folder, phantom
    )
    return {
        "method": "Grad-CAM",
        "share_outside_thorax": outside(chosen.drawn),
        "share_outside_by_class": {name: outside(rows) for name, rows in chosen.of_class.items()},
        "share_outside_by_call": {name: outside(rows) for name, rows in chosen.of_call.items()},
        "even_map": float((~inside).mean()),
        "randomisation": _mean(alike, groups[chosen.drawn[: len(alike)]], config),
    }


def _random_maps(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    targets: NDArray[np.int64],
    chosen: "_Chosen",
) -> Maps:
    """The maps of networks with random weights."""
    networks = saliency.random_networks(
        classify_check.create_model(config), config.data.size, seed=config.seed
    )
    explain = maps_of.explain(config)
    return maps_of.gradcams(explain, networks, tested, chosen.measured, targets)


class _Chosen(NamedTuple):
    """Which of the tested images are explained: rows of `tested`.

    Attributes:
      telling: kind of example -> those on the sheets.
      drawn: at random, for the share of all.
      of_class, of_call: at random among those of a class, or called so.
    """

    telling: dict[str, NDArray[np.int64]]
    drawn: NDArray[np.int64]
    of_class: dict[str, NDArray[np.int64]]
    of_call: dict[str, NDArray[np.int64]]

    @property
    def shown(self) -> NDArray[np.int64]:
        """Those on the sheets."""
        return np.unique(np.concatenate(list(self.telling.values())))

    @property
    def measured(self) -> NDArray[np.int64]:
        """Those whose share outside the thorax is taken."""
        parts = [self.drawn, *self.of_class.values(), *self.of_call.values()]
        return np.unique(np.concatenate(parts))


def _choose(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    labels: NDArray[np.int64],
    calls: NDArray[np.int64],
) -> _Chosen:
    from covidjax.classify.figures import saliency_sheets  # imports matplotlib

    probabilities = np.asarray(tested["probabilities"])
    telling = saliency_sheets.telling_rows(labels, probabilities, tested["threshold"], EXAMPLES)
    order = np.random.default_rng(config.seed).permutation(len(labels))
    classes = list(enumerate(TASKS[config.task].classes))
    return _Chosen(
        telling,
        order[:IMAGES],
        {name: order[labels[order] == number][:OF_A_CLASS] for number, name in classes},
        {name: order[calls[order] == number][:OF_A_CLASS] for number, name in classes},
    )


def _explained(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    networks: Networks,
    targets: NDArray[np.int64],
    chosen: _Chosen,
) -> tuple[Maps, Maps, NDArray[np.float64]]:
    """Grad-CAM and occlusion maps, and the correlations of the randomization check."""
    maps: Maps = {}
    covered: Maps = {}
    alike = np.array([])
    explain, occlude = maps_of.explain(config), maps_of.occlude(config)
    for number in np.unique(tested["network"]).tolist():
        members = networks(number)
        own = np.flatnonzero(np.asarray(tested["network"]) == number)
        wanted = np.intersect1d(own, np.concatenate([chosen.measured, chosen.shown]))
        maps |= maps_of.gradcams(explain, members, tested, wanted, targets)
        covered |= maps_of.occlusions(
            occlude, members, tested, np.intersect1d(own, chosen.shown), targets
        )
        if not len(alike):  # of the first fold's first network
            checked = chosen.drawn[:CHECKED]
            alike = saliency.randomization_check(
                classify_check.create_model(config),
                members[0],
                maps_of.images(tested, checked),
                targets[checked],
                seed=config.seed,
            )
    return maps, covered, alike


def _draw(
    config: ml_collections.ConfigDict,
    tested: Mapping[str, Any],
    targets: NDArray[np.int64],
    chosen: _Chosen,
    kinds: Mapping[str, Maps],
    folder: Path,
    phantom: bool,
) -> None:
    """Writes a sheet of examples for each kind of map."""
    from covidjax.classify.figures import saliency_sheets  # imports matplotlib

    classes = TASKS[config.task].classes
    explained = classes[1] if len(classes) == 2 else "the called class"
    titles = {
        "saliency": f"Grad-CAM for {explained}",
        "occlusion": f"occlusion, what speaks for {explained} (bare: nothing)",
    }
    for name, maps in kinds.items():
        saliency_sheets.write_examples(
            folder / "figures" / f"{name}.png",
            {
                kind: [_example(config, tested, row, targets, maps) for row in rows.tolist()]
                for kind, rows in chosen.telling.items()
            },
            title=f"{config.model.name}, {config.task}, seed {config.seed}: {titles[name]}\n"
            "lines at 50 and 80 % of each map's own maximum; dotted: what counts as thorax",
            phantom=phantom,
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
        f"{str(tested['names'][row])[:34]}\nlabeled {classes[tested['labels'][row]]}, "
        f"p({classes[shown]})={tested['probabilities'][row][shown]:.2f}"
    )
    return saliency_plots.Example(maps_of.images(tested, np.array([row]))[0], maps[row], caption)
