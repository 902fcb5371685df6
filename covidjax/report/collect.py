"""Which runs there are, and what each one knows: read only, and nothing of it stops the others.

A folder is finished (its `results.json` has the form of the contract), unfinished (a config and no
results: it is going on, or was stopped), damaged, missing, or no run. All but the finished ones are
listed with what is known of them.
"""

import dataclasses
import functools
import glob
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covidjax.runs.fields import flatten
from tfds_coronahack.paths import encodable, expanded

MOST_BYTES = 64 * 2**20  # of a JSON file; ours are far below
TAIL_BYTES = 65_536  # of metrics.jsonl, in which its last lines are looked for
# What reading a file that another hand wrote can raise.
UNREADABLE = (OSError, ValueError, RecursionError)


@dataclasses.dataclass(frozen=True)
class Run:
    """One folder.

    Attributes:
      name: of the folder, unlike all others.
      folder: where it is.
      state: "finished", "unfinished", "damaged", "missing" or "no run".
      note: what is known of one that is not finished, or lacks something.
      results: contents of `results.json`, {} where it is not finished.
      about: contents of `config.json`, {} where there is none.
    """

    name: str
    folder: Path
    state: str
    note: str = ""
    results: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def experiment(self) -> str:
        """classify, denoise, dip, tune, eda, report; "" where it is not known."""
        return str(self.results.get("experiment") or self.setting("experiment", ""))

    @property
    def phantom(self) -> bool:
        """Whether its images are synthetic."""
        data = self.about.get("data")
        kind = data.get("kind", "") if isinstance(data, Mapping) else ""
        return "phantom" in (self.results.get("data"), str(kind).lower())

    def setting(self, name: str, default: Any = None) -> Any:
        """A field of its config, `a.b` for nested ones."""
        return self.settings.get(name, default)

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Its config, flat."""
        config = self.about.get("config")
        return flatten(config) if isinstance(config, Mapping) else {}


def collect(patterns: Sequence[str], without: Path | None = None) -> list[Run]:
    """The runs that paths and patterns such as `runs/*` name, in the order of their names.

    Arguments as `find`.
    """
    found, missing = find(patterns, without)
    return [read(folder, name) for name, folder in found.items()] + missing


def find(patterns: Sequence[str], without: Path | None = None) -> tuple[dict[str, Path], list[Run]]:
    """The folders by the names of their runs, unread, and what is not there.

    Args:
      patterns: a path that is not there, or a pattern that fits nothing, is a missing run.
      without: a folder that is left out: the report's own.
    """
    found: dict[Path, str] = {}
    missing: list[Run] = []
    for pattern in patterns:
        path = expanded(pattern)  # one that is there is no pattern, whatever its name
        paths = [str(path)] if path.exists() else sorted(glob.glob(str(path)), key=natural)
        folders = [path for path in map(Path, paths) if path.is_dir()]
        if not paths:
            missing.append(Run(pattern, Path(pattern), "missing", "nothing is there"))
        elif not folders:
            missing.append(Run(pattern, Path(pattern), "no run", "it is a file, not a folder"))
        for folder in folders:
            if without is None or folder.resolve() != without.resolve():
                found.setdefault(folder.resolve(), str(folder))
    folders = [Path(path) for path in found.values()]
    return dict(zip(unlike(folders), folders, strict=True)), missing


# Folders of a run that hold no other run.
PASSED_OVER = ("checkpoints", "figures", "tables", "tensorboard", "profile")


def looks_at_test(runs: Sequence[Run]) -> int:
    """How many finished runs below the common folder of these have tested on the same TEST.

    Runs that nobody reports have looked too, and may be why the reported ones were chosen. Counted
    are those with the data's fingerprint of one of these runs and figures of the split `test`.
    """
    prints = {_fingerprint(run.about) for run in runs} - {""}
    root = os.path.commonpath([run.folder.resolve().parent for run in runs])
    count = 0
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if name not in PASSED_OVER]
        if "results.json" in files and "config.json" in files:
            about, _ = read_object(Path(folder) / "config.json")
            found, _ = read_object(Path(folder) / "results.json")
            splits = found.get("splits")
            tested = isinstance(splits, Mapping) and "test" in splits
            count += tested and _fingerprint(about) in prints
    return count


def _fingerprint(about: Mapping[str, Any]) -> str:
    data = about.get("data")
    return str(data.get("fingerprint") or "") if isinstance(data, Mapping) else ""


def natural(text: str) -> list[tuple[int, str]]:
    """A key by which run-2 comes before run-10."""
    parts: list[str] = []
    for character in text:
        if parts and character.isdigit() == parts[-1][-1].isdigit():
            parts[-1] += character
        else:
            parts.append(character)
    return [(int(p), "") if p.isdecimal() and p.isascii() else (-1, p) for p in parts]


def unlike(folders: Sequence[Path]) -> list[str]:
    """The last parts of each path that tell it from the others."""
    parts = [folder.resolve().parts for folder in folders]
    names = []
    for place, own in enumerate(parts):
        others = parts[:place] + parts[place + 1 :]
        count = 1
        while count < len(own) and any(own[-count:] == other[-count:] for other in others):
            count += 1
        names.append(encodable("/".join(own[-count:])))
    return names


def read(folder: Path, name: str) -> Run:
    """What is known of one folder."""
    about, wrong = read_object(folder / "config.json")
    if not isinstance(about.get("config", {}), Mapping):
        about, wrong = {}, "config.json is damaged: its config is no object"
    path = folder / "results.json"
    if path.exists():
        results, problem = read_object(path)
        problem = problem or misshapen(results)
        if problem:
            return Run(name, folder, "damaged", problem, about=about)
        return Run(name, folder, "finished", wrong, results, about)
    if not about and not wrong:
        return Run(name, folder, "no run", "neither config.json nor results.json are there")
    if not about:
        return Run(name, folder, "damaged", wrong)
    return Run(name, folder, "unfinished", progress(folder), about=about)


def misshapen(results: Mapping[str, Any]) -> str:
    """Why contents of `results.json` are not of the contract's form, "" where they are."""
    for key, kind in (("experiment", str), ("data", str), ("splits", dict)):
        if not isinstance(results.get(key), kind):
            return f"results.json is damaged: its {key} is missing or wrong"
    for split, figures in results["splits"].items():
        if not isinstance(figures, dict):
            return f"results.json is damaged: splits.{split} is no object"
        for name, figure in figures.items():
            if not is_figure(figure):
                return f"results.json is damaged: splits.{split}.{name} is no figure"
    return ""


