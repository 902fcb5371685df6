"""Runs in words: what they were for, which network they had, and lists of things."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from covidjax.classify.model_card import TASK_WORDS
from covidjax.data.noise import NOISES
from covidjax.evidence.predictions import TESTED
from covidjax.report.markdown import Markdown, code, joined, md
from covidjax.runs.config import is_free
from covidjax.runs.folder import Run

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


def names(runs: Iterable[Run]) -> Markdown:
    """The runs' names, as in `a`, `b` and `c`; of many their number and some."""
    each = [code(run.name) for run in runs]
    if len(each) > MOST_NAMED + 2:
        return joined([*each[:MOST_NAMED], f"{len(each) - MOST_NAMED} more"])
    return joined(each)


def listed(parts: Sequence[str]) -> str:
    """Plain text with commas, and "and" before the last part."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def alike(
    runs: Sequence[Run],
    field: str,
    write: Callable[[Any], object] = str,
    without: str = "unknown",
) -> Markdown:
    """A field's value where all runs have it alike, else each value with the runs that have it.

    As in "64", or "64 (`a`, `b`) and 128 (`c`)"; of many runs "64 or 128 (see Settings)".
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        value = run.setting(field)
        found.setdefault(without if value is None else str(write(value)), []).append(run)
    if len(found) == 1:
        return md("{value}", value=next(iter(found)))
    if len(runs) > MOST_NAMED:
        return md("{values} (see Settings)", values=" or ".join(found))
    return joined(
        md("{value} ({runs})", value=value, runs=names(some)) for value, some in found.items()
    )


def number(value: Any) -> str:
    """A setting as it is written: 0.001, 10,000."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def says_where(name: str) -> bool:
    """Whether a field says where things are or how much is printed, which no reader needs."""
    shown = name.startswith(("auto_", "classifier", "evaluate.", "tuner.trials"))
    return not shown and (is_free(name) or name in ("evaluations", "defaults_for"))


def differing(runs: Sequence[Run]) -> list[str]:
    """The fields that not all runs have alike, those of places left out."""
    flat = [run.settings for run in runs]
    fields = sorted(set().union(*flat)) if flat else []
    return [
        name
        for name in fields
        if not says_where(name) and len({_key(one.get(name)) for one in flat}) > 1
    ]


def grouped(runs: Iterable[Run], key: Any) -> dict[Any, list[Run]]:
    """The runs by a key, both in their order."""
    found: dict[Any, list[Run]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return found


def data_key(run: Run) -> tuple[str, str]:
    """What must be the same for two runs to be compared: phantom or not, and the fingerprint."""
    kind = "phantom" if run.phantom else str(run.results.get("data", ""))
    return kind, str(run.data.get("fingerprint", ""))


def same_but_seed(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs of one config with at least two seeds."""

    def key(run: Run) -> str:
        kept = {n: v for n, v in run.settings.items() if n != "seed" and not says_where(n)}
        return _key([kept, data_key(run), run.experiment])

    known = [run for run in runs if run.settings]
    groups = grouped(known, key).values()
    return [some for some in groups if len({run.results.get("seed") for run in some}) > 1]


def duration(seconds: float) -> str:
    """About how long, for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def safe(name: str) -> str:
    """A run's name as a part of a file's name and of a link; two names do not become one."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "run"
    if cleaned == name:
        return name
    return f"{cleaned}-{hashlib.sha256(name.encode()).hexdigest()[:4]}"


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
