"""Checkpoints as they lie in a folder: where they are, and how they are read without a train state.

Whatever devices and processes they were saved from, they are read as NumPy arrays.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from tfds_coronahack.paths import expanded, readable

Folder = os.PathLike[str]


def absolute(folder: Folder | str) -> epath.Path:
    """The folder as orbax wants it; an address such as gs://BUCKET/FOLDER stays as it is."""
    text = os.fspath(folder)
    return epath.Path(text if "://" in text else expanded(text).absolute())


def check_place(folder: Folder) -> None:
    """Raises ValueError where checkpoints in the folder could not be read again.

    Orbax takes the path of what it has written for a pattern, so that it would find nothing, or the
    files of a folder beside; and tensorstore wants UTF-8 and takes a backslash for a slash.
    """
    text = os.fspath(folder)
    if found := [character for character in "[*?\\" if character in text]:
        raise ValueError(f"checkpoints cannot be kept in {text}, for the {found[0]} in its name")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"checkpoints cannot be kept in {readable(text)}, whose name is not UTF-8"
        ) from error


def root(config: ml_collections.ConfigDict, workdir: Path) -> epath.Path:
    """Where a run's checkpoints are: in `config.checkpoint_dir`, or below its workdir."""
    return absolute(config.get("checkpoint_dir") or workdir / "checkpoints")


def network_names(folder: Folder) -> list[str]:
    """The networks of a run whose `checkpoints` folder this is, folds and members in order.

    "" where there is one without a name, none where there are no checkpoints.
    """
    root = epath.Path(folder)
    if (root / "best").is_dir():
        return [""]
    if not root.is_dir():
        return []
    names = (path.name for path in root.iterdir() if (path / "best").is_dir())
    return sorted(names, key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])


def read_evaluated(folder: Folder, select: str) -> dict[str, Any]:
    """The `params` and `batch_stats` that a finished run evaluated, as NumPy arrays.

    Needs no train state, writes nothing, and does not ask what devices they were saved from.

    Args:
      folder: of one network, which `Checkpoints` was given.
      select: "best" or "last", the run's `config.select`.

    Raises:
      OSError, KeyError, ValueError: missing or damaged.
    """
    kept = absolute(folder)
    steps = ocp.utils.checkpoint_steps(kept / "last") if (kept / "last").is_dir() else []
    if not steps:
        raise FileNotFoundError(f"there is no checkpoint in {kept / 'last'}")
    last = kept / "last" / str(max(steps))
    if select == "last":
        held = as_numpy(last / "state")
        return {"params": held["ema_params"], "batch_stats": held["ema_batch_stats"]}
    step = ocp.JsonCheckpointHandler().restore(last / "progress")["best_step"]
    return as_numpy(kept / "best" / str(step) / "default")


def read_whole(path: epath.Path, step: int, best: epath.Path) -> bool:
    """Reads all of a checkpoint, of whatever processes, and the best one that it names.

    Returns:
      False where that is the same step's, whose averages are here, and cannot be read.

    Raises:
      Exception: of many kinds, where something else is missing or damaged.
    """
    as_numpy(path / "state")
    for facts in (path / "state" / "array_metadatas").iterdir():  # which only a real restore reads
        json.loads(facts.read_text())
    position(path)
    named = ocp.JsonCheckpointHandler().restore(path / "progress")["best_step"]
    if named < 0:
        return True
    try:
        as_numpy(best / str(named) / "default")
    except Exception:
        if named != step:
            raise
        return False
    return True


def position(path: epath.Path) -> dict[str, Any]:
    """The state of the data's iterator."""
    if (path / "position").exists():
        return ocp.JsonCheckpointHandler().restore(path / "position")
    # Of runs before there were several processes: grain's own file.
    return json.loads((path / "batches" / "process_0-of-1.json").read_text())


def as_numpy(path: Folder) -> dict[str, Any]:
    """What a checkpoint holds, whatever devices it was saved from."""
    handler = ocp.StandardCheckpointHandler()
    found = handler.metadata(path).tree
    arrays = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), found)
    return handler.restore(path, args=ocp.args.StandardRestore(arrays))
