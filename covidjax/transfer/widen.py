"""A split for pretraining that never touches what a later run tests.

RUN is the later run's twin: a classification run of the same task, split and seed, stopped or
finished, such as the one from scratch that the later one is compared with. The split written has
the same folds, validation and test parts; the training part of each is every other image that
--task uses, except those of patients in the two. Pretrain with it, then start the later run from
there:

    python launch.py --config=configs/resnet.py:task=covid --workdir=runs/scratch
    python -m covidjax.transfer.widen --run=runs/scratch --task=pneumonia --out=split.csv
    python launch.py --config=configs/resnet.py:task=pneumonia,split=kfold \\
        --config.data.manifest=split.csv --workdir=runs/pretrained
    python launch.py --config=configs/resnet.py:task=covid,init=run:runs/pretrained
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.cli.commands import documented, path_argument, run_command
from covidjax.data import manifest, source, splits
from covidjax.data.table import TASKS, read_table, task_labels
from covidjax.runs.folder import RunError, look


def widened(
    folds: Sequence[splits.Fold], table: pd.DataFrame, labels: NDArray[np.int32]
) -> list[splits.Fold]:
    """The folds with all other images of a task in their training parts.

    Args:
      folds: of the later run.
      table: of `table.read_table`.
      labels: int [n] of the pretraining's task, -1 for rows that it does not use.

    Returns:
      Folds of the same names and numbers; parts hold only images that the task uses.
    """
    used = labels >= 0
    groups = table["group"]
    wider = []
    for fold in folds:
        held = np.concatenate([fold.validation, fold.test])
        free = used & ~groups.isin(set(groups.iloc[held])).to_numpy()
        parts = {part: getattr(fold, part) for part in ("validation", "test")}
        wider.append(
            dataclasses.replace(
                fold,
                train=np.flatnonzero(free),
                **{part: rows[used[rows]] for part, rows in parts.items()},
            )
        )
    return wider


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = documented("covidjax.transfer.widen", __doc__)
    run_help = "the later run's twin"
    parser.add_argument(
        "--run", type=path_argument, required=True, metavar="WORKDIR", help=run_help
    )
    parser.add_argument("--task", choices=list(TASKS), default="pneumonia", help="of pretraining")
    out_help = "the split to write, such as split.csv"
    parser.add_argument("--out", type=path_argument, required=True, metavar="FILE", help=out_help)
    options = parser.parse_args(arguments)

    def work() -> int:
        print(_write(options.run, options.task, options.out))
        return 0

    return run_command("widen", work, on_device=False)


def _write(run: Path, task: str, out: Path) -> str:
    earlier = look(run)  # finished or not
    if not earlier.about:
        raise RunError(f"{run} holds no run ({earlier.note})")
    try:
        config = earlier.about["config"]
        phantom, of = source.phantom_parameters(config["phantom"]), str(config["task"])
        kind, data_dir, archive = (
            str(config["data"][name]) for name in ("source", "data_dir", "archive")
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        file = run / "config.json"
        raise RunError(f"{file} is damaged, or no classifier's: {error!r}") from error
    prepared = source.resolve(kind, data_dir, archive, phantom, progress=sys.stderr.isatty())
    table = read_table(prepared.path)
    folds = manifest.read(run / "split.csv", table, task_labels(table, of))
    wider = widened(folds, table, task_labels(table, task))
    splits.check_leaks(wider, table, prepared.same_pictures)
    manifest.write(out, wider, table, phantom=prepared.kind == "phantom")
    counts = ", ".join(
        f"{len(was.train)} to {len(now.train)}" for was, now in zip(folds, wider, strict=True)
    )
    return f"{out}: {len(wider)} folds; training images: {counts}"


if __name__ == "__main__":
    sys.exit(main())
