"""How often the 95 % intervals cover the truth: simulated, over a grid of sizes and AUROCs.

    python -m benchmarks.coverage                       the tables of docs/statistics.md, Markdown
    python -m benchmarks.coverage --repeats=200         the same, rougher
    python -m benchmarks.coverage --only=auroc

Scores of negatives are normal, those of positives normal with a shift, so that every figure's true
value is known. The images of a group share a part of their score (intraclass correlation 0.5, as
photographs of one patient might). Each line is a figure of `covidjax.evidence`, as runs report
it: the share of data sets whose interval holds the true value, and the median width.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy.special import expit, logit

from benchmarks.simulated import (
    PREVALENCE,
    SHAPES,
    SPECIFICITY,
    Cell,
    Simulated,
    probabilities,
    simulate,
    threshold,
    truth,
)
from covidjax.evidence import estimates, intervals, operating, ranking, resampling

POSITIVES = (10, 20, 50, 100, 400)
AUROCS = (0.8, 0.9, 0.95, 0.98, 0.998)
CLUSTERS = (1, 2, 5)
NEGATIVES = 200
INSIDE = (0.93, 0.97)  # what is marked where coverage is outside

Measured = dict[str, estimates.Estimate]


def auroc_alone(cell: Cell, data: Simulated) -> Measured:
    return {"AUROC": ranking.auroc(data.labels == 1, data.scores, data.codes)}


def percentile(cell: Cell, data: Simulated) -> Measured:
    """The interval that stood here before: 2.5 to 97.5 % of 500 resamples of groups."""
    weights = next(resampling.resampled_weights(data.labels, data.codes, 500, 0))
    draws = resampling.resampled_aurocs(data.labels == 1, data.scores, weights)
    value = ranking.auroc(data.labels == 1, data.scores, data.codes).value
    low, high = resampling.percentiles(draws)
    return {"AUROC": estimates.Estimate(value, low, high, np.zeros(0))}


def wald(cell: Cell, data: Simulated) -> Measured:
    """DeLong's clustered error on the logit scale, without anything else."""
    found = ranking.auroc(data.labels == 1, data.scores, data.codes)
    if found.value == 1:
        return {"AUROC": found}
    half = estimates.Z * found.error / (found.value * (1 - found.value))
    low, high = expit(logit(found.value) - half), expit(logit(found.value) + half)
    return {"AUROC": found._replace(low=float(low), high=float(high))}


def all_figures(cell: Cell, data: Simulated) -> Measured:
    """The figures of a run, a predictive value, an operating point and a difference."""
    p = probabilities(cell, data.scores)
    both = np.stack([1 - p, p], axis=1)
    found = intervals.figure_estimates(data.labels, both, threshold(cell), data.codes)
    positive = data.labels == 1
    names = ("sensitivity", "balanced_accuracy", "f1", "average_precision", "brier")
    rows = {name.replace("_", " "): found[name] for name in names}
    values = operating.predictive_values(
        data.labels, both, threshold(cell), data.codes, [PREVALENCE]
    )["ppv"]
    value, low, high = (values[end][0] for end in ("value", "low", "high"))
    rows["PPV at 1 %"] = estimates.Estimate(value, low, high, np.zeros(0))
    point, _ = operating.rate_at(positive, data.scores, data.codes, "specificity", SPECIFICITY)
    rows["sensitivity at 0.90"] = point
    other = ranking.auroc(positive, data.other, data.codes)
    rows["AUROC difference"] = estimates.difference(found["auroc"], other)
    return rows


METHODS: dict[str, Callable[[Cell, Simulated], Measured]] = {
    "reported": auroc_alone,
    "logit DeLong": wald,
    "percentile bootstrap": percentile,
    "figures": all_figures,
}


