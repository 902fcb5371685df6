"""The draft report of finished runs, and the local page that shows runs while they go on."""

import dataclasses
import importlib.metadata
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections

from covidjax import locking
from covidjax.locking import temporary
from covidjax.report import (
    collect,
    draft,
    figures,
    html,
    keep,
    page,
    pandoc,
    tables_runs,
)
from covidjax.report.draft import Draft
from covidjax.report.live import serve
from covidjax.runs import config as fields
from covidjax.runs import results
from covidjax.runs.flat import listed
from covidjax.runs.folder import Run, read_object
from covidjax.runs.workdir import WorkdirError
from covidjax.training.signals import StoppedError

NAMES = ("report.md", "report.html", *pandoc.WRITERS)


def run(config: ml_collections.ConfigDict, folder: Path) -> dict[str, Any]:
    """Runs the experiment and returns what `results.json` holds; {} of a page that was served.

    Writes `report.md`, `report.html`, `report.tex`, `report.docx`, `figures/`, `tables/`,
    `settings/` and last `results.json`.
    A run in the same folder writes the report anew, and keeps a person's texts.

    Raises:
      ValueError and its kind: a config that cannot work, a folder of something else, an earlier
        `report.md` that cannot be taken apart (nothing is written then).
    """
    check(config)
    if config.serve:
        try:
            serve.serve(listed(config.runs), config.port)
        except StoppedError:
            print("\nStopped.")
        return {}
    start = time.time()
    _check_folder(folder)
    with locking.try_exclusive(folder / ".lock") as held:
        if not held:
            raise WorkdirError(f"another process is writing to --workdir={folder}")
        return write(config, folder, start)


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError, one line that names the field, unless the config can run."""
    if not listed(config.runs):
        raise ValueError("config.runs is empty: name folders of runs, such as runs/*")
    fields.check(config)


def write(config: ml_collections.ConfigDict, folder: Path, start: float) -> dict[str, Any]:
    """Writes the report of all runs into the folder, whose lock is held."""
    edited = keep.read_authors(folder / "report.md")
    before = read_object(folder / "results.json")[0].get("files")
    known = before if isinstance(before, Mapping) else {}
    about = {
        "config": json.loads(config.to_json()),
        "versions": {"covidjax": importlib.metadata.version("covidjax")},
    }
    results.write_results(folder / "config.json", about)  # first: the folder is a report's now
    runs, others = draft.usable(collect.collect(listed(config.runs), without=folder))
    drawn = figures.draw(runs, folder / "figures")
    made = draft.compose(
        runs, others, drawn, title=config.title, most=config.figures, written=edited
    )
    made = gathered(made, folder)
    write_tables(made, folder)
    for run in runs:
        settings = tables_runs.settings_of(run)
        if settings:
            results.write_results(folder / tables_runs.settings_file(run), settings)
    copies = [keep.back_up_edited(folder / name, known.get(name)) for name in NAMES]
    with temporary(folder / "report.md") as file:
        file.write(made.text.encode())
    html.write_page(folder / "report.html", made)
    names = [*NAMES[:2], *pandoc.WRITERS] if pandoc.available() else NAMES[:2]
    for name in names[2:]:
        pandoc.write(folder, name)
    contents = {
        "experiment": "report",
        "task": "",
        "data": data_kind(runs),
        **({"warning": made.warning} if made.warning else {}),
        "seed": 0,
        "seconds": round(time.time() - start, 1),
        "splits": {},
        "runs": {run.name: {"folder": run.folder, "experiment": run.experiment} for run in runs},
        "left_out": {run.name: {"state": run.state, "note": run.note} for run in others},
        "author_blocks": {
            "all": len(made.authors),
            "written": sorted(edited),
        },
        "files": {name: keep.fingerprint(folder / name) for name in names},
    }
    results.write_results(folder / "results.json", contents)
    print(_summary(contents, [copy for copy in copies if copy], folder), flush=True)
    if len(names) < len(NAMES):
        print(pandoc.MISSING, file=sys.stderr)
    return results.read_results(folder)


def gathered(made: Draft, folder: Path) -> Draft:
    """The draft with copies of its pictures in `figures/`, each under its name."""
    copied = {}
    for name, figure in made.figures.items():
        target = folder / "figures" / f"{name}.png"
        if figure.png.resolve() != target.resolve():
            with figure.png.open("rb") as source, temporary(target) as file:
                shutil.copyfileobj(source, file)
        copied[name] = dataclasses.replace(figure, png=target)
    return dataclasses.replace(made, figures=copied)


def write_tables(made: Draft, folder: Path) -> None:
    """Writes the numbers of each table; those of synthetic images say so in every row."""
    for name, grid in made.tables.items():
        if grid.frame is not None:
            marked = grid.phantom and "data" not in grid.frame.columns
            page.write_table(folder / "tables", name, grid.frame, "", marked)


def data_kind(runs: Sequence[Run]) -> str:
    """phantom where any run is: nobody may take the report for one of patients alone."""
    return "phantom" if any(run.phantom for run in runs) else "coronahack"


def _check_folder(folder: Path) -> None:
    """Raises WorkdirError where the folder is neither new nor a report's."""
    if folder.exists() and not folder.is_dir():
        raise WorkdirError(f"--workdir={folder} is a file; choose a folder")
    if not folder.exists() or not any(entry.name != ".lock" for entry in folder.iterdir()):
        return
    config = read_object(folder / "config.json")[0].get("config")
    if not isinstance(config, Mapping) or config.get("experiment") != "report":
        raise WorkdirError(f"--workdir={folder} holds no report but something else; choose another")


def _summary(contents: Mapping[str, Any], copies: Sequence[Path], folder: Path) -> str:
    lines = [contents["warning"]] if "warning" in contents else []
    blocks = contents["author_blocks"]
    lines.append(
        f"{len(contents['runs'])} runs, {len(contents['left_out'])} left out; "
        f"{len(blocks['written'])} author blocks are yours, of {blocks['all']}"
    )
    lines += [
        f"  left out: {name} ({one['state']}: {one['note']})"
        for name, one in contents["left_out"].items()
    ]
    for copy in copies:
        print(f"It was edited outside of the author blocks: {copy} is a copy", file=sys.stderr)
    lines.append(f"Read {folder / 'report.html'}, write in {folder / 'report.md'}")
    return "\n".join(lines)
