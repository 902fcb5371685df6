"""Compares two finished classification runs: `python -m covidjax.compare RUN_A RUN_B`.

Two runs that tested the same images are paired image by image: differences with 95 % intervals
(over patients), DeLong's test for the AUROC, McNemar's for the calls, each run at its
own thresholds. Kaggle's TEST (split=official) against cross-validation (split=kfold) is another
question, how far the figures shift between the two: there nothing is paired.

    python -m covidjax.compare runs/a runs/b --out=comparison
        also writes comparison.json and comparison.png into that folder
    python -m covidjax.compare runs/official runs/kfold --json
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from covidjax.classify.figures.evidence_curves import write_intervals
from covidjax.cli.commands import documented, path_argument, run_command
from covidjax.evidence import differences
from covidjax.evidence.predictions import Run, read_run
from covidjax.runs import results


class CompareError(ValueError):
    """Two runs that cannot be compared; the message says what differs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 2 for what a person can mend."""
    parser = documented("covidjax.compare", __doc__)
    parser.add_argument("run_a", type=path_argument, help="workdir of a finished run")
    parser.add_argument("run_b", type=path_argument, help="another one")
    parser.add_argument(
        "--out", type=path_argument, help="folder for comparison.json and comparison.png"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)

    def work() -> int:
        a, b = read_run(options.run_a), read_run(options.run_b)
        if missing := [run for run in (a, b) if not {"task", "data"} <= run.results.keys()]:
            raise CompareError(f"{missing[0].folder}: results.json lacks task or data")
        found = compare(a, b)
        if options.out:
            write(options.out, found)
        print(results.as_json(found) if options.json else table(found))
        return 0

    return run_command("compare", work, on_device=False)


def compare(a: Run, b: Run) -> dict[str, Any]:
    """What two runs differ in, a - b.

    Returns:
      {"task", "data", "warning" (of a phantom), "runs": {"a", "b": {...}}, "paired": bool,
      "images": {"shared", "only_a", "only_b"}, "figures": of `figure_differences`} and, where the
      runs are paired, the rest of `paired_differences`, all over the shared images.

    Raises:
      CompareError: different tasks or data, labels that differ, or no shared images.
      EvaluationError: predictions that are none.
    """
    for name in ("task", "data"):
        if a.results[name] != b.results[name]:
            raise CompareError(
                f"the runs differ in {name}: {a.folder} has {a.results[name]}, "
                f"{b.folder} has {b.results[name]}"
            )
    _, at_a, at_b = np.intersect1d(a.predicted.names, b.predicted.names, return_indices=True)
    one, other = a.predicted.at(at_a), b.predicted.at(at_b)
    wrong = one.labels != other.labels
    if wrong.any():
        raise CompareError(
            f"the runs give {int(wrong.sum())} shared images different labels, such as "
            f"{one.names[wrong][0]}: they were not made from the same data"
        )
    found: dict[str, Any] = {
        "task": a.results["task"],
        "data": a.results["data"],
        **({"warning": a.results["warning"]} if "warning" in a.results else {}),
        "runs": {key: _described(run) for key, run in (("a", a), ("b", b))},
        "paired": a.split == b.split,
        "images": {
            "shared": len(at_a),
            "only_a": len(a.predicted.names) - len(at_a),
            "only_b": len(b.predicted.names) - len(at_b),
        },
    }
    if not found["paired"]:
        return found | {
            "figures": differences.figure_differences(a.predicted, b.predicted, together=False)
        }
    if len(at_a) == 0:
        raise CompareError(
            f"no image was tested in both {a.folder} and {b.folder}; compare runs of the same split"
        )
    return found | differences.paired_differences(one, other)


def table(found: Mapping[str, Any]) -> str:
    """What `compare` found, for people."""
    lines = [found["warning"]] if "warning" in found else []
    counts = found["images"]
    if found["paired"]:
        left = [f"{counts[f'only_{key}']:,} only in {key.upper()}" for key in "ab"]
        about = f"paired on {counts['shared']:,} images ({', '.join(left)})"
    else:
        about = "the shift between two test sets, unpaired"
    lines.append(f"{found['task']}: {about}")
    for key, run in found["runs"].items():
        what = f"{run['model']}, {run['split']}, seed {run['seed']}, n={run['n']:,}"
        lines.append(f"  {key.upper()}  {run['folder']} ({what})")
    lines.append(f"{'':18} {'A':>7} {'B':>7} {'A - B':>8}  95 % interval")
    for name, figure in found["figures"].items():
        values = (figure["a"]["value"], figure["b"]["value"])
        shown = " ".join(f"{value:7.3f}" for value in values)
        difference, edges = figure["difference"]["value"], figure["difference"]["ci95"]
        interval = f"[{edges[0]:+.3f}, {edges[1]:+.3f}]" if edges else "undefined"
        lines.append(f"{name:18} {shown} {difference:+8.3f}  {interval}")
    lines.append("Intervals: over patients; these are the ones for grouped images.")
    if "delong" in found:
        test = found["delong"]
        low, high = test["ci95"]
        lines.append(
            f"DeLong, AUROC: {test['difference']:+.4f} [{low:+.4f}, {high:+.4f}], "
            f"p {_p(test['p'])} (takes images as independent)"
        )
    if "mcnemar" in found:
        test = found["mcnemar"]
        lines.append(
            f"McNemar, calls: A alone right on {test['only_a_right']}, B alone on "
            f"{test['only_b_right']}, p {_p(test['p'])} (takes images as independent)"
        )
    return "\n".join(lines)


def write(folder: Path, found: Mapping[str, Any]) -> None:
    """Writes `comparison.json` and `comparison.png`."""
    runs = found["runs"].items()
    names = [f"{key.upper()}: {run['model']}, {run['split']} (n={run['n']})" for key, run in runs]
    kind = "paired" if found["paired"] else "shift between test sets"
    results.write_results(folder / "comparison.json", found)
    write_intervals(
        folder / "comparison.png",
        found["figures"],
        names,
        phantom=found["data"] == "phantom",
        title=f"{found['task']}, {kind}",
    )


def _described(run: Run) -> dict[str, Any]:
    config = run.config.get("config", {})
    return {
        "folder": str(run.folder),
        "model": config.get("model", {}).get("name", "?"),
        "split": run.split,
        "seed": run.results.get("seed"),
        "n": len(run.predicted.names),
    }


def _p(value: float) -> str:
    return "undefined" if np.isnan(value) else "< 0.0001" if value < 1e-4 else f"= {value:.4f}"


if __name__ == "__main__":
    sys.exit(main())
