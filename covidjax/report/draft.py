"""The draft report: what its templates are given, and the Markdown that they make of it."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from covidjax.report import facts, figures, looks, markdown, tables_runs, words
from covidjax.report.markdown import Author, Figure, Grid, Markdown, md
from covidjax.report.writer import Writer, environment, template
from covidjax.runs.folder import Run

PHANTOM_ALL = "PHANTOM: every image is synthetic. Nothing in this report says anything of patients."
PHANTOM_SOME = (
    "PHANTOM: some runs are of synthetic images. What is marked so says nothing of patients."
)
# What contents that are not as they should be make the templates and tables raise.
ODD = (
    *(KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError),
    jinja2.TemplateError,
)
EXPERIMENTS = {
    "classify": "classification",
    "denoise": "denoising",
    "dip": "Deep Image Prior",
    "tune": "hyperparameter search",
    "eda": "exploration of the data",
}


@dataclasses.dataclass(frozen=True)
class Draft:
    """A report's text and what stands in it.

    Attributes:
      title: with PHANTOM before it where images are synthetic.
      warning: the line on top of all, "" for none.
      facts: (what, value) below the title.
      text: of `report.md`.
      authors: all places for a person's text, in their order.
      tables, figures: by name, in their order.
      references: how many are cited.
    """

    title: str
    warning: str
    facts: tuple[tuple[str, str], ...]
    text: str
    authors: tuple[Author, ...]
    tables: Mapping[str, Grid]
    figures: Mapping[str, Figure]
    references: int = 0


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
        elif run.experiment not in EXPERIMENTS:
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
    *,
    title: str = "",
    most: int = 5,
    written: Mapping[str, str] | None = None,
) -> Draft:
    """The whole draft.

    Args:
      runs: finished ones, as `usable` gives them.
      others: the rest, which are listed.
      drawn: figures over all runs.
      title: "" for one that names what the runs did.
      most: figures of each run in a section; the others stay in its folder.
      written: key of a place -> a person's text; texts without a place get a section at the end.
    """
    phantom = [run for run in runs if run.phantom]
    mark, warning = "", ""
    if phantom:
        every = len(phantom) == len(runs)
        mark = "PHANTOM: " if every else "Partly PHANTOM: "
        warning = PHANTOM_ALL if every else PHANTOM_SOME
    writer = Writer(written or {})
    known = facts.of(runs)
    context = {
        **known,
        "title": title or _title(runs),
        "mark": mark,
        "warning": warning,
        "facts": _facts(runs, others),
        "others": others,
        "look_contents": [looks.read(run, len(known["looks"]) > 1) for run in known["looks"]],
        "pictures": [*drawn, *figures.of_runs(runs, figures.RESULTS, most)],
        "audit_pictures": figures.of_runs(known["tested"], {"classify": figures.AUDIT}, most),
        "calibration_pictures": figures.of_runs(
            known["tested"], {"classify": figures.CALIBRATION}, most
        ),
        "commands": [Markdown(line) for run in runs if (line := tables_runs.command(run))],
        "versions": tables_runs.versions(runs),
    }
    answers = _answers(writer, context)
    context["checklists"] = [
        _checklist("tripod", "TRIPOD+AI", answers, bool(phantom)),
        _checklist("claim", "CLAIM, 2024 update", answers, bool(phantom)),
    ]
    text = writer.finished(environment(writer).get_template("report.md.j2").render(context))
    return Draft(
        mark + str(context["title"]),
        warning,
        tuple(context["facts"]),
        text,
        tuple(writer.places.values()),
        writer.tables,
        writer.figures,
        len(writer.cited),
    )


def _answers(writer: Writer, context: Mapping[str, Any]) -> dict[str, Markdown]:
    """What the runs know of the checklists' items."""
    text = environment(writer).get_template("answers.md.j2").render(context)
    pairs = (line.partition(": ") for line in text.splitlines() if line.strip())
    return {key: Markdown(answer) for key, _, answer in pairs}


def _checklist(key: str, title: str, answers: Mapping[str, Markdown], phantom: bool) -> Grid:
    """A checklist: an item that the runs know is answered; the others are for the author."""
    lines = csv.DictReader(io.StringIO(template("checklists.csv")))
    rows = [
        (
            line["item"],
            line["what"],
            answers.get(line["answer"]) or Author(f"{key}-{line['item']}", "author"),
        )
        for line in lines
        if line["checklist"] == key
    ]
    answered = sum(not isinstance(row[2], Author) for row in rows)
    caption = md(f"{title}: {answered} of {len(rows)} items answered by the runs.")
    return markdown.listing(
        f"checklist-{key}", caption, ("item", "what", "answer"), rows, phantom, save=False
    )


def _title(runs: Sequence[Run]) -> str:
    networks = [run for run in runs if run.experiment != "eda"] or runs
    parts = [
        what
        for name, what in EXPERIMENTS.items()
        if any(run.experiment == name for run in networks)
    ]
    return f"Chest radiographs, draft report: {words.listed(parts) or 'no finished runs'}"


def _facts(runs: Sequence[Run], others: Sequence[Run]) -> list[tuple[str, str]]:
    counts = words.grouped(runs, lambda run: run.experiment)
    told = ", ".join(f"{len(some)} {name}" for name, some in counts.items()) or "none"
    phantom = sum(run.phantom for run in runs)
    data = "real images"
    if phantom:
        real = len(runs) - phantom
        data = f"{real} of real images, {phantom} PHANTOM" if real else "PHANTOM, synthetic images"
    found = [("Runs", f"{len(runs)} finished ({told})"), ("Data", data if runs else "none")]
    if others:
        found.append(("Left out", f"{len(others)}, listed under Reproducibility"))
    found.append(("State", "draft: every figure comes from a run; the words need an author"))
    return found
