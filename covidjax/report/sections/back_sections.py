"""The draft's last sections: limitations, and what it takes to make the runs again."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from covidjax.report.document import (
    Author,
    Block,
    Bullets,
    Code,
    Heading,
    Mark,
    Paragraph,
    Spans,
    prose,
)
from covidjax.report.sections import words
from covidjax.report.sections.figures import safe
from covidjax.report.sections.tables import listing
from covidjax.runs.folder import Run

CONFIGS = {
    "classify": ("cnn", "resnet"),
    "denoise": ("dae",),
    "dip": ("dip",),
    "eda": ("eda",),
    "tune": ("tune_dae",),
}


def limitations(runs: Sequence[Run]) -> list[Block]:
    """What these figures do not mean, as far as the runs themselves show it."""
    items: list[Spans] = []
    real = [run for run in runs if not run.phantom]
    phantom = [run for run in runs if run.phantom]
    classifiers = [run for run in real if run.experiment == "classify"]
    if phantom:
        text = prose(
            "**PHANTOM**: {runs} are of synthetic images, and say nothing about patients.",
            runs=words.names(phantom),
        )
        items.append(text)
    if any(run.results.get("task") == "covid" for run in classifiers):
        text = prose(
            "COVID-19 against normal is here also adults against children: all images with "
            "COVID-19 are adults' from publications, all normal ones but one are children's of "
            "one hospital [@degrave2021; @roberts2021]. Nothing in these data can tell the two "
            "differences apart."
        )
        items.append(text)
    if any(run.results.get("task") in ("pneumonia", "cause") for run in classifiers):
        items.append(
            prose(
                "The labels of the children's films come from the reading of these very images "
                "[@kermany2018], so they are no independent reference."
            )
        )
    if any(words.tested(run) == "test" for run in classifiers):
        items.append(
            prose(
                "Kaggle's TEST is another stretch of films than TRAIN, with other shares of the "
                "classes; validation out of TRAIN is easier than TEST whatever the network does."
            )
        )
    if classifiers and not any("external" in run.results["splits"] for run in classifiers):
        items.append(prose("Nothing was tested on films of another hospital."))
    unaudited = [run for run in classifiers if "audit" not in run.results]
    if unaudited:
        text = prose("Without a shortcut audit: {runs}.", runs=words.names(unaudited))
        items.append(text)
    certain = [run for run in classifiers if _certain(run)]
    if certain:
        text = prose(
            "An AUROC whose interval ends at 1 ({runs}) is no certainty: resampling cannot show "
            "errors that did not occur.",
            runs=words.names(certain),
        )
        items.append(text)
    if any(run.experiment == "denoise" for run in real):
        items.append(
            prose(
                "The noise is synthetic, added to pictures that are noisy and compressed "
                "themselves; more decibels are not a better diagnosis."
            )
        )
    seeds = {(run.experiment, run.results.get("seed")) for run in real if run.experiment != "eda"}
    if real and len(seeds) == len({name for name, _ in seeds}) == 1:
        text = prose("One seed: how far training itself wanders was not measured.")
        items.append(text)
    items.append(
        prose("Intervals hold for other patients of the same hospitals, films and years alone.")
    )
    prompt = "Add what a reader must know besides: selection, labels, transfer, intended use."
    return [Bullets(tuple(items)), Author("limitations", prompt)]


def _certain(run: Run) -> bool:
    figure = run.results["splits"].get(words.tested(run), {}).get("auroc", {})
    interval = figure.get("ci95")
    return bool(interval) and interval[1] >= 1


def reproducibility(runs: Sequence[Run], others: Sequence[Run]) -> list[Block]:
    """Commands, seeds, versions, hardware, times, settings, and the runs that are not in here."""
    found: list[Block] = [Heading("Commands")]
    commands = [line for run in runs if (line := command(run))]
    if commands:
        found.append(
            Paragraph(
                prose(
                    "`settings/` beside this report has every run's config, so that these lines "
                    "start the same runs. REPORT is the report's folder, ARCHIVE is Kaggle's zip."
                )
            )
        )
        found.append(Code("\n".join(commands)))
    found += [Heading("Seeds, hardware and time"), _places(runs)]
    found += _versions(runs)
    found += _settings(runs)
    if others:
        found.append(Heading("Runs that are not in this report"))
        found.append(_others(others))
    found.append(Author("availability", "Say where code, weights and splits can be had."))
    return found


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
    return " ".join(shlex.quote(part) for part in parts)


def settings_file(run: Run) -> str:
    """Where `settings_of` is written, below the report's folder."""
    return f"settings/{safe(run.name)}.json"


