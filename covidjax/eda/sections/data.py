"""The sections on what the archive holds: counts, gaps, copies, groups, leaks."""

import pandas as pd

from covidjax.eda import archive_facts, summaries
from covidjax.eda.charts import counts as charts_counts
from covidjax.eda.charts import images as charts_images
from covidjax.eda.classes import CLASSES, OTHER_NOTE
from covidjax.eda.data import Data, Facts
from covidjax.report.markdown import Figure
from covidjax.report.page import Section, Table


def counts(data: Data) -> tuple[Section, Facts]:
    """Records by label level, split and source, beside Kaggle's summary."""
    table, report = data.table, data.prepared.report
    found = summaries.counts(table)
    source_table = summaries.by_source(table, data.classes)
    if data.archive is None:
        check, said = None, archive_facts.NO_ARCHIVE
    else:
        check = archive_facts.cross_check(data.archive, table["image"])
        said = data.archive.problem or summary_sentence(check)
    blocks: list[Figure | Table] = [
        data.write("counts", found, "Readable images and groups by label level and split."),
        charts_counts.class_counts(table, data.album),
    ]
    if check is not None:
        caption = "Kaggle's summary file beside the metadata's rows and the readable images."
        blocks.append(data.write("summary_check", check, caption))
    caption = f"Readable images by source (of the file name) and class; {OTHER_NOTE}."
    blocks += [
        data.write("sources", source_table, caption),
        charts_counts.film_numbers(table, data.album),
    ]
    section = Section(
        "counts",
        "Records by label, split and source",
        (
            f"{report['counts']['rows']:,} rows of the metadata, {len(table):,} readable images, "
            f"{table['group'].nunique():,} groups. {said}",
        ),
        tuple(blocks),
    )
    wrong = [] if check is None else _wrong_labels(check)
    return section, {"summary": said, "wrong": wrong, "sources": source_table}


def summary_sentence(check: pd.DataFrame) -> str:
    """Whether Kaggle's summary agrees with the rows, in one sentence."""
    wrong = _wrong_labels(check)
    if (check["verdict"] == "agrees").all():
        return f"Kaggle's summary file agrees with the rows in all {len(check)} label levels."
    if not wrong:
        return "There is no summary file to compare with."
    named = "; ".join(wrong)
    return f"Kaggle's summary file DISAGREES with the rows in {len(wrong)} label levels: {named}."


def _wrong_labels(check: pd.DataFrame) -> list[str]:
    lines = check[check["verdict"].str.startswith("WRONG")]
    return [
        f"{' / '.join(part for part in line[:3] if part)}: {line[3]:,} there, {line[4]:,} rows"
        for line in lines.itertuples(index=False, name=None)
    ]


def gaps(data: Data) -> tuple[Section, Facts]:
    """Missing values, and files that are missing, spare, unreadable or copies."""
    report = data.prepared.report
    blocks: list[Figure | Table] = []
    metadata = data.archive.metadata if data.archive else None
    if metadata is not None:
        missing = summaries.missing_values(metadata)
        blocks.append(
            data.write("missing_values", missing, "Empty cells of the metadata, and their meaning.")
        )
    presence = summaries.presence(data.table, metadata, report)
    blocks.append(charts_counts.missing_matrix(presence, data.album))
    facts = summaries.patient_facts(data.table)
    blocks.append(data.write("patient_facts", facts, "What is known of the people themselves."))
    found = summaries.findings(report)
    caption = "Every odd file and row: missing, spare, unreadable, misplaced, copied."
    blocks.append(data.write("findings", found, caption))
    counted = report["counts"]
    section = Section(
        "gaps",
        "Missing values and odd files",
        (
            "An empty Label_1 or Label_2 is no gap where the film is Normal. Nothing in the "
            "metadata tells an age or a sex: of the children nothing is known, of the adults what "
            "their publications say.",
            f"Rows without a file: {counted['missing_files']:,}. Files without a row: "
            f"{counted['files_without_row']:,}. Unreadable images: {counted['unreadable']:,}. "
            f"Images in the other split's folder: {counted['misplaced']:,}. Rows given twice: "
            f"{counted['repeated_rows']:,}. Pictures with two labels: "
            f"{counted['label_conflicts']:,}.",
        ),
        tuple(blocks),
    )
    return section, {"findings": found}


def copies_and_groups(data: Data) -> tuple[Section, Facts]:
    """Copies side by side, groups and their sizes, what TRAIN and TEST share."""
    table, report = data.table, data.prepared.report
    data.tell("copies")
    sets = [("identical", names) for names in report["duplicates"]]
    sets += [("nearly identical", names) for names in report["near_duplicates"]]
    drawn = charts_images.copies(data.prepared.path, table, sets, data.album)
    sizes = summaries.group_sizes(table, data.classes)
    shared = summaries.leaks(table, report)
    numbers = summaries.person_numbers(report)
    largest = summaries.largest_groups(table)
    blocks: list[Figure | Table] = [drawn] if drawn else []
    blocks += [
        data.write("group_sizes", sizes, "Groups of each class by the number of their images."),
        charts_counts.group_sizes(sizes, data.album),
        data.write("largest_groups", largest, "The groups with the most images."),
        data.write("leaks", shared, "Groups and pictures that are in TRAIN and in TEST."),
        data.write("person_numbers", numbers, "If personN were one child whatever the cause."),
    ]
    leak = (
        "No group and no picture is in both TRAIN and TEST."
        if shared.empty
        else f"{len(shared):,} groups or pictures are in both TRAIN and TEST: "
        + ", ".join(shared["name"].head(5))
        + (", ..." if len(shared) > 5 else "")
        + "."
    )
    per_group = table["group"].value_counts()
    section = Section(
        "groups",
        "Copies, groups and leaks",
        (
            f"{len(report['duplicates']):,} sets of identical files, "
            f"{len(report['near_duplicates']):,} of nearly identical pictures. {leak}",
            f"{(per_group > 1).sum():,} of {len(per_group):,} groups have more than one image, the "
            f"largest {per_group.max():,}. personN is used again under the other cause: grouping "
            "by the number alone is what the last table counts.",
        ),
        tuple(blocks),
    )
    return section, {"leaks": shared, "leak": leak, "group_sizes": per_group}


def sizes(data: Data) -> tuple[Section, Facts]:
    """Sizes, proportions and modes of the stored files."""
    table = data.table
    frame = table.assign(classes=data.classes)
    modes = pd.crosstab(frame["classes"], frame["mode"]).reset_index().rename_axis(columns=None)
    lines = []
    for name in [name for name in CLASSES if name in set(data.classes)]:
        part = frame[frame["classes"] == name]
        lines.append(
            {
                "class": name,
                "images": len(part),
                "median width": part["width"].median(),
                "median height": part["height"].median(),
                "median aspect": (part["width"] / part["height"]).median(),
                "median kB": (part["bytes"] / 1000).median(),
                "smallest side": part[["width", "height"]].min(axis=1).min(),
                "largest side": part[["width", "height"]].max(axis=1).max(),
            }
        )
    section = Section(
        "sizes",
        "Sizes and proportions",
        ("Size, proportions and mode of a file are facts of the hospital, not of the disease.",),
        (
            charts_counts.sizes(table, data.codes, data.album),
            data.write("sizes", pd.DataFrame(lines), "Sizes of the stored images by class."),
            data.write("modes", modes, "Modes of the stored images (Pillow's names) by class."),
        ),
    )
    return section, {}
