"""How the runs were made: their commands, seeds, machines, versions, settings and images."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from covidjax.report import words
from covidjax.report.markdown import Grid, Markdown, code, listing, md
from covidjax.report.words import safe
from covidjax.runs.folder import Run

CONFIGS = {
    "classify": ("cnn", "resnet"),
    "denoise": ("dae",),
    "dip": ("dip",),
    "eda": ("eda",),
    "tune": ("tune_dae",),
}


def command(run: Run) -> str:
    """The line that starts such a run, with `settings_file` for all that it sets; "" without."""
    names = CONFIGS.get(run.experiment, ())
    if not names or not run.settings:
        return ""
    model = str(run.setting("model.name", ""))
    name = model if model in names else names[0]
    arguments = ",".join(f"{key}={value}" for key, value in _arguments(run).items())
    config = f"configs/{name}.py" + (f":{arguments}" if arguments else "")
    parts = ["python", "launch.py", f"--config={config}"]
    parts.append(f"--config.override=REPORT/{settings_file(run)}")
    if not run.phantom:
        parts.append("--config.data.archive=ARCHIVE")
    parts.append(f"--workdir=runs/{safe(run.name)}-again")
    return " \\\n    ".join([" ".join(parts[:2]), *(shlex.quote(part) for part in parts[2:])])


def settings_file(run: Run) -> str:
    """Where `settings_of` is written, below the report's folder."""
    return f"settings/{safe(run.name)}.json"


def settings_of(run: Run) -> dict[str, Any]:
    """The run's fields for `--config.override`, without those that say where things are."""
    return {name: value for name, value in run.settings.items() if not words.says_where(name)}


def _arguments(run: Run) -> dict[str, Any]:
    """What decides, behind the colon, which fields the config has, and which data it is for."""
    fields = {
        "classify": {"task": "task"},
        "denoise": {"net": "model.name"},
        "dip": {"net": "model.name"},
        "tune": {"target": "tuner.target"},
    }.get(run.experiment, {})
    if run.setting("tuner.target") == "cnn":
        fields = {**fields, "task": "task"}
    found = {key: run.setting(field) for key, field in fields.items()}
    found = {key: value for key, value in found.items() if value not in (None, "")}
    return found | ({"data": "phantom"} if run.phantom else {})


def places(runs: Sequence[Run]) -> Grid:
    """Seeds, times and machines."""
    rows = []
    for run in runs:
        seconds = run.results.get("seconds")
        took = words.duration(seconds) if isinstance(seconds, int | float) else "unknown"
        devices = run.about.get("devices")
        named = ", ".join(map(str, devices)) if isinstance(devices, list) else "unknown"
        revision = str(run.about.get("git_revision") or "unknown")
        dirty = " (changed)" if revision.endswith("-dirty") else ""
        short = md("{code}{dirty}", code=code(revision[:12]), dirty=dirty)
        rows.append(
            (
                code(run.name),
                run.experiment,
                "PHANTOM" if run.phantom else "real",
                str(run.results.get("seed", "")),
                took,
                f"{named}; {run.about.get('machine', 'machine unknown')}",
                short if revision != "unknown" else revision,
            )
        )
    about = md("The runs in this report: seeds, time from start to results, and where.")
    columns = ("run", "experiment", "data", "seed", "time", "devices", "revision")
    return listing("runs", about, columns, rows, any(run.phantom for run in runs))


def versions(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Packages, by runs that have them alike."""
    known = [run for run in runs if isinstance(run.about.get("versions"), Mapping)]

    def key(run: Run) -> str:
        return ", ".join(f"{name} {version}" for name, version in run.about["versions"].items())

    return list(words.grouped(known, key).items())


def settings(runs: Sequence[Run]) -> list[Grid]:
    """The settings in which the runs of an experiment differ."""
    found = []
    for experiment, some in words.grouped(runs, lambda run: run.experiment).items():
        fields = words.differing(some) if len(some) > 1 else []
        if not fields:
            continue
        values = [[str(run.setting(field, "")) for field in fields] for run in some]
        name = f"settings-{experiment}"
        about = md(f"Settings in which the runs of {experiment} differ; all others are alike.")
        lines = [(code(run.name), *own) for run, own in zip(some, values, strict=True)]
        found.append(across(name, about, ("run", *fields), lines, some, "setting"))
    return found


def across(
    name: str,
    about: Markdown,
    columns: Sequence[str],
    lines: Sequence[Sequence[str]],
    runs: Sequence[Run],
    what: str,
) -> Grid:
    """A line a run where there are many runs, else a column a run: the longer side goes down.

    `what` the columns are, as a title of the turned table's first one.
    """
    phantom = any(run.phantom for run in runs)
    if len(runs) >= len(columns):
        return listing(name, about, columns, lines, phantom)
    turned = list(zip(*lines, strict=True))[1:]
    rows = [(field, *own) for field, own in zip(columns[1:], turned, strict=True)]
    return listing(name, about, (what, *(run.name for run in runs)), rows, phantom)


def others(runs: Sequence[Run]) -> Grid:
    """What is not in the report, and why."""
    rows = [(code(run.name), run.state, run.experiment or "unknown", run.note) for run in runs]
    about = md("Named, but not reported: unfinished, damaged or missing.")
    columns = ("run", "state", "experiment", "what is known")
    return listing("others", about, columns, rows, any(run.phantom for run in runs))


def split_counts(runs: Sequence[Run]) -> list[Grid]:
    """Images of each class in each split, from the runs' confusion matrices."""
    rows: dict[str, tuple[str, str, int, str]] = {}
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
            rows.setdefault(f"{task}|{how}|{text}{mark}", (f"{task}{mark}", how, total, text))
            phantom = phantom or run.phantom
    if not rows:
        return []
    about = md("Images that classifiers were validated and tested on.")
    columns = ("task", "split", "images", "by class")
    return [listing("split-counts", about, columns, list(rows.values()), phantom)]
