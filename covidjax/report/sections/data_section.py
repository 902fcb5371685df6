"""The draft's section on the data: from a look at it (`eda.json`), else from what the runs know."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from covidjax.report.document import Author, Block, Bullets, Figure, Grid, Heading, Paragraph, prose
from covidjax.report.sections import words
from covidjax.report.sections.figures import is_png, safe
from covidjax.report.sections.tables import listing
from covidjax.runs.folder import UNREADABLE, Run

# Of the look's figures and tables those that a report shows, by name.
SHOWN_FIGURES = ("class_counts", "sizes", "class_images", "position_maps", "sample_covid_19")
SHOWN_TABLES = ("counts", "sources", "sizes")
MOST_ARCHIVES = 3  # in a sentence; every run's config.json names its own
COMMAND = "python launch.py --config=configs/eda.py"


def blocks(looks: Sequence[Run], runs: Sequence[Run]) -> list[Block]:
    """The section's blocks: provenance, what the look found, counts by split, and a place to add.

    Args:
      looks: finished runs of the experiment eda.
      runs: the other finished ones.
    """
    found: list[Block] = [_provenance([*looks, *runs])]
    for run in looks:
        found += _look(run, several=len(looks) > 1)
    if not looks:
        missing = prose(
            "No look at the data was among the runs: `{command}` makes one, and this section "
            "then has its counts and figures.",
            command=COMMAND,
        )
        found.append(Paragraph(missing))
    found += _counts([run for run in runs if run.experiment == "classify"])
    found.append(
        Author("data", "Say here how the data were chosen, and what ethics committee agreed.")
    )
    return found


def _provenance(runs: Sequence[Run]) -> Paragraph:
    kinds = {run.phantom for run in runs}
    archives: dict[str, None] = {}
    for run in runs:
        data = run.about.get("data")
        if isinstance(data, Mapping) and data.get("archive"):
            print_ = str(data.get("fingerprint", ""))[:16]
            archives[f"{data['archive']} (fingerprint {print_}, {data.get('kind')})"] = None
    named = list(archives)
    if len(named) > MOST_ARCHIVES:
        named = [*named[:MOST_ARCHIVES], f"{len(named) - MOST_ARCHIVES} more"]
    known = f"Archives: {words.listed(named)}." if named else ""
    spans: Any = ()
    if False in kinds or not kinds:
        spans += prose(
            "The images are those of CoronaHack [@coronahack], a collection on Kaggle: children's "
            "radiographs of one hospital in Guangzhou [@kermany2018] and adults' collected from "
            "publications, all of COVID-19 among them [@cohen2020], packaged with TensorFlow "
            "Datasets [@tfds]. "
        )
    if True in kinds:
        spans += prose(
            "**PHANTOM**: {part} synthetic radiographs, drawn by the programme in the layout of "
            "CoronaHack [@coronahack]. They show that everything works, and say nothing about "
            "patients. ",
            part="some runs are of" if False in kinds else "the images are",
        )
    return Paragraph((*spans, known))


def _look(run: Run, several: bool) -> list[Block]:
    """What `eda.json` of one look says; a damaged one is named."""
    try:
        found = json.loads((run.folder / "eda.json").read_text(encoding="utf-8"))
        sentences = [str(sentence) for sentence in found["sentences"]]
        sections = list(found["sections"])
        figures = [f for section in sections for f in _figures(run, section["figures"], several)]
        tables = [t for section in sections for t in _tables(run, section["tables"], several)]
    except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
        text = prose("The look `{run}` cannot be read: {error}.", run=run.name, error=repr(error))
        return [Paragraph(text)]
    heading = [Heading(f"What the look {run.name} found")] if several else []
    mark = "PHANTOM. " if run.phantom else ""
    intro = prose("{mark}What a look at them (`{run}`) found:", mark=mark, run=run.name)
    return [
        *heading,
        Paragraph(intro),
        Bullets(tuple((sentence,) for sentence in sentences), numbered=True),
        *tables,
        *figures,
    ]


def _figures(run: Run, described: Sequence[Mapping[str, Any]], several: bool) -> list[Figure]:
    found = []
    for figure in described:
        path = _below(run.folder, str(figure["png"]))
        if figure["name"] in SHOWN_FIGURES and path is not None and is_png(path):
            name = f"data-{figure['name'].replace('_', '-')}" + (
                f"-{safe(run.name)}" if several else ""
            )
            alt = str(figure["alt"])
            found.append(Figure(name, path, None, str(figure["caption"]), alt))
    return found


def _tables(run: Run, described: Sequence[Mapping[str, Any]], several: bool) -> list[Grid]:
    found = []
    for table in described:
        path = _below(run.folder, str(table["csv"]))
        if table["name"] not in SHOWN_TABLES or path is None or not path.is_file():
            continue
        frame = pd.read_csv(path, keep_default_na=False)
        frame = frame.drop(columns="data", errors="ignore")
        name = f"data-table-{table['name']}".replace("_", "-") + (
            f"-{safe(run.name)}" if several else ""
        )
        rows = [[_plain(value) for value in row] for row in frame.itertuples(index=False)]
        caption = prose("{caption}", caption=str(table["caption"]))
        columns = [str(column) for column in frame.columns]
        found.append(listing(name, caption, columns, rows, run.phantom, True))
    return found


def _below(folder: Path, name: str) -> Path | None:
    """A file that the look names, if it lies in the look's folder."""
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def _plain(value: Any) -> str | int | float:
    if hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, int | float) else str(value)


def _counts(runs: Sequence[Run]) -> list[Block]:
    """Images a class in each split, of the runs' confusion matrices."""
    rows: dict[str, list[str | int]] = {}
    phantom = False
    for run in runs:
        matrices = run.results.get("confusion_matrix")
        if not isinstance(matrices, Mapping):
            continue
        for split, matrix in matrices.items():
            counts = zip(run.results.get("classes", []), matrix, strict=False)
            text = ", ".join(f"{sum(row):,} {name}" for name, row in counts)
            how = words.SPLITS.get(str(split), str(split))
            task = words.task(str(run.results.get("task", "")))
            mark = " (PHANTOM)" if run.phantom else ""
            total = sum(map(sum, matrix))
            rows.setdefault(f"{task}|{how}|{text}{mark}", [f"{task}{mark}", how, total, text])
            phantom = phantom or run.phantom
    if not rows:
        return []
    about = prose("Images that classifiers were validated and tested on.")
    columns = ("task", "split", "images", "by class")
    return [listing("split-counts", about, columns, list(rows.values()), phantom, save=True)]