def covered(method: str, cell: Cell, repeats: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """{figure: (share of intervals that hold the truth, median width)} of `repeats` data sets."""
    rng = np.random.default_rng([seed, *(round(1000 * value) for value in cell[:4])])
    values = truth(cell)
    rows: dict[str, list[tuple[float, float]]] = {}
    for _ in range(repeats):
        for name, found in METHODS[method](cell, simulate(cell, rng)).items():
            rows.setdefault(name, []).append((found.low, found.high))
    result = {}
    for name, ends in rows.items():
        low, high = np.array(ends).T
        if np.isnan(low).all():  # too few groups for an interval
            result[name] = float("nan"), float("nan")
            continue
        inside = (low <= values[name] + 1e-12) & (values[name] - 1e-12 <= high)
        result[name] = float(inside.mean()), float(np.nanmedian(high - low))
    return result


def grid() -> Iterator[Cell]:
    """The cells of the AUROC's table, and the COVID-19 task's own."""
    for cluster in CLUSTERS:
        for positives in POSITIVES:
            for auroc in AUROCS:
                yield Cell(positives, NEGATIVES, auroc, cluster)
    yield Cell(55, 1576, 0.998, 2)


def auroc_tables(run: Callable[..., list[dict[str, tuple[float, float]]]]) -> str:
    """One table a cluster size, and how the cells that are hard fare by other methods."""
    cells = list(grid())
    found = dict(zip(cells, run("reported", cells), strict=True))
    lines = []
    for cluster in CLUSTERS:
        groups = "one image a group" if cluster == 1 else f"positives in groups of {cluster}"
        lines += [
            "",
            f"AUROC, {groups}:",
            "",
            "| positives | " + " | ".join(map(str, AUROCS)) + " |",
        ]
        lines.append("| ---: |" + " --- |" * len(AUROCS))
        for positives in POSITIVES:
            row = [found[Cell(positives, NEGATIVES, auroc, cluster)]["AUROC"] for auroc in AUROCS]
            lines.append(f"| {positives} | {' | '.join(map(shown, row))} |")
    hard = [Cell(55, 1576, 0.998, 2), Cell(20, 200, 0.98, 1), Cell(10, 200, 0.95, 1)]
    hard += [Cell(400, 200, 0.95, 1)]
    lines += [
        "",
        "| positives, negatives, AUROC, cluster | " + " | ".join(list(METHODS)[:3]) + " |",
    ]
    lines.append("| --- | --- | --- | --- |")
    columns = [run(method, hard) for method in list(METHODS)[:3]]
    for place, cell in enumerate(hard):
        row = [column[place]["AUROC"] for column in columns]
        lines.append(f"| {', '.join(map(str, cell[:4]))} | {' | '.join(map(shown, row))} |")
    return "\n".join(lines)


def figure_tables(run: Callable[..., list[dict[str, tuple[float, float]]]]) -> str:
    """The other figures, on a smaller grid."""
    cells = [
        Cell(positives, NEGATIVES, auroc, cluster)
        for cluster in (1, 5)
        for positives in (10, 50, 400)
        for auroc in (0.8, 0.95, 0.998)
    ]
    found = run("figures", cells)
    names = list(found[0])
    lines = ["", "| positives, AUROC, cluster | " + " | ".join(names) + " |"]
    lines.append("| --- |" + " --- |" * len(names))
    for cell, row in zip(cells, found, strict=True):
        what = f"{cell.positives}, {cell.auroc}, {cell.cluster}"
        lines.append(f"| {what} | {' | '.join(shown(row[name]) for name in names)} |")
    return "\n".join(lines)


def shown(result: tuple[float, float]) -> str:
    """`95.1 (0.12)`; bold below 93 %, in italics above 97 %."""
    share, width = result
    if np.isnan(share):
        return "none"
    text = f"{100 * share:.1f}"
    mark = "**" if share < INSIDE[0] else "*" if share > INSIDE[1] else ""
    return f"{mark}{text}{mark} ({width:.3g})"


def shape_table(run: Callable[..., list[dict[str, tuple[float, float]]]]) -> str:
    """The AUROC of scores that are not normal."""
    sizes = [(10, 200, 0.9, 1), (20, 200, 0.95, 1), (50, 500, 0.98, 1), (55, 1576, 0.998, 2)]
    sizes += [(200, 200, 0.95, 1), (400, 100, 0.98, 1)]
    names = list(SHAPES)
    columns = [run("reported", [Cell(*size, name) for size in sizes]) for name in names]
    lines = ["", "| positives, negatives, AUROC, cluster | " + " | ".join(names) + " |"]
    lines.append("| --- |" + " --- |" * len(names))
    for place, size in enumerate(sizes):
        row = [column[place]["AUROC"] for column in columns]
        lines.append(f"| {', '.join(map(str, size))} | {' | '.join(map(shown, row))} |")
    return "\n".join(lines)


TABLES = {"auroc": auroc_tables, "figures": figure_tables, "shapes": shape_table}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=2000, help="data sets a cell")
    parser.add_argument("--only", choices=TABLES, help="one of the tables")
    options = parser.parse_args(arguments)
    with ProcessPoolExecutor() as pool:

        def run(method: str, cells: Sequence[Cell]) -> list[dict[str, tuple[float, float]]]:
            few = options.repeats // 4 if method == "percentile bootstrap" else options.repeats
            count = len(cells)
            return list(pool.map(covered, [method] * count, cells, [few] * count))

        for name, make in TABLES.items():
            if options.only in (None, name):
                print(make(run), flush=True)
    print(f"\n{options.repeats:,} data sets a cell; {NEGATIVES} negatives where none are named.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
