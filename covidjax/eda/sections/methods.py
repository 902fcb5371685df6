"""The sections on what a preparation does, and on the map of the images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from covidjax.data.table import task_labels
from covidjax.eda import embedding, normalization, pixels, scaling
from covidjax.eda.charts import methods as charts_methods
from covidjax.eda.data import Data, Facts
from covidjax.eda.stream import Streamed
from covidjax.report.markdown import Figure
from covidjax.report.page import Section, Table


def preparation(
    data: Data, streamed: Streamed, images: NDArray[np.uint8], *, most: int
) -> tuple[Section, Facts]:
    """Normalizations side by side, and squash against pad.

    Args:
      images: uint8 [n, s, s], the raw pixel cache.
      most: images of the comparison of sizes.
    """
    path, table, album = data.prepared.path, data.table, data.album
    rows = charts_methods.example_rows(table, data.codes, streamed.features)
    extremes = _extreme_rows(data)
    blocks: list[Figure | Table] = [
        charts_methods.normalized_pictures(path, rows, data.classes, album)
    ]
    labels = task_labels(table, "pneumonia")
    parts = normalization.validation_split(table, labels, data.seed)
    fitted, scored, how = parts
    counts = [np.bincount(labels[part], minlength=2).min() for part in (fitted, scored)]
    said, facts = "", {}
    if min(counts) < normalization.FEWEST:
        said = (
            f"Too few images of one class in TRAIN ({min(counts)}, {normalization.FEWEST} are "
            "needed) for a small classifier, so the effect on one is not measured here."
        )
    else:
        lines, histograms = normalization.effects(
            images, table, labels, (fitted, scored), seed=data.seed,
            tell=data.tell,
        )  # fmt: skip
        n = [int((labels[np.concatenate([fitted, scored])] == k).sum()) for k in (0, 1)]
        blocks += [
            charts_methods.normalized_histograms(histograms, n, album),
            charts_methods.normalization_effects(lines, album),
            data.write("normalization", lines, "What each normalization leaves of the classes' "
                       "differences within TRAIN, and a small classifier's validation AUROC."),
        ]  # fmt: skip
        facts["normalization"] = lines
        said = (
            f"The small classifier (logistic regression) is fitted on {len(fitted):,} images of "
            f"TRAIN and scored on {len(scored):,} others, parted by {how}, groups whole. TEST "
            "takes no part."
        )
    blocks.append(charts_methods.scaled_pictures(path, table, extremes, album))
    if min(counts) >= normalization.FEWEST:
        data.tell("scaling: decoding")
        lines = scaling.effects(
            path, table, labels, (fitted, scored), most=most, seed=data.seed,
            tell=data.tell,
        )  # fmt: skip
        blocks += [
            charts_methods.scaling_effects(lines, album),
            data.write("scaling", lines, "Squash against pad at four sizes, a balanced sample of "
                       "TRAIN."),
        ]  # fmt: skip
        facts["scaling"] = lines
    section = Section("preparation", "Normalization and scaling", (said,), tuple(blocks))
    return section, facts


def _extreme_rows(data: Data) -> list[int]:
    """The widest and the tallest image."""
    aspect = (data.table["width"] / data.table["height"]).to_numpy()
    return [int(aspect.argmax()), int(aspect.argmin())] if np.ptp(aspect) > 0 else [0]


def maps(
    data: Data,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    method: str,
    run: tuple[NDArray[np.float32], str] | None,
    note: str,
) -> tuple[Section, Facts]:
    """PCA and UMAP of the raw pixels, and of a run's features.

    Args:
      images: uint8 [n, s, s], the raw pixel cache.
      rows: of the table, that are drawn.
      method: umap, tsne or none.
      run: the features of `rows` [k, d] of a run's network and its name, None without a run.
      note: a line on what could not be drawn, or "".
    """
    scores, _ = pixels.project(images, pixels.fit(images, 50))
    given = [("raw", "the raw pixels (50 principal components of 32 x 32 px)", scores[rows])]
    if run is not None:
        given.append(("run", f"the features of {run[1]}", embedding.standardised(run[0])))
    table = data.table.iloc[rows]
    classes, sources = (np.array(each)[rows].tolist() for each in (data.classes, data.sources))
    blocks: list[Figure | Table] = []
    facts: Facts = {}
    for key, what, features in given:
        drawn = _maps_of(data, key, what, features, rows, classes, sources, method)
        blocks += drawn
        alike = embedding.agreement(
            features, table["group"].to_numpy(str), {"class": classes, "source": sources}
        )
        caption = f"Of the 10 nearest images of other groups, in {what}: the share that is alike."
        blocks.append(data.write(f"neighbors_{key}", alike, caption))
        facts[f"neighbors_{key}"] = alike
    trained = (
        " The run's network has been trained on most of these images, so its islands are partly "
        "what it was told."
        if run is not None
        else " config.run=WORKDIR adds the features of a trained network."
    )
    section = Section(
        "embedding",
        "Map of the images",
        (
            f"{len(rows):,} of {len(data.table):,} images, each a point; near points are similar "
            f"pictures. Distances between islands of a neighbor map mean little.{trained}",
            *((note,) if note else ()),
        ),
        tuple(blocks),
    )
    return section, facts


def _maps_of(
    data: Data,
    key: str,
    what: str,
    features: NDArray[np.float32],
    rows: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    method: str,
) -> list[Figure]:
    table, colored = data.table.iloc[rows], {"class": classes, "source": sources}
    data.tell(f"map: PCA of {what}")
    points, shares = embedding.plane(features)
    axis = [f"component {k + 1} ({100 * share:.0f} % of the variance)"
            for k, share in enumerate(shares)]  # fmt: skip
    made = [
        charts_methods.embedding(
            points, table, colored, name=f"pca_{key}", title=f"PCA of {what}", axis=axis,
            note=f"The two leading principal components of {what}.", album=data.album,
        )
    ]  # fmt: skip
    if method != "none" and len(features) > 10:
        name = {"umap": "UMAP", "tsne": "t-SNE"}[method]
        data.tell(f"map: {name} of {what}")
        points = embedding.neighbor_map(features, method, data.seed)
        made.append(
            charts_methods.embedding(
                points, table, colored, name=f"{method}_{key}",
                title=f"{name} of {what}", axis=[f"{name} 1 (no unit)", f"{name} 2 (no unit)"],
                note=f"{name} of {what}.", album=data.album,
            )
        )  # fmt: skip
    return made
