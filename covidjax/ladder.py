"""The ladder: what needs no lung, step by step, and then the networks of finished runs.

    python -m covidjax.ladder --out=DIR RUN [RUN...]

RUN is the workdir of a finished classification run; all must have the same split. Writes
`ladder.md`, `ladder.csv` and `ladder.png` to DIR: the AUROC of prevalence, file facts, the border,
an 8 x 8 thumbnail under a linear model, and each run, with 95 % intervals over patients and the
paired difference to the border's. Border and thumbnail are of the first run's pixels. A
run's AUROC is struck through where its interval overlaps the border's, or where the border reaches
90 % of what it has above chance.

Takes about 20 seconds for 1,631 images in 5 folds at 64 px on two cores.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax import locking
from covidjax.audit.audit import comes_near, probe_probabilities
from covidjax.audit.figures import Line, write_dots
from covidjax.cli.commands import documented, path_argument, run_command
from covidjax.data import cache, manifest, source
from covidjax.data.splits import Fold
from covidjax.data.table import TASKS, read_table, task_labels
from covidjax.evidence.aurocs import auroc_estimates
from covidjax.evidence.estimates import Estimate, difference
from covidjax.evidence.predictions import Run, read_run
from tfds_coronahack.paths import readable

PREVALENCE = "prevalence"
BORDER = "border"
# Probes of the ladder, in order -> (what they are called, kind of their line in the plot).
STEPS = {
    "file_facts": ("file facts", "none"),
    BORDER: ("border", "none"),
    "thumbnail": ("8 x 8 thumbnail, linear", "coarse"),
}


class LadderError(ValueError):
    """Runs that cannot stand on one ladder; the message says which and why."""


class Examples(NamedTuple):
    """What all steps are fitted on and scored on."""

    images: NDArray[np.uint8]
    table: pd.DataFrame
    labels: NDArray[np.int32]
    folds: list[Fold]
    phantom: bool


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs, checked to be of one task, one dataset and one split.

    Raises:
      LadderError: runs that differ; says in what.
      RunError: a folder that is no finished classification run.
    """
    runs = [read_run(folder) for folder in folders]
    damaged = [run for run in runs if not {"config", "data"} <= run.config.keys()]
    if damaged:
        raise LadderError(f"{damaged[0].folder / 'config.json'} is damaged")
    for what, of in (
        ("task", lambda run: run.config["config"]["task"]),
        ("dataset", lambda run: run.config["data"]["fingerprint"][:16]),
        ("split", _split_digest),
    ):
        if len({of(run) for run in runs}) > 1:
            each = "\n".join(f"  {run.folder}: {of(run)}" for run in runs)
            raise LadderError(
                f"the runs are not of one {what}, so their figures do not compare:\n{each}\n"
                "Where only the seed differs, train the others with "
                f"--config.data.manifest={runs[0].folder / 'split.csv'}"
            )
    return runs


def read_examples(run: Run, archive: str = "", data_dir: str = "") -> Examples:
    """The images of a run, as its network saw them, with its folds.

    Args:
      run: of which.
      archive, data_dir: where the data are now; "" for both where the run had them.

    Raises:
      LadderError: the data are not those of the run.
      ValueError, FileNotFoundError: there are no data (see `source.resolve`), or no `split.csv`.
    """
    config, data = run.config["config"], run.config["data"]
    where = config["data"]
    if not (archive or data_dir):
        archive, data_dir = where["archive"], where["data_dir"]
    made = data["kind"] == "PHANTOM" and not (archive or data_dir)
    phantom = source.phantom_parameters(config["phantom"])
    prepared = source.resolve("phantom" if made else "auto", data_dir, archive, phantom)
    if prepared.fingerprint != data["fingerprint"]:
        raise LadderError(
            f"the data in {prepared.path} are not those of {run.folder} ({data['archive']}); "
            "give --config.data.archive or --config.data.data_dir"
        )
    table = read_table(prepared.path)
    labels = task_labels(table, config["task"])
    folds = manifest.read(run.folder / "split.csv", table, labels)
    pixels = [where[name] for name in ("size", "equalize", "resize")]
    images = cache.load_cache(prepared.path, prepared.fingerprint, *pixels)
    return Examples(images, table, labels, folds, prepared.kind == "phantom")


