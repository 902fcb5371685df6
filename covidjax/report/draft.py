"""The draft report: what its templates are given, and the Markdown that they make of it."""

import csv
import dataclasses
import functools
import io
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2

from covidjax.report import facts, figures, keep, looks, markdown, tables_runs, words
from covidjax.report.markdown import Author, Cell, Figure, Grid, Markdown, escape, md
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
TOKEN = re.compile("\0(\\w+):([^\0]*)\0")


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
    writer = _Writer(written or {})
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
    text = writer.finished(_environment(writer).get_template("report.md.j2").render(context))
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


class _Writer:
    """What templates call: it numbers tables, figures and citations in the order of the text.

    Places, references and links to sections are tokens until the whole text is there.
    """

    def __init__(self, written: Mapping[str, str]) -> None:
        self.written = written
        self.places: dict[str, Author] = {}
        self.tables: dict[str, Grid] = {}
        self.figures: dict[str, Figure] = {}
        self.cited: dict[str, int] = {}

    def section(self, title: str) -> Markdown:
        """A section's title."""
        return escape(title)

    def ref(self, title: str) -> Markdown:
        """A link to the section of that title."""
        return Markdown(f"[{title}](#{slug(title)})")

    def cite(self, *keys: str) -> Markdown:
        """Numbers of references, such as [3, 4]."""
        for key in keys:
            if key not in references():
                raise KeyError(f"no reference {key}")
            self.cited.setdefault(key, len(self.cited) + 1)
        return Markdown(f"[{', '.join(str(self.cited[key]) for key in keys)}]")

    def references(self) -> Markdown:
        """The list of what is cited, checklists included."""
        return Markdown("\0references:\0")

    def author(self, key: str, prompt: str) -> Markdown:
        """A place for a person's text."""
        self.places[key] = Author(key, prompt)
        return Markdown(f"\0author:{key}\0")

    def show(self, figure: Figure) -> Markdown:
        """A figure with its number and caption."""
        name = _distinct(figure.name, self.figures)
        self.figures[name] = dataclasses.replace(figure, name=name)
        label = f"**Figure {len(self.figures)}.** {escape(figure.caption)}"
        return Markdown(f"![{escape(figure.alt)}](figures/{name}.png)\n\n{label}")

    def tabulate(self, grid: Grid) -> Markdown:
        """A table with its number, caption and a link to its CSV file."""
        name = _distinct(grid.name, self.tables)
        self.tables[name] = dataclasses.replace(grid, name=name)
        for row in grid.rows:
            self.places |= {cell.key: cell for cell in row if isinstance(cell, Author)}
        label = f"**Table {len(self.tables)}.** {grid.caption}"
        if grid.frame is not None:
            label += f" ([CSV](tables/{name}.csv))"
        rows = [
            [cell.text if isinstance(cell, Cell) else f"\0cell:{cell.key}\0" for cell in row]
            for row in grid.rows
        ]
        return Markdown(f"{label}\n\n{markdown.table(grid.columns, rows)}")

    def finished(self, text: str) -> str:
        """The text with a person's words and the references, and one empty line at a time."""
        text = re.sub(r"\n{3,}", "\n\n", text)
        gone = {key: own for key, own in self.written.items() if key not in self.places and own}
        if gone:
            self.places |= {key: Author(key, "") for key in gone}
            kept = "\n\n".join(f"\0author:{key}\0" for key in gone)
            text = f"{text.rstrip()}\n\n## Kept from an earlier version\n\n{kept}"
        return TOKEN.sub(self._token, text).rstrip() + "\n"

    def _token(self, match: re.Match[str]) -> str:
        kind, key = match.groups()
        if kind == "references":
            return "\n".join(f"{n}. {escape(references()[key])}" for key, n in self.cited.items())
        place = self.places[key]
        text = self.written.get(key, place.prompt)
        if kind == "cell":
            return f"{keep.begin(place)}{markdown.in_cell(text)}{keep.end(place)}"
        return f"{keep.begin(place)}\n{text}\n{keep.end(place)}"


def slug(title: str) -> str:
    """What a section is called in links, as code hosts have it."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


@functools.cache
def references() -> Mapping[str, str]:
    """Key -> the entry in words."""
    return tomllib.loads(_template("references.toml"))


def _template(name: str) -> str:
    return resources.files("covidjax.report.templates").joinpath(name).read_text("utf-8")


@functools.cache
def _loader() -> jinja2.BaseLoader:
    return jinja2.FunctionLoader(_template)


def _environment(writer: _Writer) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=_loader(),
        finalize=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    own: Sequence[Callable[..., Any]] = (
        *(writer.section, writer.ref, writer.cite, writer.references),
        *(writer.author, writer.show, writer.tabulate),
    )
    environment.globals |= facts.FUNCTIONS | {function.__name__: function for function in own}
    return environment


def _answers(writer: _Writer, context: Mapping[str, Any]) -> dict[str, Markdown]:
    """What the runs know of the checklists' items."""
    text = _environment(writer).get_template("answers.md.j2").render(context)
    pairs = (line.partition(": ") for line in text.splitlines() if line.strip())
    return {key: Markdown(answer) for key, _, answer in pairs}


def _checklist(key: str, title: str, answers: Mapping[str, Markdown], phantom: bool) -> Grid:
    """A checklist: an item that the runs know is answered; the others are for the author."""
    lines = csv.DictReader(io.StringIO(_template("checklists.csv")))
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


def _distinct(name: str, taken: Mapping[str, Any]) -> str:
    """The name, or with a number where something before it has the same."""
    number = 1
    while (found := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return found


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
