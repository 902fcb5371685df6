"""Folds that were trained as runs of their own, brought together into one cross-validation.

`config.folds_from=FOLDER` with `fold=all` takes the networks of FOLDER/fold0, fold1, ... instead of
training them; prediction, evidence and results follow as in any run. Each of these runs must have
the same config but for `fold`, the same data, and the same patients in each part.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import ml_collections
import pandas as pd

from covidjax import locking
from covidjax.data import manifest, source
from covidjax.data.splits import Fold
from covidjax.runs import workdir
from covidjax.runs.folder import look
from tfds_coronahack.paths import expanded


def check(
    config: ml_collections.ConfigDict,
    folds: Sequence[Fold],
    table: pd.DataFrame,
    prepared: source.Prepared,
) -> None:
    """Raises ValueError, one line, where the runs are not all there, finished, and of one kind."""
    for fold in folds:
        folder = _folder(config, fold)
        setting = f"config.folds_from={config.folds_from}: {folder}"
        run = look(folder)
        if run.state == "unfinished":
            raise ValueError(f"{setting} is not finished")
        if run.state != "finished" or not (run.about.get("config") and run.data):
            raise ValueError(f"{setting} holds no run of {fold.name} ({run.note or 'damaged'})")
        if not (folder / "checkpoints").is_dir():
            place = run.setting("checkpoint_dir") or "nowhere"
            raise ValueError(
                f"{setting} has its checkpoints in {place}: copy them to {folder / 'checkpoints'}"
            )
        now = {
            "config": json.loads(config.to_json()) | {"fold": str(fold.number)},
            "data": {
                "fingerprint": prepared.fingerprint,
                "split": manifest.digest([fold], table),
                "external": run.data.get("external"),  # of the merged run alone
            },
        }
        workdir.check_same(folder, run.about, now, "config.folds_from")


def gather(config: ml_collections.ConfigDict, folds: Sequence[Fold], folder: Path) -> None:
    """Brings the checkpoints and the figures of training into a workdir that has none.

    Files are linked where the file system can, else copied; nothing is written into them.
    """
    lines = []
    for fold in folds:
        run = _folder(config, fold)
        for network in sorted((run / "checkpoints").iterdir()):
            target = folder / "checkpoints" / network.name
            if target.exists():
                continue
            unfinished = target.with_name(f".{network.name}.tmp")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(network, unfinished, copy_function=_link)
            unfinished.rename(target)
        if (run / "metrics.jsonl").exists():
            lines.append((run / "metrics.jsonl").read_text(encoding="utf-8"))
    if not (folder / "metrics.jsonl").exists():
        with locking.temporary(folder / "metrics.jsonl") as file:
            file.write("".join(lines).encode())


def _folder(config: ml_collections.ConfigDict, fold: Fold) -> Path:
    return expanded(config.folds_from) / (fold.name or "fold0")


def _link(source_file: str, target: str) -> None:
    try:
        os.link(source_file, target)
    except OSError:
        shutil.copy2(source_file, target)
