"""A run's folder: who may write to it, and what the run was."""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import ml_collections
from etils import epath

from covidjax import locking
from covidjax.data import source
from covidjax.runs import results
from covidjax.runs.config import is_free
from covidjax.runs.flat import flatten
from covidjax.training import hosts, saved

PACKAGES = [
    *("covidjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain"),
    *("tensorflow-datasets", "numpy", "scikit-learn", "opencv-python-headless", "pillow"),
    "optuna",
]
WITH_CHECKPOINTS = ("classify", "denoise", "tune")
SEEN_SECONDS = 10.0  # for a file of another host's to appear on a shared disk
JOIN_TRIES = 100  # a tenth of a second apart


class WorkdirError(ValueError):
    """The folder is another run's, or in use; the message says what to do."""


@contextmanager
def claim(
    workdir: Path,
    config: ml_collections.ConfigDict,
    prepared: source.Prepared,
    split: str,
    external: str = "",
) -> Iterator[bool]:
    """Makes the folder this run's, and holds it while the block runs.

    Writes `config.json`. Yields True where the run is finished already. Of several processes the
    coordinator does this; the others wait for what it finds, and must see the folder too unless
    checkpoints go somewhere else.

    Args:
      workdir: the folder, made where missing.
      config: resolved.
      prepared: the data.
      split: hash of who is trained on and who is tested.
      external: hash of the images of `config.external`, "" without.

    Raises:
      WorkdirError: the folder holds something else, a run with another config, or a run that is
        going on.
    """
    _check_checkpoints_place(config, workdir)
    if not hosts.is_coordinator():
        finished = hosts.share(None)
        if not config.get("checkpoint_dir"):
            _check_seen(workdir)
        yield finished
        return
    _check_is_run(workdir)
    described = describe(config, prepared, split, external)
    with locking.try_exclusive(workdir / ".lock") as held:
        if not held:
            raise WorkdirError(f"another process is running in --workdir={workdir}")
        _write_or_check(workdir, described)
        if config.get("checkpoint_dir"):
            _mark_checkpoints(saved.absolute(config.checkpoint_dir), described)
        yield hosts.share((workdir / "results.json").exists())


def _check_seen(workdir: Path) -> None:
    """Raises WorkdirError where the coordinator's folder is not on this machine."""
    until = time.monotonic() + SEEN_SECONDS
    while not (workdir / "config.json").exists():
        if time.monotonic() > until:
            raise WorkdirError(
                f"process {jax.process_index()} on {platform.node()} does not see the "
                f"coordinator's --workdir={workdir.absolute()}: give a folder that all hosts "
                "share, or --config.checkpoint_dir=gs://BUCKET/FOLDER"
            )
        time.sleep(0.1)


def join(
    workdir: Path, config: ml_collections.ConfigDict, prepared: source.Prepared, split: str
) -> None:
    """Makes the folder that of one run by several processes: `claim` without the holding.

    The lock is held only while `config.json` is written or compared. Who then does what is the
    experiment's affair.

    Raises:
      WorkdirError: as `claim`.
    """
    _check_checkpoints_place(config, workdir)
    _check_is_run(workdir)
    described = describe(config, prepared, split)
    for _ in range(JOIN_TRIES):
        with locking.try_exclusive(workdir / ".lock") as held:
            if held:
                return _write_or_check(workdir, described)
        time.sleep(0.1)
    raise WorkdirError(f"another process is running in --workdir={workdir}")


