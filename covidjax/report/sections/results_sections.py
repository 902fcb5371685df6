"""The draft's sections on what was found: results, audit, calibration, figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from covidjax.report.document import (
    Author,
    Block,
    Bullets,
    Figure,
    Heading,
    Mark,
    Paragraph,
    Spans,
    prose,
)
from covidjax.report.sections import figures, tables_classify, tables_denoise, words
from covidjax.report.sections.tables import shown
from covidjax.runs.folder import Run, is_figure


def of_experiment(runs: Sequence[Run], name: str) -> list[Run]:
    """The runs of one experiment."""
    return [run for run in runs if run.experiment == name]


def results(runs: Sequence[Run]) -> list[Block]:
    """All tables of figures, each part with a sentence that says what is in it."""
    found: list[Block] = []
    classifiers = [run for run in of_experiment(runs, "classify") if words.tested(run)]
    if classifiers:
        found += [Heading("Classification"), *_told(classifiers)]
        found += tables_classify.results(classifiers)
        found += tables_classify.operating(classifiers)
        found += tables_classify.subgroups(classifiers)
        note = prose(
            "Overlapping intervals are no proof that two runs are alike: on the same images the "
            "paired comparison `python -m covidjax.compare RUN_A RUN_B` is the sharper one."
        )
        found += [Paragraph(note)] if len(classifiers) > 1 else []
    denoisers = of_experiment(runs, "denoise")
    if denoisers:
        found += [Heading("Denoising"), *_denoised(denoisers), *tables_denoise.denoising(denoisers)]
    priors = of_experiment(runs, "dip")
    if priors:
        found += [Heading("Deep Image Prior"), *_stops(priors), *tables_denoise.priors(priors)]
    searches = of_experiment(runs, "tune")
    if searches:
        found += [Heading("Hyperparameter search"), *tables_denoise.searches(searches)]
    if not found:
        found.append(Paragraph(prose("No finished run of a network is among the runs.")))
    found.append(Author("results", "Say in words what these figures mean for the question."))
    return found


def _told(runs: Sequence[Run]) -> list[Block]:
    """A sentence a set of comparable runs."""
    items: list[Spans] = []
    for (task, split, n, *_), some in tables_classify.comparable(runs).items():
        figures = [(run, run.results["splits"][split].get("auroc")) for run in some]
        known = [(run, one) for run, one in figures if one and one["value"] is not None]
        if not known:
            continue
        known.sort(key=lambda one: one[1]["value"])
        about = {
            "mark": "PHANTOM: " if known[0][0].phantom else "",
            "task": words.first_large(words.task(str(task))),
            "n": f"{n:,}" if isinstance(n, int) else "its",
            "split": words.SPLITS[split],
            "high": _auroc(*known[-1]),
        }
        if len(known) == 1:
            text = prose("{mark}{task}, {n} images of {split}: AUROC {high}.", **about)
        else:
            text = prose(
                "{mark}{task}, {n} images of {split}: {count} runs, AUROC from {low} to {high}.",
                **about,
                count=str(len(known)),
                low=_auroc(*known[0]),
            )
        items.append(text)
    return [Bullets(tuple(items))] if items else []


def _auroc(run: Run, figure: Mapping[str, Any]) -> Spans:
    """A run's AUROC, struck through where it must be, with the run's name."""
    text = shown(figure)
    written = Mark("struck", text) if tables_classify.struck(run) else text
    return (written, " (", Mark("code", run.name), f", {words.network(run)})")


def _denoised(runs: Sequence[Run]) -> list[Block]:
    items: list[Spans] = []
    for run in runs:
        name = str(run.results.get("network", {}).get("name", run.setting("model.name", "")))
        for key, figure in run.results["splits"].get("test", {}).items():
            parts = key.split("/")
            if len(parts) == 4 and parts[0] == f"{name}_minus_bm3d" and parts[3] == "psnr":
                items.append(
                    prose(
                        "{mark}`{run}`: at {kind} noise of level {level} the network's PSNR lies "
                        "{by} dB above BM3D's (paired, {n} images).",
                        mark="PHANTOM: " if run.phantom else "",
                        run=run.name,
                        kind=parts[1].replace("_", " "),
                        level=parts[2],
                        by=shown(figure, 2),
                        n=str(figure.get("n", "?")),
                    )
                )
    return [Bullets(tuple(items))] if items else []


def _stops(runs: Sequence[Run]) -> list[Block]:
    items: list[Spans] = []
    for run in runs:
        stop = run.results.get("stop")
        if not isinstance(stop, Mapping):
            continue
        gap = stop.get("gap_db")
        lost = f", {gap['mean']:.2f} dB below the best step of each" if gap else ""
        items.append(
            prose(
                "{mark}`{run}`: {fits} of {steps} steps on average, stopped at step {at} on "
                "average{lost}.",
                mark="PHANTOM: " if run.phantom else "",
                run=run.name,
                fits=words.counted(int(stop.get("fits", 0)), "fit"),
                steps=f"{stop.get('mean_steps', 0):,.0f}",
                at=f"{stop.get('mean_stop', 0):,.0f}",
                lost=lost,
            )
        )
    return [Bullets(tuple(items))] if items else []


def audit(runs: Sequence[Run], most: int) -> list[Block]:
    """The verdicts, the probes, and where the networks look."""
    classifiers = [run for run in of_experiment(runs, "classify") if words.tested(run)]
    items: list[Spans] = []
    without = []
    for run in classifiers:
        found = run.results.get("audit")
        if not isinstance(found, Mapping) or "verdict" not in found:
            without.append(run)
            continue
        mark = "PHANTOM: " if run.phantom else ""
        verdict = str(found["verdict"])
        items.append(prose("{mark}`{run}`: {verdict}", mark=mark, run=run.name, verdict=verdict))
    blocks: list[Block] = [Bullets(tuple(items))] if items else []
    if without:
        text = prose(
            "Not audited: {runs}. Nothing says how much of their scores needs a lung.",
            runs=words.names(without),
        )
        blocks.append(Paragraph(text))
    if not classifiers:
        blocks.append(Paragraph(prose("There is no finished classifier to audit.")))
    blocks += tables_classify.audits(classifiers)
    blocks += _looks(classifiers)
    for run in classifiers:
        blocks += figures.of_run(run, figures.AUDIT, most)
    return blocks


def _looks(runs: Sequence[Run]) -> list[Block]:
    items: list[Spans] = []
    for run in runs:
        found = run.results.get("saliency")
        if not isinstance(found, Mapping) or not is_figure(found.get("share_outside_thorax")):
            continue
        items.append(
            prose(
                "{mark}`{run}`: {share} of {method} lies outside the thorax's ellipse, where a map "
                "that is the same everywhere has {even}; rank correlation with the maps of "
                "networks with random weights: {random}.",
                mark="PHANTOM: " if run.phantom else "",
                run=run.name,
                share=shown(found["share_outside_thorax"]),
                method=str(found.get("method", "the map")),
                even=f"{found['even_map']:.3f}",
                random=shown(found.get("randomisation")),
            )
        )
    return [Bullets(tuple(items))] if items else []


def calibration(runs: Sequence[Run], most: int) -> list[Block]:
    """How far the probabilities can be believed, and what acting on them is worth."""
    classifiers = [run for run in of_experiment(runs, "classify") if words.tested(run)]
    found: list[Block] = [*tables_classify.calibration(classifiers)]
    if not found:
        return [Paragraph(prose("No finished run has calibration figures."))]
    found += tables_classify.predictive(classifiers)
    for run in classifiers:
        found += figures.of_run(run, figures.CALIBRATION, most)
    return found


def pictures(runs: Sequence[Run], drawn: Sequence[Figure], most: int) -> list[Block]:
    """The figure over all runs, then those of each run."""
    found: list[Block] = list(drawn)
    for run in runs:
        found += figures.of_run(run, figures.RESULTS.get(run.experiment, {}), most)
    if not found:
        found.append(Paragraph(prose("The runs left no figures.")))
    return found
