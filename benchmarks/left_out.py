"""What distorted validation and a calibration are worth, on a stretch of TRAIN that is left out.

    python -m benchmarks.left_out --archive=archive.zip

Kaggle's TEST is no place to choose anything on. So both ends of every film series of TRAIN, a
stretch as different from the rest as can be had without TEST, stand in for it: `split=official`
leaves them out for validation, and here they are what is tested, with the ends of what remains as
validation. The same network is trained with each number of distorted views (`config.views`) and
each seed; validation chooses its epoch and its threshold. Takes about 2 minutes a run on two cores.
"""

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from covidjax.data import manifest, source, splits
from covidjax.data.table import read_table, task_labels
from covidjax.experiments.commands import path_argument

FRACTION = 0.15  # of TRAIN, left out and again for validation
VIEWS = (3, 0)
FIGURES = ("auroc", "balanced_accuracy", "brier")
CALIBRATION = ("observed_expected", "slope")


def split(archive: Path, task: str) -> tuple[list[splits.Fold], Any]:
    """One fold without TEST: (rest, the rest's ends, TRAIN's ends), and the table."""
    table = read_table(source.resolve("coronahack", "", str(archive), {}).path)
    labels = task_labels(table, task)
    options: dict[str, Any] = {"validation": "shifted", "fraction": FRACTION, "seed": 0}
    [outer] = splits.official(table, labels, **options)
    # Of the official split TEST is hidden, and the left-out stretch stands where it was.
    inside = labels.copy()
    inside[outer.test] = -1
    moved = table.copy()
    moved.loc[moved.index[outer.validation], "kaggle_split"] = "TEST"
    return splits.official(moved, inside, **options), table


def run(archive: Path, folder: Path, task: str, seed: int, views: int, split_csv: Path) -> Any:
    """`results.json` of one run, which goes on where it was stopped."""
    workdir = folder / f"views{views}-seed{seed}"
    command = [sys.executable, "launch.py", f"--config=configs/cnn.py:task={task},seed={seed}"]
    command += [f"--config.data.archive={archive}", f"--config.data.manifest={split_csv}"]
    command += [f"--config.views={views}", "--noconfig.audit", "--noconfig.saliency"]
    command += [f"--workdir={workdir}", "--config.quiet"]
    print(f"views {views}, seed {seed}", file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads((workdir / "results.json").read_text(encoding="utf-8"))


def row(found: Sequence[Any]) -> list[str]:
    """Mean and standard deviation over the seeds of each figure on the left-out stretch."""
    columns = [[result["splits"]["test"][name]["value"] for result in found] for name in FIGURES]
    columns += [
        [result["calibration"][key][name]["value"] for result in found]
        for key in ("before", "after")
        for name in CALIBRATION
    ]
    return [f"{np.mean(column):.3f} ± {np.std(column, ddof=1):.3f}" for column in columns]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.left_out",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--archive", type=path_argument, required=True, help="Kaggle's archive")
    parser.add_argument("--out", type=path_argument, default=Path("runs/left_out"), help="folder")
    parser.add_argument("--task", default="pneumonia", help="a task that Kaggle's TEST has")
    parser.add_argument("--seeds", type=int, default=5, help="2 at least")
    options = parser.parse_args(arguments)
    folds, table = split(options.archive, options.task)
    split_csv = options.out / "left_out.csv"
    options.out.mkdir(parents=True, exist_ok=True)
    manifest.write(split_csv, folds, table, phantom=False)
    found = {
        (views, seed): run(options.archive, options.out, options.task, seed, views, split_csv)
        for seed, views in itertools.product(range(options.seeds), VIEWS)
    }
    names = [name.replace("_", " ") for name in FIGURES]
    names += [
        f"{name.replace('_', ' ')} {key}" for key in ("raw", "calibrated") for name in CALIBRATION
    ]
    print(f"| views | {' | '.join(names)} |\n| ---: |{' --- |' * len(names)}")
    for views in VIEWS:
        cells = row([found[views, seed] for seed in range(options.seeds)])
        print(f"| {views} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
