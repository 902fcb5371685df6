"""The draft report: the document that the runs make, whatever state they are in."""

import dataclasses
from collections.abc import Sequence

from covidjax.report import numbering
from covidjax.report.document import (
    Author,
    Block,
    Bullets,
    Document,
    Figure,
    Paragraph,
    References,
    Section,
    prose,
)
from covidjax.report.sections import (
    back_sections,
    checklists,
    data_section,
    methods_classify,
    methods_denoise,
    methods_shared,
    results_sections,
    words,
)
from covidjax.report.sections.references import REFERENCES
from covidjax.runs.folder import Run

PHANTOM_ALL = "PHANTOM: every image is synthetic. Nothing in this report says anything of patients."
PHANTOM_SOME = (
    "PHANTOM: some runs are of synthetic images. What is marked so says nothing of patients."
)
# What contents that are not as they should be make the sections raise.
ODD = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError)
QUESTIONS = {
    "classify": "How well does a convolutional network tell {tasks} on chest radiographs, and how "
    "much of its score needs no lung?",
    "denoise": "How much of the noise on chest radiographs can a trained network take away beside "
    "the usual methods, and what becomes of the diagnosis?",
    "dip": "How far does a network get that is fitted to each radiograph alone?",
    "tune": "What does a search for settings bring beside the defaults?",
    "eda": "What is in the data before anything is trained?",
}


def usable(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The finished runs of which a report can be made, and all others.

    Where the report of all fails, each is tried alone and with those before it: one whose results
    are of the right form outside and wrong inside becomes a damaged one.
    """
    known, others = [], []
    for run in runs:
        if run.experiment == "report":
            continue
        if run.state != "finished":
            others.append(run)
        elif run.experiment not in QUESTIONS:
            unknown = f"an experiment that this report does not know: {run.experiment}"
            others.append(_damaged(run, unknown))
        else:
            known.append(run)
    if not unusable(known):
        return known, others
    good: list[Run] = []
    for run in known:
        if note := unusable([run]) or unusable([*good, run]):
            others.append(_damaged(run, note))
        else:
            good.append(run)
    return good, others


def _damaged(run: Run, note: str) -> Run:
    return dataclasses.replace(run, state="damaged", note=note, results={})


def unusable(runs: Sequence[Run]) -> str:
    """Why no report can be made of these runs, "" where it can."""
    try:
        compose(runs, [], [])
    except ODD as error:
        return f"results.json cannot be used: {type(error).__name__} {error}"
    return ""


def compose(
    runs: Sequence[Run],
    others: Sequence[Run],
    drawn: Sequence[Figure],
    title: str = "",
    most: int = 5,
) -> Document:
    """The whole document.

    Args:
      runs: finished ones, as `usable` gives them.
      others: the rest, which are listed.
      drawn: figures over all runs.
      title: "" for one that names what the runs did.
      most: figures of each run in a section; the others stay in its folder.
    """
    looks = [run for run in runs if run.experiment == "eda"]
    rest = [run for run in runs if run.experiment != "eda"]
    phantom = [run for run in runs if run.phantom]
    all_of_them = bool(phantom) and len(phantom) == len(runs)
    sections = (
        Section("question", "Question", (), tuple(_question(runs))),
        Section("data", "Data", (), tuple(data_section.blocks(looks, rest))),
        Section("methods", "Methods", (), tuple(_methods(rest))),
        Section("results", "Results", (), tuple(results_sections.results(rest))),
        Section("audit", "Shortcut audit", (), tuple(results_sections.audit(rest, most))),
        Section("calibration", "Calibration", (), tuple(results_sections.calibration(rest, most))),
        Section("figures", "Figures", (), tuple(results_sections.pictures(rest, drawn, most))),
        Section("limitations", "Limitations", (), tuple(back_sections.limitations(runs))),
        Section(
            "reproducibility",
            "Reproducibility",
            (),
            tuple(back_sections.reproducibility(runs, others)),
        ),
        Section("references", "References", (), (References(),)),
        Section("checklists", "Checklists", (), tuple(checklists.checklists(rest, looks))),
    )
    mark, warning = "", ""
    if phantom:
        mark = "PHANTOM: " if all_of_them else "Partly PHANTOM: "
        warning = PHANTOM_ALL if all_of_them else PHANTOM_SOME
    return Document(
        title or _title(rest or runs),
        mark,
        warning,
        _facts(runs, others),
        numbering.distinct(sections),
        REFERENCES,
    )


def _title(runs: Sequence[Run]) -> str:
    named = {
        "classify": "classification",
        "denoise": "denoising",
        "dip": "Deep Image Prior",
        "tune": "hyperparameter search",
        "eda": "a look at the data",
    }
    parts = [what for name, what in named.items() if any(run.experiment == name for run in runs)]
    about = words.listed(parts) or "no finished runs"
    return f"Chest radiographs, draft report: {about}"


def _question(runs: Sequence[Run]) -> list[Block]:
    classifiers = [run for run in runs if run.experiment == "classify"]
    tasks = {words.task(str(run.results.get("task"))) for run in classifiers}
    asked = [
        question.format(tasks=words.listed(sorted(tasks)) or "classes")
        for name, question in QUESTIONS.items()
        if any(run.experiment == name for run in runs)
    ]
    if not asked:
        return [Paragraph(prose("No run is finished yet.")), _asked()]
    intro = prose("What the runs can answer:")
    return [Paragraph(intro), Bullets(tuple((text,) for text in asked)), _asked()]


def _asked() -> Author:
    prompt = (
        "State the clinical question, whom it is about, what is known already, and what a good "
        "answer would change."
    )
    return Author("question", prompt)


def _methods(runs: Sequence[Run]) -> list[Block]:
    known = [run for run in runs if run.settings]
    classifiers, denoisers, priors, searches = (
        [run for run in known if run.experiment == name]
        for name in ("classify", "denoise", "dip", "tune")
    )
    parts = [
        *methods_classify.classifiers(classifiers),
        *methods_denoise.denoisers(denoisers),
        *methods_denoise.priors(priors, denoisers),
        *methods_denoise.searches(searches),
        *methods_shared.shared(known),
    ]
    without = [run for run in runs if not run.settings]
    if without:
        text = prose("No config was found of {runs}.", runs=words.names(without))
        parts.append(Paragraph(text))
    if not parts:
        parts.append(Paragraph(prose("There is no finished run to describe.")))
    prompt = "Add what the configs cannot know: how the reference standard came about, protocol."
    return [*parts, Author("methods", prompt)]


def _facts(runs: Sequence[Run], others: Sequence[Run]) -> tuple[tuple[str, str], ...]:
    counts = words.grouped(runs, lambda run: run.experiment)
    told = ", ".join(f"{len(some)} {name}" for name, some in counts.items()) or "none"
    phantom = sum(run.phantom for run in runs)
    data = "real images"
    if phantom:
        real = len(runs) - phantom
        data = f"{real} of real images, {phantom} PHANTOM" if real else "PHANTOM, synthetic images"
    facts = [("Runs", f"{len(runs)} finished ({told})"), ("Data", data if runs else "none")]
    if others:
        facts.append(("Left out", f"{len(others)}, listed under Reproducibility"))
    facts.append(("State", "draft: every figure comes from a run; the words need an author"))
    return tuple(facts)