def tested_probabilities(run: Run, tested: Sequence[str]) -> NDArray[np.float64]:
    """The run's probabilities [n, k] of the images `tested`, in their order.

    Raises:
      LadderError: the run's predictions are of other images.
    """
    position = {str(name): row for row, name in enumerate(run.predicted.names)}
    if sorted(position) != sorted(tested):
        raise LadderError(
            f"{run.folder / f'predictions_{run.split}.csv'} does not hold the images that the "
            "run's split.csv tests"
        )
    return run.predicted.probabilities[[position[name] for name in tested]]


def climb(runs: Sequence[Run], examples: Examples) -> pd.DataFrame:
    """The ladder: a row a step, in order.

    Returns:
      columns step, kind (of `audit.figures.KINDS`), auroc, low, high, above_border,
      above_border_low, above_border_high, n, struck. The intervals are nan where there is none;
      the differences are nan for prevalence and for the border itself.
    """
    config = runs[0].config["config"]
    classes = TASKS[config["task"]].classes
    rows = np.concatenate([fold.test for fold in examples.folds])
    y = examples.labels[rows]
    scores = {PREVALENCE: np.tile(np.bincount(y, minlength=len(classes)) / len(y), (len(y), 1))}
    for name in STEPS:
        parts = probe_probabilities(name, *examples[:4], len(classes), config["seed"])
        scores[name] = np.concatenate(parts)
    for number, run in enumerate(runs):
        scores[f"run {number}"] = tested_probabilities(
            run, list(examples.table["image"].iloc[rows])
        )
    aurocs = auroc_estimates(y, scores, examples.table["group"].to_numpy()[rows])
    labels = {PREVALENCE: ("prevalence", "none")} | STEPS
    labels |= {f"run {number}": (run_name(run), "network") for number, run in enumerate(runs)}
    return pd.DataFrame(
        [_row(*labels[name], score, aurocs[BORDER], len(y)) for name, score in aurocs.items()]
    )


def run_name(run: Run) -> str:
    """Folder and network of a run, such as `a (resnet18, from scratch)`."""
    model, init = run.config["config"]["model"], run.config["config"].get("init")
    origin = Path(init).name if init else "scratch"
    return f"{run.folder.resolve().name} ({model['name']}{model.get('depth', '')}, from {origin})"


def write_ladder(
    folder: Path, ladder: pd.DataFrame, *, task: str, share: str, phantom: bool
) -> None:
    """Writes `ladder.md`, `ladder.csv` and `ladder.png`.

    Args:
      folder: made where missing.
      ladder: of `climb`.
      task: its name, for the title.
      share: the tested images of each class, in words.
      phantom: marks all three as PHANTOM.
    """
    text = _markdown(ladder, task, share, phantom)
    with locking.temporary(folder / "ladder.md") as file:
        file.write(text.encode())
    columns = ladder.drop(columns="kind").assign(**({"data": "PHANTOM"} if phantom else {}))
    with locking.temporary(folder / "ladder.csv") as file:
        columns.to_csv(file, index=False, lineterminator="\n")
    lines = [
        Line(row.step, _figure(row), row.kind, bool(row.struck)) for row in ladder.itertuples()
    ]
    band = list(ladder["step"]).index(STEPS[BORDER][0])
    write_dots(folder / "ladder.png", lines, band=band, phantom=phantom, title=f"Ladder: {task}")


def _split_digest(run: Run) -> str:
    """Of the split.csv, which `manifest.read` checks against its contents."""
    first, _, _ = (run.folder / "split.csv").read_text(encoding="utf-8").partition("\n")
    return first.removeprefix(manifest.MARK)[:16]


