"""A run as it is read again: its two JSON files, its networks, and whether it is finished.

`look` takes whatever is there and raises nothing: a folder is finished (its `results.json` has the
form of the contract), unfinished (a config and no results: it is running, or was stopped), damaged,
missing, or no run. `read` is for those who need a finished run of one experiment, and says in one
line why a folder is none.
"""

import dataclasses
import functools
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_collections
from numpy.typing import NDArray

from covidjax.runs.flat import flatten
from covidjax.training import saved
from tfds_coronahack.paths import expanded, readable

MOST_BYTES = 64 * 2**20  # of a JSON file; ours are far below
TAIL_BYTES = 65_536  # of metrics.jsonl, in which its last lines are looked for
# What reading a file that another hand wrote can raise.
UNREADABLE = (OSError, ValueError, RecursionError)

Variables = Mapping[str, Any]


class RunError(ValueError):
    """A folder whose run cannot be used; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One folder.

    Attributes:
      name: of the folder, unlike all others that are looked at together.
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
        return "phantom" in (self.results.get("data"), str(self.data.get("kind", "")).lower())

    @property
    def data(self) -> Mapping[str, Any]:
        """What `config.json` says of the data: kind, fingerprint, archive, split."""
        data = self.about.get("data")
        return data if isinstance(data, Mapping) else {}

    @property
    def config(self) -> ml_collections.ConfigDict:
        """Its config, as it was resolved."""
        return ml_collections.ConfigDict(dict(self.about.get("config", {})))

    def setting(self, name: str, default: Any = None) -> Any:
        """A field of its config, `a.b` for nested ones."""
        return self.settings.get(name, default)

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Its config, flat."""
        config = self.about.get("config")
        return flatten(config) if isinstance(config, Mapping) else {}


def look(folder: Path, name: str = "") -> Run:
    """What is known of a folder, whatever it is; `name` is what to call it."""
    name = name or folder.name
    about, wrong = read_object(folder / "config.json")
    parts = (about.get("config", {}), about.get("data", {}))
    if not all(isinstance(part, Mapping) for part in parts):
        about, wrong = {}, "config.json is damaged: its config or data is no object"
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


def read(folder: Path | str, experiment: str = "") -> Run:
    """A finished run.

    Args:
      folder: its workdir; ~ is somebody's home folder.
      experiment: the only one that will do; default any.

    Raises:
      RunError: no such folder, no finished run of that experiment in it, or damaged files.
    """
    folder = expanded(folder)
    run = look(folder)
    if run.state == "no run":
        raise RunError(f"{folder} holds no run: it has no config.json")
    if run.state == "unfinished":
        raise RunError(
            f"the run in {folder} is not finished; launch.py with its --workdir resumes it"
        )
    if run.state != "finished" or run.note:
        raise RunError(f"{folder}: {run.note}")
    if "config" not in run.about:
        raise RunError(f"{folder}: config.json is damaged or missing: it holds no config")
    if experiment and run.experiment != experiment:
        raise RunError(f"{folder} holds a run of {run.experiment}, not of {experiment}")
    return run


def networks(run: Run) -> list[str]:
    """Its networks, "" where there is one; folds and members in order. None: no checkpoints."""
    return saved.network_names(saved.root(run.config, run.folder))


def read_network(run: Run, name: str) -> dict[str, NDArray[Any]]:
    """The `params` and `batch_stats` that the run evaluated: `config.select`, best or last.

    Raises:
      RunError: the checkpoint is missing or damaged.
    """
    kept = saved.root(run.config, run.folder) / name
    try:
        os.fspath(kept).encode()  # what tensorstore wants
        return saved.read_evaluated(kept, run.setting("select", "best"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise unreadable(run, name, error) from error


def unreadable(run: Run, name: str, error: Exception) -> RunError:
    """The error of a network whose checkpoint cannot be used."""
    kept = saved.root(run.config, run.folder) / name
    reason = " ".join(str(error).split())[:300]
    return RunError(f"the checkpoint {readable(kept)} cannot be read: {reason}")


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
