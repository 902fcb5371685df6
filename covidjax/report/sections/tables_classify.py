"""The tables of classifiers: their figures, seeds, audits, calibration and operating points."""

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from covidjax.classify import card_evidence, model_card
from covidjax.evidence.calibration import NAMES
from covidjax.report.document import Grid, Mark, Spans, prose
from covidjax.report.sections import words
from covidjax.report.sections.tables import Column, Row, compared, listing, shown
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


def results(runs: Sequence[Run]) -> list[Grid]:
    """Two tables for each set of comparable runs, one of external films, and one of the seeds."""
    found = []
    for place, (key, some) in enumerate(comparable(runs).items(), 1):
        task, split, n, kind, _ = key
        rows = [_row(run, split) for run in some]
        images = f"{n:,} images" if isinstance(n, int) else "its images"
        about = prose(
            "{task}, {split} ({images}). Value and 95 % interval over patients.",
            task=words.first_large(words.task(str(task))),
            split=words.SPLITS[split],
            images=f"{images}, phantom" if kind == "phantom" else images,
        )
        called = (*about, " Calls are made at the threshold that validation chose.")
        leads = ("run", "network", "seed")
        found.append(compared(f"classify-{place}", about, leads, rows, RANKING))
        found.append(compared(f"calls-{place}", called, leads, rows, CALLING))
    found += _external(runs)
    return found + seeds(runs)


def _row(run: Run, split: str) -> Row:
    lead = ((Mark("code", run.name),), words.network(run), str(run.results.get("seed", "")))
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
        lead = ((Mark("code", run.name),), str(facts.get("folder", "")), written)
        strikes = tuple(facts.get("struck", ()))
        rows.append(Row(lead, run.results["splits"]["external"], strikes, run.phantom))
    about = prose(
        "Films of other folders, which no run was trained with. The runs' own thresholds; no best "
        "is marked where the films are not the same. Struck through: figures that depend on the "
        "share of positives, where a class has fewer than 30 groups."
    )
    same = len({row.lead[1] for row in rows}) == 1
    columns = [one if same else one._replace(larger=None) for one in (*RANKING, *CALLING, *HONESTY)]
    return [compared("external", about, ("run", "folder", "prevalence"), rows, columns)]


def seeds(runs: Sequence[Run]) -> list[Grid]:
    """Mean and standard deviation over the seeds of runs that differ in nothing else."""
    rows: list[list[str | int | Spans]] = []
    groups = words.same_but_seed([run for run in runs if words.tested(run)])
    for some in groups:
        split = words.tested(some[0])
        first = {run.results.get("seed"): run for run in reversed(some)}  # each seed counts once
        row: list[str | int | Spans] = [words.names(some), words.network(some[0]), len(first)]
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
    about = prose(
        "Runs that differ in the seed alone: mean ± standard deviation over the seeds. It says how "
        "far training wanders, and not how far another sample of patients would."
    )
    columns = ("runs", "network", "seeds", *SEEDS.values())
    phantom = any(run.phantom for some in groups for run in some)
    return [listing("seeds", about, columns, rows, phantom, save=True)]


def audits(runs: Sequence[Run]) -> list[Grid]:
    """What each probe reaches, a column a run."""
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
    cells = [[_probe(run, name) for name in probes] for run in some]
    rows: list[list[str | Spans]]
    if len(some) > words.MOST_NAMED:  # the longer side goes down the page
        columns = ("run", *(name.replace("_", " ") for name in probes))
        rows = [[(Mark("code", r.name),), *own] for r, own in zip(some, cells, strict=True)]
    else:
        columns = ("what is seen", *(run.name for run in some))
        across = zip(*cells, strict=True)
        rows = [[what, *own] for what, own in zip(probes.values(), across, strict=True)]
    about = prose("AUROC of what a classifier reaches that sees this alone; 95 % intervals.")
    phantom = any(run.phantom for run in some)
    return [listing("audit-probes", about, columns, rows, phantom, save=True)]


def _probe(run: Run, name: str) -> str | Spans:
    """A probe's AUROC of a run; the run's own struck through where it must be."""
    probe = run.results["audit"].get(name)
    figure = probe.get("auroc") if isinstance(probe, Mapping) else None
    text = shown(figure) if is_figure(figure) else ""
    return (Mark("struck", text),) if name == "run" and struck(run) else text


