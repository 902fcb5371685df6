"""What the local page asks for: the list of runs, and what is new in one's `metrics.jsonl`."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covidjax.report import words
from covidjax.report.tables import shown
from covidjax.runs.folder import Run

MOST_BYTES = 1 << 20  # of metrics.jsonl in one answer; the page asks for the rest
GOING_ON = 600.0  # seconds since the last line within which a run counts as going on
PAGES = ("report.html", "eda.html", "model_card.md", "results.json", "config.json")
HEADLINES = {"auroc": "AUROC", "psnr": "PSNR"}


def listing(runs: Sequence[Run], patterns: Sequence[str]) -> dict[str, Any]:
    """All runs with their states, the last changed first."""
    found = [_described(run) for run in runs]
    found.sort(key=lambda one: -(one["changed"] or 0.0))
    return {"patterns": list(patterns), "now": time.time(), "runs": found}


def _described(run: Run) -> dict[str, Any]:
    changed = _changed(run.folder)
    state = run.state
    if state == "unfinished":
        going_on = changed is not None and time.time() - changed < GOING_ON
        state = "in progress" if going_on else "stopped"
    figures = sorted(path.name for path in _files(run.folder / "figures") if path.suffix == ".png")
    return {
        "name": run.name,
        "experiment": run.experiment,
        "task": str(run.results.get("task") or run.setting("task", "") or ""),
        "network": words.network(run) if run.setting("model.name") else "",
        "phantom": run.phantom,
        "state": state,
        "note": run.note,
        "headline": headline(run),
        "changed": changed,
        "pages": [name for name in PAGES if (run.folder / name).is_file()],
        "figures": figures if run.state == "finished" else [],
    }


def headline(run: Run) -> str:
    """The figure that a run is first asked for: AUROC, or PSNR; "" where it has none yet."""
    name = str(run.results.get("network", {}).get("name", ""))
    for split in ("test", "out_of_fold", "validation"):
        for key, figure in run.results.get("splits", {}).get(split, {}).items():
            method, _, last = key.rpartition("/")
            own = not method or method.partition("/")[0] in (name, "dip", "best")
            if own and last in HEADLINES:
                about = f" ({split.replace('_', ' ')}{method and f', {method}'})"
                digits = 2 if last == "psnr" else 3
                return f"{HEADLINES[last]} {shown(figure, digits)}{about}"
    return ""


def metrics(run: Run, offset: int) -> dict[str, Any]:
    """The lines of `metrics.jsonl` from a byte on, whole ones alone.

    Returns:
      {"lines": objects of texts and finite numbers, "next": the byte to go on from, "more": whether
      there is more already, "again": whether the file has become shorter, and what the page holds
      of it must go}.
    """
    lines: list[dict[str, Any]] = []
    try:
        with (run.folder / "metrics.jsonl").open("rb") as file:
            size = file.seek(0, 2)
            again = offset > size
            start = 0 if again else offset
            file.seek(start)
            data = file.read(MOST_BYTES)
    except OSError:
        return {"lines": [], "next": 0, "more": False, "again": offset > 0}
    whole = data[: data.rfind(b"\n") + 1]
    if not whole and len(data) == MOST_BYTES:
        whole = data  # a line that long is none of ours: go on behind it
    for line in whole.splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, Mapping):
            lines.append(_plain(found))
    following = start + len(whole)
    more = bool(whole) and following < size
    return {"lines": lines, "next": following, "more": more, "again": again}


def _plain(line: Mapping[str, Any]) -> dict[str, Any]:
    """Texts and finite numbers of a line; what is not finite becomes null."""
    found: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        if value is None or isinstance(value, str | int | float):
            found[name] = value
    return found


def _changed(folder: Path) -> float | None:
    """When a run last wrote something that counts, in seconds since 1970."""
    times = []
    for name in ("results.json", "metrics.jsonl", "config.json"):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []
