"""The tables of classifiers: their figures, seeds, audits, calibration and operating points."""

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from covidjax.classify import model_card
from covidjax.evidence.calibration import NAMES
from covidjax.report import words
from covidjax.report.markdown import Grid, Markdown, code, listing, md
from covidjax.report.markdown import struck as struck_through
from covidjax.report.tables import Column, Row, compared, shown
from covidjax.report.tables_runs import across
from covidjax.runs.folder import Run, is_figure

RANKING = (
    Column("auroc", "AUROC"),
    Column("average_precision", "average precision"),
    Column("balanced_accuracy", "balanced accuracy"),
    Column("accuracy", "accuracy"),
)
CALLING = (
    Column("sensitivity", "sensitivity"),
    Column("specificity", "specificity"),
    Column("f1", "F1"),
)
HONESTY = (
    Column("brier", "Brier score", larger=False),
    Column("ece", "ECE", larger=False),
)
SEEDS = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}


def comparable(runs: Sequence[Run]) -> dict[tuple[Any, ...], list[Run]]:
    """Classifiers that were tested on the same images, as far as the runs know."""

    def key(run: Run) -> tuple[Any, ...]:
        split = words.tested(run)
        n = run.results["splits"].get(split, {}).get("auroc", {}).get("n")
        return (run.results.get("task"), split, n, *words.data_key(run))

    return words.grouped([run for run in runs if words.tested(run)], key)


def struck(run: Run) -> bool:
    """Whether the run's AUROC is printed struck through, by its audit."""
    return model_card.struck(run.results)


class Known(NamedTuple):
    """A run and its AUROC in words, struck through where it must be."""

    run: Run
    value: float
    text: str


def ranges(runs: Sequence[Run]) -> list[tuple[str, str, str, list[Known]]]:
    """Task, split, number of images, and the runs that were tested on them, the worst first."""
    found = []
    for (task, split, n, *_), some in comparable(runs).items():
        figures = [(run, run.results["splits"][split].get("auroc")) for run in some]
        known = [
            Known(run, one["value"], struck_through(shown(one)) if struck(run) else shown(one))
            for run, one in figures
            if one and one["value"] is not None
        ]
        if known:
            images = f"{n:,}" if isinstance(n, int) else "its"
            named = words.first_large(words.task(str(task)))
            order = sorted(known, key=lambda one: one.value)
            found.append((named, words.SPLITS[split], images, order))
    return found


def classification(runs: Sequence[Run]) -> list[Grid]:
    """All tables of the tested images, external ones and subgroups included."""
    return [*results(runs), *operating(runs), *subgroups(runs)]


def calibration_and_values(runs: Sequence[Run]) -> list[Grid]:
    """How far the probabilities can be trusted, and what calls mean at other prevalences."""
    found = calibration(runs)
    return [*found, *predictive(runs)] if found else []


def results(runs: Sequence[Run]) -> list[Grid]:
    """Two tables for each set of comparable runs, one of external images, and one of the seeds."""
    found = []
    for place, (key, some) in enumerate(comparable(runs).items(), 1):
        task, split, n, kind, _ = key
        rows = [_row(run, split) for run in some]
        images = f"{n:,} images" if isinstance(n, int) else "its images"
        about = md(
            "{task}, {split} ({images}). Value and 95 % interval over patients.",
            task=words.first_large(words.task(str(task))),
            split=words.SPLITS[split],
            images=f"{images}, phantom" if kind == "phantom" else images,
        )
        called = Markdown(f"{about} Calls are made at the threshold that validation chose.")
        leads = ("run", "network", "seed")
        found.append(compared(f"classify-{place}", about, leads, rows, RANKING))
        found.append(compared(f"calls-{place}", called, leads, rows, CALLING))
    found += _external(runs)
    return found + seeds(runs)


def _row(run: Run, split: str) -> Row:
    lead = (code(run.name), words.network(run), str(run.results.get("seed", "")))
    strike = ("auroc",) if struck(run) else ()
    return Row(lead, run.results["splits"][split], strike, run.phantom)


def _external(runs: Sequence[Run]) -> list[Grid]:
    some = [run for run in runs if "external" in run.results["splits"]]
    if not some:
        return []
    rows = []
    for run in some:
        facts = run.results.get("external", {})
        share = facts.get("prevalence")
        written = "" if share is None else f"{share:.3f}"
        lead = (code(run.name), str(facts.get("folder", "")), written)
        strikes = tuple(facts.get("struck", ()))
        rows.append(Row(lead, run.results["splits"]["external"], strikes, run.phantom))
    about = md(
        "Films of other folders, which no run was trained with. The runs' own thresholds; no best "
        "is marked where the films are not the same. Struck through: figures that depend on the "
        "share of positives, where a class has fewer than 30 groups."
    )
    same = len({row.lead[1] for row in rows}) == 1
    columns = [one if same else one._replace(larger=None) for one in (*RANKING, *CALLING, *HONESTY)]
    return [compared("external", about, ("run", "folder", "prevalence"), rows, columns)]


def seeds(runs: Sequence[Run]) -> list[Grid]:
    """Mean and standard deviation over the seeds of runs that differ in nothing else."""
    rows: list[list[str | int]] = []
    groups = words.same_but_seed([run for run in runs if words.tested(run)])
    for some in groups:
        split = words.tested(some[0])
        first = {run.results.get("seed"): run for run in reversed(some)}  # each seed counts once
        row: list[str | int] = [words.names(some), words.network(some[0]), len(first)]
        for name in SEEDS:
            each = first.values()
            found = [run.results["splits"][split].get(name, {}).get("value") for run in each]
            known = [value for value in found if value is not None]
            if len(known) < 2:
                row.append("")
                continue
            row.append(f"{statistics.mean(known):.3f} ± {statistics.stdev(known):.3f}")
        rows.append(row)
    if not rows:
        return []
    about = md(
        "Runs that differ in the seed alone: mean ± standard deviation over the seeds. It says how "
        "far training wanders, and not how far another sample of patients would."
    )
    columns = ("runs", "network", "seeds", *SEEDS.values())
    phantom = any(run.phantom for some in groups for run in some)
    return [listing("seeds", about, columns, rows, phantom)]