def settings_of(run: Run) -> dict[str, Any]:
    """The run's fields for `--config.override`, without those that say where things are."""
    return {name: value for name, value in run.settings.items() if name not in words.PLACES}


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


def _places(runs: Sequence[Run]) -> Block:
    rows: list[list[str | int | float | Spans]] = []
    for run in runs:
        seconds = run.results.get("seconds")
        took = words.duration(seconds) if isinstance(seconds, int | float) else "not known"
        devices = run.about.get("devices")
        named = ", ".join(map(str, devices)) if isinstance(devices, list) else "not known"
        revision = str(run.about.get("git_revision") or "not known")
        dirty = " (changed)" if revision.endswith("-dirty") else ""
        rows.append(
            [
                (Mark("code", run.name),),
                run.experiment,
                "PHANTOM" if run.phantom else "real",
                str(run.results.get("seed", "")),
                took,
                f"{named}; {run.about.get('machine', 'machine not known')}",
                (Mark("code", revision[:12]), dirty) if revision != "not known" else revision,
            ]
        )
    about = prose("The runs in this report: seeds, time from start to results, and where.")
    columns = ("run", "experiment", "data", "seed", "time", "devices", "revision")
    return listing("runs", about, columns, rows, any(run.phantom for run in runs), save=True)


def _versions(runs: Sequence[Run]) -> list[Block]:
    """Packages by runs that have them alike."""
    known = [run for run in runs if isinstance(run.about.get("versions"), Mapping)]
    if not known:
        return []

    def key(run: Run) -> tuple[tuple[str, str], ...]:
        return tuple((str(name), str(v)) for name, v in run.about["versions"].items())

    items: list[Spans] = []
    for versions, some in words.grouped(known, key).items():
        text = ", ".join(f"{name} {version}" for name, version in versions)
        items.append(prose("{runs}: {text}.", runs=words.names(some), text=text))
    made = prose("Software, JAX [@jax] and Flax [@flax] above all:")
    return [Heading("Versions"), Paragraph(made), Bullets(tuple(items))]


def _settings(runs: Sequence[Run]) -> list[Block]:
    """The settings in which the runs of an experiment differ."""
    found: list[Block] = []
    for experiment, some in words.grouped(runs, lambda run: run.experiment).items():
        fields = words.differing(some) if len(some) > 1 else []
        if not fields:
            continue
        texts = [[str(run.setting(field, "")) for field in fields] for run in some]
        named = [(Mark("code", name),) for name in fields]
        rows: list[list[str | Spans]]
        if len(some) > len(fields):  # the longer side goes down the page
            columns = ("run", *fields)
            rows = [[(Mark("code", r.name),), *own] for r, own in zip(some, texts, strict=True)]
        else:
            columns = ("setting", *(run.name for run in some))
            across = zip(*texts, strict=True)
            rows = [[name, *values] for name, values in zip(named, across, strict=True)]
        about = prose(
            "Settings in which the runs of {what} differ; all others are alike.", what=experiment
        )
        name = f"settings-{experiment}"
        found.append(listing(name, about, columns, rows, any(r.phantom for r in some), save=True))
    return [Heading("Settings"), *found] if found else []


def _others(runs: Sequence[Run]) -> Block:
    rows: list[list[str | Spans]] = [
        [(Mark("code", run.name),), run.state, run.experiment or "not known", run.note]
        for run in runs
    ]
    about = prose("Named, and not reported: unfinished, damaged or missing.")
    columns = ("run", "state", "experiment", "what is known")
    return listing("others", about, columns, rows, any(run.phantom for run in runs), save=True)