def _row(step: str, kind: str, score: Estimate, border: Estimate, n: int) -> dict[str, Any]:
    auroc, below = score.row(n), border.row(n)
    low, high = auroc["ci95"] or (np.nan, np.nan)
    known = auroc["ci95"] is not None
    compared = known and score is not border and step != PREVALENCE
    above = difference(score, border).row(n)
    above_low, above_high = above["ci95"] if compared else (np.nan, np.nan)
    return {
        "step": step,
        "kind": kind,
        "auroc": auroc["value"],
        "low": low,
        "high": high,
        "above_border": above["value"] if compared else np.nan,
        "above_border_low": above_low,
        "above_border_high": above_high,
        "n": n,
        "struck": kind == "network" and known and comes_near(below, auroc),
    }


def _markdown(ladder: pd.DataFrame, task: str, share: str, phantom: bool) -> str:
    lines = [f"# The ladder: {task}", ""]
    if phantom:
        lines += ["**PHANTOM: synthetic images; these figures say nothing about patients.**", ""]
    lines += [
        f"AUROC of {ladder['n'].iloc[0]:,} tested images ({share}), with 95 % intervals over",
        "patients; differences to the border are paired.",
        "",
        "| step | AUROC | above the border |",
        "| --- | --- | --- |",
    ]
    for row in ladder.itertuples():
        auroc = _shown(row.auroc, row.low, row.high, "")
        above = _shown(row.above_border, row.above_border_low, row.above_border_high, "+")
        lines.append(f"| {row.step} | {f'~~{auroc}~~' if row.struck else auroc} | {above} |")
    lines += [
        "",
        "Struck through: the interval overlaps the border's, or the border reaches 90 % of what",
        "the score has above chance. Such a score cannot be read as diagnosis.",
    ]
    return "\n".join(lines) + "\n"


def _shown(value: float, low: float, high: float, sign: str) -> str:
    if np.isnan(value):
        return ""
    return f"{value:{sign}.3f}" + ("" if np.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]")


def _figure(row: Any) -> dict[str, Any]:
    return {
        "value": row.auroc,
        "ci95": None if np.isnan(row.low) else [row.low, row.high],
        "n": row.n,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = documented("covidjax.ladder", __doc__)
    parser.add_argument(
        "runs", nargs="+", type=path_argument, metavar="RUN", help="workdir of a run"
    )
    parser.add_argument(
        "--out", type=path_argument, required=True, metavar="DIR", help="made where missing"
    )
    parser.add_argument(
        "--config.data.archive", dest="archive", default="", metavar="FILE", help="if it has moved"
    )
    parser.add_argument(
        "--config.data.data_dir", dest="data_dir", default="", metavar="DIR", help="if it has moved"
    )
    options = parser.parse_args(arguments)
    return run_command("ladder", lambda: _write(options), on_device=False)


def _write(options: argparse.Namespace) -> int:
    try:
        runs = read_runs(options.runs)
        examples = read_examples(runs[0], options.archive, options.data_dir)
    except (KeyError, TypeError, AttributeError) as error:
        raise LadderError(f"a run's config.json or results.json is damaged: {error!r}") from error
    ladder = climb(runs, examples)
    task = runs[0].config["config"]["task"]
    classes = TASKS[task].classes
    tested = examples.labels[np.concatenate([fold.test for fold in examples.folds])]
    counts = zip(np.bincount(tested, minlength=len(classes)), classes, strict=True)
    share = ", ".join(f"{count:,} {name}" for count, name in counts)
    write_ladder(options.out, ladder, task=task, share=share, phantom=examples.phantom)
    text = (options.out / "ladder.md").read_text(encoding="utf-8")
    print(f"{text}\nladder.md, ladder.csv and ladder.png are in {readable(options.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