def audits(runs: Sequence[Run]) -> list[Grid]:
    """What each probe reaches."""
    some = [run for run in runs if isinstance(run.results.get("audit"), Mapping)]
    probes: dict[str, str] = {}
    for run in some:
        for name, probe in run.results["audit"].items():
            if isinstance(probe, Mapping) and is_figure(probe.get("auroc")):
                what = str(probe.get("what", name.replace("_", " ")))
                if probes.setdefault(name, what) != what:  # the numbers of images differ
                    probes[name] = re.sub(r" \([\d,]+ and [\d,]+ images\)$", "", what)
    if not probes:
        return []
    about = md("AUROC that a classifier reaches that sees this alone; 95 % intervals.")
    columns = ("run", *probes.values())
    lines = [(code(run.name), *(_probe(run, name) for name in probes)) for run in some]
    return [across("audit-probes", about, columns, lines, some, "what is seen")]


def _probe(run: Run, name: str) -> str:
    """A probe's AUROC of a run; the run's own struck through where it must be."""
    probe = run.results["audit"].get(name)
    figure = probe.get("auroc") if isinstance(probe, Mapping) else None
    text = shown(figure) if is_figure(figure) else ""
    return struck_through(text) if name == "run" and struck(run) else text


def calibration(runs: Sequence[Run]) -> list[Grid]:
    """Scores, calibration in the large and slope, before and after the map of validation."""
    rows, verdicts = [], []
    for run in runs:
        found = run.results.get("calibration")
        lead = code(run.name)
        if not isinstance(found, Mapping) or not is_figure(found.get("after", {}).get("slope")):
            figures = run.results["splits"].get(words.tested(run), {})
            if "brier" in figures:
                rows.append(Row((lead, "as they come"), figures, (), run.phantom))
            continue
        for key, text in (("before", "as they come"), ("after", str(found["method"]))):
            rows.append(Row((lead, text), found[key], (), run.phantom))
        verdicts.append(md("{run}: {verdict}.", run=code(run.name), verdict=found["verdict"]))
    if not rows:
        return []
    about = md(
        "Calibration on the tested images, as the networks give the probabilities and by the map "
        "that was fitted on validation."
    )
    about = Markdown(" ".join([about, *verdicts]))
    columns = [Column(name, words.first_large(text)) for name, text in NAMES.items()]
    columns = [one._replace(larger=None) for one in columns]
    return [compared("calibration-scores", about, ("run", "probabilities"), rows, columns)]


def subgroups(runs: Sequence[Run]) -> list[Grid]:
    """The figures within what is known of the images: source, age, sex, view, film series."""
    rows: list[list[str | int]] = []
    some = [run for run in runs if isinstance(run.results.get("subgroups"), Mapping)]
    names = ("sensitivity", "specificity", "auroc", "accuracy")
    for run in some:
        for kind, parts in run.results["subgroups"].items():
            for name, row in parts.items():
                cells = [shown(row.get(figure)) for figure in names]
                rows.append([code(run.name), f"{kind}: {name}", row["n"], *cells])
    if not rows:
        return []
    about = md(
        "Within subgroups of the tested images, as far as anything is known of them; empty where a "
        "subgroup has no image of the class. Differences between them go with the labels and the "
        "hospitals, and show no cause."
    )
    columns = ("run", "subgroup", "images", "sensitivity", "specificity", "AUROC", "accuracy")
    return [listing("subgroups", about, columns, rows, any(r.phantom for r in some))]


def operating(runs: Sequence[Run]) -> list[Grid]:
    """What is reached at given specificities and sensitivities, and by validation's threshold."""
    rows: list[list[str]] = []
    some = [run for run in runs if isinstance(run.results.get("operating_points"), Mapping)]
    for run in some:
        for name, point in run.results["operating_points"].items():
            reached = point.get("chosen_on_validation", {})
            cells = [shown(reached.get(rate)) for rate in ("sensitivity", "specificity")]
            text = name.replace("_", " ")
            rows.append([code(run.name), text, shown(point), *cells])
    if not rows:
        return []
    about = md(
        "Operating points: read off the tested images' own ROC curve, and beside it what these "
        "images get at the threshold that reaches the point on validation."
    )
    columns = ("run", "point", "on the ROC curve", "sensitivity there", "specificity there")
    return [listing("operating", about, columns, rows, any(r.phantom for r in some))]


def predictive(runs: Sequence[Run]) -> list[Grid]:
    """What a call means where the disease is rarer or commoner than among the tested images."""
    rows: list[list[str]] = []
    some = [run for run in runs if isinstance(run.results.get("predictive_values"), Mapping)]
    for run in some:
        for share, *both in model_card.predictive_values(run.results["predictive_values"]):
            rows.append([code(run.name), f"{100 * share:g} %", *map(shown, both)])
    if not rows:
        return []
    about = md(
        "Predictive values at an assumed prevalence, if sensitivity and specificity were the same "
        "there as on the tested images; 95 % intervals."
    )
    columns = ("run", "prevalence", "positive predictive value", "negative predictive value")
    return [listing("predictive", about, columns, rows, any(r.phantom for r in some))]