def _check_checkpoints_place(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Raises WorkdirError where checkpoints would be written and could not be read again."""
    if config.get("experiment") not in WITH_CHECKPOINTS:
        return
    setting = "config.checkpoint_dir" if config.get("checkpoint_dir") else "workdir"
    try:
        saved.check_place(saved.root(config, workdir))
    except ValueError as error:
        raise WorkdirError(f"--{setting}: {error}; choose another folder") from error


def _check_is_run(workdir: Path) -> None:
    """Raises WorkdirError where the folder is neither new nor a run's."""
    path = workdir / "config.json"
    if workdir.exists() and not workdir.is_dir():
        raise WorkdirError(f"--workdir={workdir} is a file; choose a folder")
    # A kill before config.json was there leaves the lock and its unfinished copy.
    ours = re.compile(r"\.lock|\.config\.json\..*\.tmp")
    if (
        workdir.exists()
        and not path.exists()
        and any(not ours.fullmatch(entry.name) for entry in workdir.iterdir())
    ):
        raise WorkdirError(
            f"--workdir={workdir} holds files but no run (no config.json); choose another folder"
        )


def _write_or_check(workdir: Path, described: Mapping[str, Any]) -> None:
    """Writes `config.json`, or where it is there compares. Needs the folder's lock."""
    path = workdir / "config.json"
    if path.exists():
        check_same(workdir, _read(path), described)
    else:
        results.write_results(path, described)


def _mark_checkpoints(folder: epath.Path, described: Mapping[str, Any]) -> None:
    """Puts `config.json` beside checkpoints outside of the workdir, or compares with it.

    So a run whose workdir is lost with its machine is resumed in a new one, and no other run does.
    """
    path = folder / "config.json"
    if path.exists():
        check_same(folder, json.loads(path.read_text()), described, "config.checkpoint_dir")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(results.as_json(described))


def describe(
    config: ml_collections.ConfigDict, prepared: source.Prepared, split: str, external: str = ""
) -> dict[str, Any]:
    """The contents of `config.json`."""
    return {
        "config": json.loads(config.to_json()),
        "data": {
            "kind": "PHANTOM" if prepared.kind == "phantom" else prepared.kind,
            "fingerprint": prepared.fingerprint,
            "archive": prepared.report["archive"],
            "split": split,
            "external": external,
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "git_revision": _git_revision(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "machine": f"{platform.system()} {platform.machine()}",
    }


def decisive(config: ml_collections.ConfigDict) -> dict[str, str]:
    """The fields that decide the result, as text; the processes of a run must agree on them."""
    fields = flatten(config.to_dict())
    return {f"config.{name}": str(fields[name]) for name in fields if not is_free(name)}


# Fields that a run of an earlier version lacks, and what it does with them now.
LATER_FIELDS = {"accumulate": 1, "calibration": "platt"}
# Fields that only a run of an earlier version has, and that nothing depends on any more.
GONE_FIELDS = ("views",)


def check_same(
    workdir: os.PathLike[str],
    saved: Mapping[str, Any],
    now: Mapping[str, Any],
    setting: str = "workdir",
) -> None:
    """Raises WorkdirError where the saved run would give other figures."""
    after = flatten(now["config"])
    before: dict[str, Any] = {name: LATER_FIELDS[name] for name in LATER_FIELDS if name in after}
    before |= flatten(saved["config"])
    before = {name: value for name, value in before.items() if name not in GONE_FIELDS}
    for one, other in ((before, saved), (after, now)):
        for fact in ("fingerprint", "split", "external"):
            one[f"the data's {fact}"] = str(other["data"].get(fact) or "none")[:16]
    changed = [
        f"{name}: {before.get(name, 'missing')} there, {after.get(name, 'missing')} now"
        for name in sorted(before.keys() | after.keys())
        if not is_free(name) and before.get(name) != after.get(name)
    ]
    if changed:
        shown = "; ".join(changed[:4]) + (f"; and {len(changed) - 4} more" if changed[4:] else "")
        raise WorkdirError(
            f"--{setting}={workdir} holds a run with another config ({shown}); "
            "choose another folder, or give that config to resume"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(saved[part], dict) for part in ("config", "data")):
            raise ValueError("it is not a run's")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WorkdirError(f"{path} is damaged ({error}); choose another --workdir") from error
    return saved


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _git_revision() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
