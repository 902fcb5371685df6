"""What a setting is worth, measured on a stretch of TRAIN that is left out: nothing looks at TEST.

    python -m benchmarks.left_out --archive=archive.zip --vary=label_smoothing=0.1,0

Nothing may be chosen on Kaggle's TEST. The lowest and the highest film numbers of every series in
TRAIN stand in for it: they differ as much from the rest as anything can without TEST.
`split=official` holds them out for validation; here they are tested, and the ends of what remains
are the validation part. The CNN is trained with each value of the field and each seed, and a table
has the mean and standard deviation over the seeds on that stretch. A run takes 2 minutes on two
cores, and the same command goes on where it was stopped.
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

from covidjax.cli.commands import path_argument
from covidjax.data import manifest, source, splits
from covidjax.data.table import read_table, task_labels

FRACTION = 0.15  # of TRAIN, left out and again for validation
RANKING = ("auroc", "balanced_accuracy", "accuracy")
HONESTY = ("brier", "log_loss", "observed_expected", "intercept", "slope")


def split(archive: Path, task: str) -> tuple[list[splits.Fold], Any]:
    """One fold without TEST: (rest, the rest's ends, TRAIN's ends), and the table."""
    table = read_table(source.resolve("coronahack", "", str(archive)).path)
    labels = task_labels(table, task)
    options: dict[str, Any] = {"validation": "shifted", "fraction": FRACTION, "seed": 0}
    [outer] = splits.official(table, labels, **options)
    labels[outer.test] = -1  # hidden, and the left-out stretch stands where it was
    moved = table.copy()
    moved.loc[moved.index[outer.validation], "kaggle_split"] = "TEST"
    return splits.official(moved, labels, **options), table


def run(archive: Path, folder: Path, task: str, seed: int, setting: str, split_csv: Path) -> Any:
    """`results.json` of one run."""
    workdir = folder / f"{setting}-seed{seed}"
    command = [sys.executable, "launch.py", f"--config=configs/cnn.py:task={task},seed={seed}"]
    command += [f"--config.data.archive={archive}", f"--config.data.manifest={split_csv}"]
    command += [f"--config.{setting}", "--noconfig.audit", "--noconfig.saliency"]
    command += [f"--workdir={workdir}", "--config.quiet"]
    print(f"{setting}, seed {seed}", file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads((workdir / "results.json").read_text(encoding="utf-8"))


def row(found: Sequence[Any]) -> list[str]:
    """Mean and standard deviation over the seeds of each figure on the left-out stretch."""
    columns = [[one["splits"]["test"][name]["value"] for one in found] for name in RANKING]
    columns += [[one["calibration"]["after"][name]["value"] for one in found] for name in HONESTY]
    return [f"{np.mean(column):.3f} ± {np.std(column, ddof=1):.3f}" for column in columns]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.left_out",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--archive", type=path_argument, required=True, help="Kaggle's archive")
    parser.add_argument("--vary", required=True, help="FIELD=VALUE,VALUE,... of the config")
    parser.add_argument("--out", type=path_argument, default=Path("runs/left_out"), help="folder")
    parser.add_argument("--task", default="pneumonia", help="a task that Kaggle's TEST has")
    parser.add_argument("--seeds", type=int, default=5, help="2 at least")
    options = parser.parse_args(arguments)
    field, _, values = options.vary.partition("=")
    settings = [f"{field}={value}" for value in values.split(",") if value]
    if not settings or options.seeds < 2:
        parser.error("give --vary=FIELD=VALUE,VALUE and two seeds at least")
    folds, table = split(options.archive, options.task)
    options.out.mkdir(parents=True, exist_ok=True)
    split_csv = options.out / "left_out.csv"
    manifest.write(split_csv, folds, table)
    found = {
        (setting, seed): run(options.archive, options.out, options.task, seed, setting, split_csv)
        for seed, setting in itertools.product(range(options.seeds), settings)
    }
    names = [name.replace("_", " ") for name in (*RANKING, *HONESTY)]
    print(f"| {field} | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
    for setting in settings:
        cells = row([found[setting, seed] for seed in range(options.seeds)])
        print(f"| {setting.partition('=')[2]} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
