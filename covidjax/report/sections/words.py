"""Runs in words: what they were for, which network they had, and lists of things."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from covidjax.classify.model_card import TASK_WORDS
from covidjax.data.noise import NOISES
from covidjax.evidence.predictions import TESTED
from covidjax.report.document import Mark, Spans, plain
from covidjax.runs.folder import Run
from covidjax.runs.workdir import FREE_FIELDS

NETWORKS = {
    "cnn": "CNN",
    "resnet": "ResNet",
    "unet": "U-Net",
    "dncnn": "DnCNN",
    "bottleneck": "bottleneck autoencoder",
    "hourglass": "skip hourglass",
    "deep_decoder": "deep decoder",
}
METHODS = {
    "noisy": "noisy, clipped",
    "input": "input",
    "gaussian": "Gaussian filter",
    "median": "median filter",
    "tv": "total variation",
    "nl_means": "non-local means",
    "wavelet": "wavelet",
    "bm3d": "BM3D",
    "bm3d_fast": "BM3D, fast",
    "dip": "Deep Image Prior",
    "dip_ensemble": "Deep Image Prior, mean of fits",
}
SPLITS = {
    "test": "Kaggle's TEST",
    "out_of_fold": "grouped cross-validation",
    "validation": "validation",
    "external": "external films",
}
# Fields that say where things are or how much is printed.
PLACES = (
    *(name for name in FREE_FIELDS if name != "tuner.trials" and not name.startswith("auto_")),
    *("evaluations", "defaults_for"),
)
MOST_NAMED = 4  # runs in a sentence


def network(run: Run) -> str:
    """ResNet-18 at 64 px."""
    name = str(run.setting("model.name", "network"))
    depth, size = run.setting("model.depth"), run.setting("data.size")
    deep = f"-{depth}" if name == "resnet" and depth else ""
    several = run.setting("members", 1) if run.experiment == "classify" else 1
    mean = f", mean of {several}" if isinstance(several, int) and several > 1 else ""
    return f"{NETWORKS.get(name, name)}{deep}{f' at {size} px' if size else ''}{mean}"


def method(name: str) -> str:
    """A denoising method's name, of results.json, for readers."""
    base, _, other = name.partition("_minus_")
    if other:
        return f"{method(base)} minus {method(other)}"
    base = name.removeprefix("dae_")
    return METHODS.get(name) or NETWORKS.get(base, base.replace("_", " "))


def task(name: str) -> str:
    """A task's name in a sentence."""
    return TASK_WORDS.get(name, name.replace("_", " "))


def first_large(text: str) -> str:
    """Text as it begins a sentence; names in it stay as they are."""
    return text[:1].upper() + text[1:]


def counted(n: int, what: str) -> str:
    """As in "1 image" and "2 images"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def level_unit(kind: str) -> str:
    """The unit of a noise's level."""
    return NOISES[kind].unit if kind in NOISES else "level"


def tested(run: Run) -> str:
    """The split of a classifier that chose nothing; "" where it has none."""
    return next((name for name in TESTED if name in run.results.get("splits", {})), "")


def names(runs: Iterable[Run]) -> Spans:
    """The runs' names, as in `a`, `b` and `c`; of many their number and some."""
    all_of_them = [(Mark("code", run.name),) for run in runs]
    if len(all_of_them) > MOST_NAMED + 2:
        left = len(all_of_them) - MOST_NAMED
        return joined([*all_of_them[:MOST_NAMED], (f"{left} more",)])
    return joined(all_of_them)


def joined(parts: Sequence[Spans]) -> Spans:
    """The parts with commas, and "and" before the last."""
    spans: list[str | Mark] = []
    for place, part in enumerate(parts):
        if place:
            spans.append(" and " if place == len(parts) - 1 else ", ")
        spans.extend(part)
    return tuple(spans)


def listed(parts: Sequence[str]) -> str:
    """As `joined`, of text."""
    return plain(joined([(part,) for part in parts]))


def alike(runs: Sequence[Run], field: str, write: Any = str, without: str = "not known") -> Spans:
    """A field's value where all runs have it alike, else each value with the runs that have it.

    As in "64", or "64 (`a`, `b`) and 128 (`c`)"; of many runs "64 or 128 (Table 7)", the table of
    their settings.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        value = run.setting(field)
        found.setdefault(without if value is None else write(value), []).append(run)
    if len(found) == 1:
        return (next(iter(found)),)
    if len(runs) > MOST_NAMED:
        table = Mark("ref", f"settings-{runs[0].experiment}")
        return (" or ".join(found), " (", table, ")")
    return joined([(f"{text} (", *names(some), ")") for text, some in found.items()])


def differing(runs: Sequence[Run]) -> list[str]:
    """The fields that not all runs have alike, those of places left out."""
    flat = [run.settings for run in runs]
    fields = sorted(set().union(*flat)) if flat else []
    return [
        name
        for name in fields
        if name not in PLACES and len({_key(one.get(name)) for one in flat}) > 1
    ]


def grouped(runs: Iterable[Run], key: Any) -> dict[Any, list[Run]]:
    """The runs by a key, both in their order."""
    found: dict[Any, list[Run]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return found


def data_key(run: Run) -> tuple[str, str]:
    """What must be the same for two runs to be compared: phantom or not, and the fingerprint."""
    data = run.about.get("data")
    seen = str(data.get("fingerprint", "")) if isinstance(data, Mapping) else ""
    return ("phantom" if run.phantom else str(run.results.get("data", "")), seen)


def same_but_seed(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs of one config with at least two seeds."""

    def key(run: Run) -> str:
        kept = {n: v for n, v in run.settings.items() if n != "seed" and n not in PLACES}
        return _key([kept, data_key(run), run.experiment])

    known = [run for run in runs if run.settings]
    groups = grouped(known, key).values()
    return [some for some in groups if len({run.results.get("seed") for run in some}) > 1]


def duration(seconds: float) -> str:
    """About how long, for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
