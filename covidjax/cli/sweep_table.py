"""The table of a sweep: what each point was, what became of it, and its figures."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from covidjax.locking import temporary
from covidjax.runs import results

Rows = list[dict[str, Any]]
# Splits that nobody chooses by; of a sweep over settings they stay in the points' results.json.
HIDDEN = ("test", "out_of_fold", "external")

# Of each experiment, the ends of the figures that are printed; the file has all.
MAIN = {
    "classify": ("auroc", "balanced_accuracy", "accuracy"),
    "denoise": ("psnr", "ssim"),
}


def row(
    name: str, fields: Mapping[str, Any], known: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """One point: name, state, what was swept, and of a finished one the figures with intervals.

    A denoiser's are its own network's, not those of the methods beside it.
    """
    made: dict[str, Any] = {"point": name, "state": known["state"], **fields}
    made["error"] = known.get("error", "")
    if known["state"] != "finished":
        return made
    found = results.read_results(folder)
    made["seconds"] = found.get("seconds")
    if found.get("data") == "phantom":
        made["data"] = "PHANTOM"
    made["experiment"] = found["experiment"]
    network = f"{found['network']['name']}/" if found["experiment"] == "denoise" else ""
    for split, figures in found.get("splits", {}).items():
        for figure, what in figures.items():
            if figure.startswith(network):
                low, high = what["ci95"] or (None, None)
                key = f"{split}/{figure}"
                made |= {key: what["value"], f"{key}_low": low, f"{key}_high": high}
    return made


def chooses(fields: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the points differ in more than seed and fold, so that somebody will choose one."""
    others = [{k: v for k, v in swept.items() if k not in ("seed", "fold")} for swept in fields]
    return any(other != others[0] for other in others)


def without_tests(rows: Rows) -> Rows:
    """The rows without the figures of anything but validation: what is to be chosen by."""
    return [
        {name: value for name, value in made.items() if name.partition("/")[0] not in HIDDEN}
        for made in rows
    ]


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the rows as CSV, one column for whatever any of them has."""
    with temporary(path) as file:
        pd.DataFrame(list(rows)).to_csv(file, index=False, lineterminator="\n")


def text(rows: Sequence[Mapping[str, Any]], fields: Sequence[Mapping[str, Any]]) -> str:
    """The main figures for the terminal; of a sweep over seeds alone also mean and deviation.

    A sweep over settings shows validation: its figures are there to choose by, and what chooses is
    no test any more. `fields` are what each row's point sets.
    """
    kinds = {made["experiment"] for made in rows if "experiment" in made}
    ends = tuple(end for kind in kinds for end in MAIN.get(kind, ()))
    choosing = chooses(fields)
    names = list(
        dict.fromkeys(name for row in rows for name in row if _is_main(name, ends, choosing))
    )
    cells = [["point", "state", *names]]
    for made in rows:
        cells.append([made["point"], made["state"], *(_figure(made, name) for name in names)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    if any(made.get("data") == "PHANTOM" for made in rows):
        lines.append(results.PHANTOM_WARNING)
    for line in cells:
        pairs = zip(line, widths, strict=True)
        lines.append("  ".join(f"{cell:<{width}}" for cell, width in pairs).rstrip())
    others = [{k: v for k, v in swept.items() if k != "seed"} for swept in fields]
    if all("seed" in swept for swept in fields) and all(other == others[0] for other in others):
        for name in names:
            values = [made[name] for made in rows if made.get(name) is not None]
            if len(values) > 1:
                mean, deviation = statistics.mean(values), statistics.stdev(values)
                lines.append(f"{name}: {mean:.3f} ± {deviation:.3f} over {len(values)} seeds")
    lines += [f"{made['point']}: {made['error']}" for made in rows if made["error"]]
    return "\n".join(lines)


def _is_main(name: str, ends: Sequence[str], choosing: bool) -> bool:
    split, slash, figure = name.partition("/")
    return bool(slash) and (split == "validation") == choosing and figure.split("/")[-1] in ends


def _figure(made: Mapping[str, Any], name: str) -> str:
    value = made.get(name)
    if value is None or math.isnan(value):
        return ""
    low, high = made.get(f"{name}_low"), made.get(f"{name}_high")
    interval = None if low is None or high is None else [low, high]
    return results.shown({"value": value, "ci95": interval})
