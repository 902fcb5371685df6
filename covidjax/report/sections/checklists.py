"""The two checklists, filled as far as the runs know; a person fills the rest."""

from collections.abc import Mapping, Sequence

from covidjax.report.document import Author, Block, Grid, Paragraph, Spans, prose
from covidjax.report.sections import words
from covidjax.report.sections.checklist_items import CLAIM, TRIPOD, Item
from covidjax.report.sections.tables import listing
from covidjax.runs.folder import Run

AUTHOR = "author"  # what stands where a person must write


def checklists(runs: Sequence[Run], looks: Sequence[Run]) -> list[Block]:
    """Both, as tables. An item that the runs know is answered; the others are for the author."""
    facts = known(runs, looks)
    phantom = any(run.phantom for run in (*runs, *looks))
    intro = prose(
        "TRIPOD+AI [@tripodai] and CLAIM, 2024 update [@claim], each item in a few words of this "
        "programme's own: for the exact wording see the references. Answered is what the runs "
        "know; **author** stands where only a person can answer."
    )
    grids = [
        _grid("tripod", "TRIPOD+AI", TRIPOD, facts, phantom),
        _grid("claim", "CLAIM, 2024 update", CLAIM, facts, phantom),
    ]
    return [Paragraph(intro), *grids]


def _grid(
    key: str, title: str, items: Sequence[Item], facts: Mapping[str, Spans], phantom: bool
) -> Grid:
    rows: list[list[str | Spans | Author]] = []
    for item in items:
        answer = facts.get(item.fact) if item.fact else None
        rows.append([item.number, item.what, answer or Author(f"{key}-{item.number}", AUTHOR)])
    answered = sum(not isinstance(row[2], Author) for row in rows)
    caption = prose(
        "{title}: {answered} of {all} items answered by the runs.",
        title=title,
        answered=str(answered),
        all=str(len(rows)),
    )
    return listing(f"checklist-{key}", caption, ("item", "what", "answer"), rows, phantom)


def known(runs: Sequence[Run], looks: Sequence[Run]) -> dict[str, Spans]:
    """What the runs know, by the names that `checklist_items` uses."""
    found = _of_data(runs, looks)
    classifiers = [run for run in runs if run.experiment == "classify" and words.tested(run)]
    if classifiers:
        found |= _of_classifiers(classifiers)
    if any(run.experiment in ("classify", "denoise", "dip") for run in runs):
        found |= _of_networks(runs)
    return found


def _of_data(runs: Sequence[Run], looks: Sequence[Run]) -> dict[str, Spans]:
    found = {
        "limits": prose("See [#limitations]; the author adds to it."),
        "protocol": prose("Every setting is in each run's `config.json`; see [#reproducibility]."),
        "data_access": prose("Kaggle; see [#data] and the references."),
        "code_access": prose("covidjax, Apache License 2.0; revision and versions: see "
                             "[#reproducibility]."),
    }  # fmt: skip
    if not runs and not looks:
        return {}
    if all(run.phantom for run in (*runs, *looks)):
        return found | {
            "sources": prose("PHANTOM: synthetic images; see [#data]."),
            "software": prose("See [#reproducibility]."),
        }
    found |= {
        "sources": prose("Two public collections, packaged on Kaggle; see [#data]."),
        "centres": prose("Children: one hospital in Guangzhou. Adults: from publications."),
        "retrospective": prose("Retrospective: images collected by others."),
        "sample_size": prose("All images that the archive holds; no size was planned."),
        "no_judgement": prose("Does not apply: the input is the image."),
        "no_updating": prose("Does not apply: no model was updated."),
    }
    if looks:
        found |= {
            "missing": prose("Rows without files, empty columns: see [#data]."),
            "flow": prose("Rows, files and readable images: see [#data]."),
            "subsets": prose("What was counted, unreadable or a copy: see [#data]."),
            "characteristics": prose(
                "Sources, sizes and classes: see [#data]; age and sex are known of adults alone."
            ),
        }
    return found


def _of_networks(runs: Sequence[Run]) -> dict[str, Spans]:
    seeds = {str(run.results.get("seed")) for run in runs}
    several = f"; seeds {words.listed(sorted(seeds))}" if len(seeds) > 1 else ""
    found = {
        "aims": prose("Development and internal evaluation; see [#question]."),
        "preparation": prose("Size, equalisation, augmentation: see [#methods]."),
        "predictors": prose("The pixels of the image and nothing else; see [#methods]."),
        "model": prose("See [#methods]."),
        "training": prose("Loss, optimiser, schedule{several}: see [#methods].", several=several),
        "software": prose("See [#reproducibility]."),
        "measures": prose("See [#methods]."),
        "uncertainty": prose("95 % intervals over patients; see [#methods]."),
        "performance": prose("Tables with intervals: see [#results]."),
        "specification": prose("Config, weights and revision of each run; [#reproducibility]."),
        "selection": prose("Validation alone chose; see [#methods]."),
    }
    return found


def _of_classifiers(runs: Sequence[Run]) -> dict[str, Spans]:
    tasks = words.listed(sorted({words.task(str(run.results.get("task"))) for run in runs}))
    found = {
        "title": prose("Classifiers (convolutional networks): {tasks}.", tasks=tasks),
        "outcome": prose(
            "{tasks}; labels as the collections give them.", tasks=words.first_large(tasks)
        ),
        "partitions": prose("By group; see [#methods]."),
        "disjoint": prose("Patient or examination, copies joined; see [#methods]."),
        "output": prose(
            "Probabilities, their calibration, thresholds by validation: see [#calibration]."
        ),
        "predictions": prose("Mean over an image and its mirror; see [#methods]."),
        "imbalance": prose(
            "Classes are weighted or sampled ({ways}); intervals show what few images tell.",
            ways=words.alike(runs, "balance"),
        ),
        "numbers": prose("Images by class and split: see [#data]."),
        "internal": prose("Tested parts that chose nothing: see [#results]."),
        "diagnostic": prose("Sensitivity, specificity, operating points: see [#results]."),
        "initial": prose(
            "{init}.",
            init=words.alike(runs, "init", lambda init: str(init or "random"), "random"),
        ),
        "ensemble": prose("Networks averaged: {members}.", members=words.alike(runs, "members")),
        "poor_inputs": prose(
            "`python -m covidjax.predict` refuses what is no frontal chest radiograph, as far as "
            "it can tell, and says so."
        ),
    }
    if any(words.tested(run) == "test" for run in runs):
        found["shift"] = prose("TEST is another stretch of films; see [#data] and [#limitations].")
    if any("saliency" in run.results for run in runs):
        found["explanations"] = prose("Grad-CAM and occlusion, checked: see [#audit].")
    if any("subgroups" in run.results for run in runs):
        found["subgroups"] = prose(
            "Tables with intervals, and by source, age, sex and view where known: see [#results]."
        )
    with_external = [run for run in runs if "external" in run.results["splits"]]
    text = "Films of other folders: see [#results]." if with_external else "Not done."
    found["external"] = prose(text)
    return found
