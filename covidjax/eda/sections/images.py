"""The sections on the images: features, mean images, samples, outliers, flags."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.eda import flags, outliers, pixels
from covidjax.eda.charts import features as charts_features
from covidjax.eda.charts import images as charts_images
from covidjax.eda.data import Data, Facts
from covidjax.eda.measure import COLOR_FEATURES, FEATURES
from covidjax.eda.stream import Streamed
from covidjax.report.markdown import Figure
from covidjax.report.page import Section, Table

COMPONENTS = 32  # of the reconstruction and the neighbors


def features(data: Data, streamed: Streamed, size: int) -> tuple[Section, Facts]:
    """Charts of the image features by class."""
    data.tell("charts of the features")
    frame, codes, album = streamed.features, data.codes, data.album
    everything = pd.concat([frame, charts_features.file_facts(data.table)], axis=1)
    summary = charts_features.summary(everything, codes)
    heat, matrix = charts_features.correlation(everything, album)
    each = pd.concat([data.table[["image", "group", "cause", "kaggle_split"]], everything], axis=1)
    blocks: tuple[Figure | Table, ...] = (
        *charts_features.by_class(frame, codes, album),
        charts_features.histograms(streamed.histograms, codes, album),
        charts_features.qq_normal(frame, codes, album),
        charts_features.qq_classes(frame, codes, album),
        heat,
        data.write("feature_summary", summary, "Each feature by class, and how well it alone "
                   "tells the class from Normal (AUROC, 0.5 for nothing)."),
        data.write("correlation", matrix, "Spearman's correlations of the features."),
        data.write("features", each, "The features of every image."),
    )  # fmt: skip
    section = Section(
        "features",
        "Intensity, contrast, entropy and sharpness",
        (
            f"Measured on copies of {size} x {size} px (squashed), so that films of different "
            f"sizes compare; {len(FEATURES) + len(COLOR_FEATURES)} features of the pixels and "
            "four facts of the file. All images take part, TEST too: this describes, and chooses "
            "nothing.",
        ),
        blocks,
    )
    return section, {"feature_summary": summary}


def pictures(data: Data, streamed: Streamed, size: int) -> tuple[Section, Facts]:
    """Sample sheets, mean images and position maps."""
    data.tell("sample sheets and mean images")
    section = Section(
        "pictures",
        "Samples, mean images and position maps",
        ("Look at the sheets before the figures: letters, arms, tubes and frames are seen there.",),
        (
            *charts_images.samples(data.prepared.path, data.table, data.codes, data.seed,
                                   data.album),
            charts_images.class_images(streamed.sums, size, data.album),
            charts_images.position_maps(streamed.sums, data.album),
        ),
    )  # fmt: skip
    return section, {}


def outliers_and_flags(
    data: Data, streamed: Streamed, images: NDArray[np.uint8], size: int
) -> tuple[Section, Facts]:
    """Outliers by three measures, and images that may be no plain frontal radiograph.

    Args:
      images: uint8 [n, s, s], the raw pixel cache.
      size: pixels a side that the features were measured at.
    """
    data.tell("outliers and flags")
    path, table = data.prepared.path, data.table
    components = pixels.fit(images, COMPONENTS)
    scores, errors = pixels.project(images, components)
    found = outliers.find(
        streamed.features, errors, scores, table["group"].to_numpy(str), list(table["image"])
    )
    flagged = flags.flag(table, streamed.features, flags.likeness(images))
    by_class = flags.by_class(flagged, data.classes)
    blocks: list[Figure | Table] = [
        charts_images.outliers(path, table, data.classes, found, data.album),
        data.write("outliers", outliers.as_table(found, table, data.classes),
                   "The oddest images by three measures, with the reason."),
    ]  # fmt: skip
    if drawn := charts_images.flagged(path, table, data.classes, flagged, size, data.album):
        blocks.append(drawn)
    blocks += [
        data.write("flags_by_class", by_class, "Flagged images of each class (% of the class)."),
        data.write("flags", flags.as_table(flagged, table, data.classes), "Every flagged image."),
    ]
    explained = 100 * float(components.explained.sum())
    section = Section(
        "outliers",
        "Outliers and flagged images",
        (
            f"{len(components.axes)} principal components of {pixels.SIDE} x {pixels.SIDE} px hold "
            f"{explained:.0f} % of the variance; what they cannot rebuild is unusual. A flag is a "
            "plain rule, given in the table, and nobody's diagnosis: most flagged images are "
            "ordinary films.",
        ),
        tuple(blocks),
    )
    return section, {"flags": by_class, "flagged": flagged}