def calibration(runs: Sequence[Run]) -> list[Grid]:
    """Scores, calibration in the large and slope, before and after the map of validation."""
    rows, verdicts = [], []
    for run in runs:
        found = run.results.get("calibration")
        lead = (Mark("code", run.name),)
        if not isinstance(found, Mapping) or not is_figure(found.get("after", {}).get("slope")):
            figures = run.results["splits"].get(words.tested(run), {})
            if "brier" in figures:
                rows.append(Row((lead, "as they come"), figures, (), run.phantom))
            continue
        for key, text in (("before", "as they come"), ("after", str(found["method"]))):
            rows.append(Row((lead, text), found[key], (), run.phantom))
        verdicts.append(prose("`{run}`: {verdict}.", run=run.name, verdict=found["verdict"]))
    if not rows:
        return []
    about = prose(
        "Calibration on the tested images, as the networks give the probabilities and by the map "
        "that was fitted on validation. "
    )
    for verdict in verdicts:
        about = (*about, *verdict, " ")
    columns = [Column(name, words.first_large(text)) for name, text in NAMES.items()]
    columns = [one._replace(larger=None) for one in columns]
    return [compared("calibration-scores", about, ("run", "probabilities"), rows, columns)]


def subgroups(runs: Sequence[Run]) -> list[Grid]:
    """The figures within what is known of the images: source, age, sex, view, film series."""
    rows: list[list[str | int | Spans]] = []
    some = [run for run in runs if isinstance(run.results.get("subgroups"), Mapping)]
    names = ("sensitivity", "specificity", "auroc", "accuracy")
    for run in some:
        for kind, parts in run.results["subgroups"].items():
            for name, row in parts.items():
                cells = [shown(row.get(figure)) for figure in names]
                rows.append([(Mark("code", run.name),), f"{kind}: {name}", row["n"], *cells])
    if not rows:
        return []
    about = prose(
        "Within subgroups of the tested images, as far as anything is known of them; empty where a "
        "subgroup has no image of the class. Differences between them go with the labels and the "
        "hospitals, and show no cause."
    )
    columns = ("run", "subgroup", "images", "sensitivity", "specificity", "AUROC", "accuracy")
    return [listing("subgroups", about, columns, rows, any(r.phantom for r in some), save=True)]


def operating(runs: Sequence[Run]) -> list[Grid]:
    """What is reached at given specificities and sensitivities, and by validation's threshold."""
    rows: list[list[str | Spans]] = []
    some = [run for run in runs if isinstance(run.results.get("operating_points"), Mapping)]
    for run in some:
        for name, point in run.results["operating_points"].items():
            reached = point.get("chosen_on_validation", {})
            cells = [shown(reached.get(rate)) for rate in ("sensitivity", "specificity")]
            text = name.replace("_", " ")
            rows.append([(Mark("code", run.name),), text, shown(point), *cells])
    if not rows:
        return []
    about = prose(
        "Operating points: read off the tested images' own ROC curve, and beside it what these "
        "images get at the threshold that reaches the point on validation."
    )
    columns = ("run", "point", "on the ROC curve", "sensitivity there", "specificity there")
    return [listing("operating", about, columns, rows, any(r.phantom for r in some), save=True)]


def predictive(runs: Sequence[Run]) -> list[Grid]:
    """What a call means where the disease is rarer or commoner than among the tested images."""
    rows: list[list[str | int | float | Spans]] = []
    some = [run for run in runs if isinstance(run.results.get("predictive_values"), Mapping)]
    for run in some:
        values = run.results["predictive_values"]
        for share in card_evidence.SHOWN_PREVALENCES:
            if share in values["prevalence"]:
                place = values["prevalence"].index(share)
                cells = [shown(card_evidence.at(values[name], place)) for name in ("ppv", "npv")]
                rows.append([(Mark("code", run.name),), f"{100 * share:g} %", *cells])
    if not rows:
        return []
    about = prose(
        "Predictive values at an assumed prevalence, if sensitivity and specificity were the same "
        "there as on the tested images; 95 % intervals."
    )
    columns = ("run", "prevalence", "positive predictive value", "negative predictive value")
    return [listing("predictive", about, columns, rows, any(r.phantom for r in some), save=True)]