def is_figure(value: Any) -> bool:
    """Whether it is {"value": number or null, "ci95": two numbers or null, "n": ...}."""
    if not isinstance(value, Mapping) or not {"value", "ci95"} <= value.keys():
        return False
    interval = value["ci95"]
    whole = interval is None or (
        isinstance(interval, list) and len(interval) == 2 and all(map(_number, interval))
    )
    return whole and (value["value"] is None or _number(value["value"]))


def progress(folder: Path) -> str:
    """How far a run without results has come, from the end of its `metrics.jsonl`."""
    path = folder / "metrics.jsonl"
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        changed = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(path.stat().st_mtime))
    except OSError:
        return "no results yet, and nothing was logged"
    for line in reversed(lines):
        try:
            last = json.loads(line)
        except UNREADABLE:
            continue  # the line that is being written
        if isinstance(last, dict) and "step" in last:
            empty = [name for name, value in last.items() if value is None]
            failed = f"; {', '.join(empty)} not finite: it diverged" if empty else ""
            return f"no results yet; last line at step {last['step']}, {changed}{failed}"
    return f"no results yet; nothing readable was logged, last change {changed}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_object(path: Path) -> tuple[dict[str, Any], str]:
    """A JSON object and "", or {} and what is wrong; {} and "" where there is no file."""
    if not path.exists():
        return {}, ""
    try:
        if path.stat().st_size > MOST_BYTES:
            return {}, f"{path.name} is damaged: larger than {MOST_BYTES // 2**20} MiB"
        found = json.loads(path.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        return {}, f"{path.name} is damaged: {error}"
    return (found, "") if isinstance(found, dict) else ({}, f"{path.name} is damaged: no object")
