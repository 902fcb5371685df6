"""Charts of how many there are: classes, film numbers, groups, sizes, missing values."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullFormatter
from numpy.typing import NDArray

from covidjax.data.splits import film_series
from covidjax.eda.charts.figures import SMALL, Album, panels, plain, violins
from covidjax.eda.classes import CLASS_LOOKS, CLASSES, LOOKS, OTHER_NOTE, SOURCES, present
from covidjax.report.markdown import Figure
from covidjax.runs import canvas
from tfds_coronahack.metadata import CAUSES

BINS = 40  # of film numbers


def class_counts(table: pd.DataFrame, album: Album) -> Figure:
    """Bars of the images by cause and split, on a logarithmic axis."""
    causes = [cause for cause in CAUSES if (table["cause"] == cause).any()]
    figure = canvas.blank(8, 4)
    axes = figure.subplots()
    for side, (split, look) in enumerate(zip(("TRAIN", "TEST"), LOOKS, strict=False)):
        heights = [
            int(((table["cause"] == c) & (table["kaggle_split"] == split)).sum()) for c in causes
        ]
        places = np.arange(len(causes)) + (side - 0.5) * 0.4
        axes.bar(
            places, heights, 0.38, color=look.color, hatch=look.hatch, edgecolor="black",
            linewidth=0.6, label=f"{split} (n={sum(heights):,})",
        )  # fmt: skip
        for place, height in zip(places, heights, strict=True):
            axes.text(place, max(height, 0.55) * 1.06, f"{height:,}", ha="center", fontsize=SMALL)
    names = ["Normal" if cause == "none" else cause for cause in causes]
    axes.set_xticks(range(len(causes)), names, fontsize=9)
    axes.set_yscale("log")
    axes.set_ylim(0.5, axes.get_ylim()[1] * 1.6)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("images (logarithmic)")
    axes.legend(fontsize=SMALL, frameon=False)
    plain(axes)
    return album.save(
        figure, "class_counts", "Readable images by cause and split",
        f"Readable images by cause, in Kaggle's TRAIN and TEST (n={len(table):,}). The axis is "
        "logarithmic: without that the rare causes could not be seen.",
        "Bars: " + "; ".join(f"{n} {int((table['cause'] == c).sum()):,}"
                             for n, c in zip(names, causes, strict=True)) + " images.",
    )  # fmt: skip


def film_numbers(table: pd.DataFrame, album: Album) -> Figure:
    """Examinations along the number in the file's name, a line a split, a panel a series."""
    named = pd.DataFrame([film_series(i) for i in table["image"]], columns=["series", "film"])
    named["split"], named["group"] = table["kaggle_split"].to_numpy(), table["group"].to_numpy()
    series = [key for key in SOURCES if (named["series"] == key).any()]

    def draw(axes: Axes, number: int) -> None:
        part = named[named["series"] == series[number]].drop_duplicates(["split", "group"])
        starts, width = film_bins(part["film"].to_numpy())
        bins = np.searchsorted(starts, part["film"].to_numpy(), "right") - 1
        for split, look in zip(("TRAIN", "TEST"), LOOKS, strict=False):
            films = bins[part["split"] == split]
            axes.plot(
                np.bincount(films, minlength=len(starts)), color=look.color, linestyle=look.line,
                marker=look.marker, markersize=3, linewidth=1.2,
                label=f"{split} (n={len(films):,})",
            )  # fmt: skip
        for place in np.flatnonzero(np.diff(starts) > width):
            axes.axvline(place + 0.5, color="0.4", linestyle=":", linewidth=1)
        ticks = np.unique(np.linspace(0, len(starts) - 1, 7).astype(int))
        axes.set_xticks(ticks, [f"{starts[tick]}" for tick in ticks])
        axes.set_title(SOURCES[series[number]], fontsize=9)
        axes.set_xlabel("number in the file name", fontsize=SMALL)
        unit = "number" if width == 1 else f"{width} numbers"
        axes.set_ylabel(f"examinations per {unit}", fontsize=SMALL)
        axes.legend(fontsize=7, frameon=False)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
        plain(axes)

    figure = panels(max(1, len(series)), draw, columns=2, cell=(4.6, 2.7)) if series else None
    if figure is None:
        figure = canvas.blank(5, 2)
        figure.text(0.5, 0.4, "No file name holds a number of a known series.", ha="center")
    return album.save(
        figure, "film_numbers", "Examinations along their number in the file name",
        "Examinations (groups) along the number in their file name, by split: where TEST has a "
        "stretch of its own, it is another stretch of films than TRAIN, not a random part of it. "
        "Dotted: numbers that no film has are left out there.",
        "Lines of the number of examinations along film numbers, TRAIN and TEST, for "
        + ", ".join(SOURCES[key] for key in series) + ".",
    )  # fmt: skip


def film_bins(films: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """First number of each bin, and their width; stretches without radiographs have no bins."""
    numbers = np.unique(films)
    jumps = np.flatnonzero(np.diff(numbers) > max(10, (numbers[-1] - numbers[0]) // 10))
    firsts = numbers[np.concatenate([[0], jumps + 1])]
    lasts = numbers[np.concatenate([jumps, [len(numbers) - 1]])]
    width = max(1, -(-int((lasts - firsts + 1).sum()) // BINS))
    starts = [np.arange(f, last + 1, width) for f, last in zip(firsts, lasts, strict=True)]
    return np.concatenate(starts), width


def group_sizes(sizes: pd.DataFrame, album: Album) -> Figure:
    """Bars of how many groups have 1, 2, 3, ... images, by class."""
    names = [name for name in CLASSES if name in sizes]
    figure = canvas.blank(8, 3.6)
    axes = figure.subplots()
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        look = CLASS_LOOKS[name]
        places = np.arange(len(sizes)) + (number - (len(names) - 1) / 2) * width
        counts = sizes[name].to_numpy()
        axes.bar(
            places, counts, width, color=look.color, hatch=look.hatch, edgecolor="black",
            linewidth=0.5, label=f"{name} (n={counts.sum():,} groups)",
        )  # fmt: skip
    axes.set_xticks(range(len(sizes)), sizes.iloc[:, 0])
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, axes.get_ylim()[1] * 2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("images in the group (patient or examination)", fontsize=9)
    axes.set_ylabel("groups (logarithmic)", fontsize=9)
    axes.legend(fontsize=SMALL, frameon=False, ncols=2)
    plain(axes)
    return album.save(
        figure, "group_sizes", "Groups by the number of their images",
        f"How many groups have 1, 2, 3, ... images, by class ({OTHER_NOTE}). Images of one group "
        "must stay on one side of every split.",
        "Bars of groups by the number of their images; most have one.",
    )  # fmt: skip


def sizes(table: pd.DataFrame, codes: NDArray[np.int64], album: Album) -> Figure:
    """Width against height as points, and the aspect ratio as a violin a class."""
    figure = canvas.blank(10, 4.4)
    left, right = figure.subplots(1, 2)
    shown = present(codes)
    pairs = table.groupby(["width", "height"]).size()
    # Points on one another are moved by less than a pixel.
    jitter = np.random.default_rng(0).uniform(-0.5, 0.5, (2, len(table))) * (len(pairs) > 1)
    width, height = table["width"].to_numpy(float), table["height"].to_numpy(float)
    for code in sorted(shown, key=lambda code: -(codes == code).sum()):
        look, rows = CLASS_LOOKS[CLASSES[code]], codes == code
        left.scatter(
            (width + jitter[0])[rows], (height + jitter[1])[rows], s=10, marker=look.marker,
            facecolor=look.color, edgecolor="black", linewidth=0.2, alpha=0.7, rasterized=True,
            label=f"{CLASSES[code]} (n={rows.sum():,})",
        )  # fmt: skip
    left.set_xlabel("width (pixels)", fontsize=9)
    left.set_ylabel("height (pixels)", fontsize=9)
    plain(left)
    left.legend(fontsize=7, loc="best", markerscale=1.5)
    note = f"{len(pairs):,} different sizes"
    if len(pairs) == 1:
        note = f"all images are {int(width[0])} x {int(height[0])} pixels: one point"
        for axis in (left.xaxis, left.yaxis):
            axis.set_major_locator(MultipleLocator(4))
    left.set_title(note, fontsize=9)
    names = [CLASSES[code] for code in shown]
    values = [(width / height)[codes == code] for code in shown]
    violins(right, values, names, [CLASS_LOOKS[name] for name in names])
    right.set_ylabel("aspect ratio (width / height)", fontsize=9)
    right.set_title("bar: quartiles; circle: median", fontsize=9)
    return album.save(
        figure, "sizes", "Sizes and proportions of the stored images",
        f"Left: width and height of every stored image (n={len(table):,}; {note}). Right: "
        f"proportions by class ({OTHER_NOTE}). Where classes differ here, a classifier needs no "
        "lung to tell them apart.",
        "Scatter plot of widths and heights and violins of aspect ratios by class: "
        + "; ".join(f"{n} median {np.median(v):.2f}" for n, v in zip(names, values, strict=True))
        + ".",
    )  # fmt: skip


def missing_matrix(presence: pd.DataFrame, album: Album) -> Figure:
    """Which facts each row has: dark where present, white where missing; Normal rows on top."""
    ordered = presence.sort_values("normal", ascending=False, kind="stable")
    facts: Sequence[str] = [name for name in presence.columns if name != "normal"]
    figure = canvas.blank(8, 4.6)
    axes = figure.subplots()
    matrix = ordered[list(facts)].to_numpy(float)
    axes.imshow(matrix, cmap="Blues", vmin=-0.1, vmax=1.25, aspect="auto", interpolation="nearest")
    missing = 100 * (1 - matrix.mean(axis=0))
    labels = [
        f"{name}\n{share:.1f} %" if 0 < share < 99.95 else f"{name}\n{share:.0f} %"
        for name, share in zip(facts, missing, strict=True)
    ]
    axes.set_xticks(range(len(facts)), labels, fontsize=SMALL)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0)
    for place in range(1, len(facts)):
        axes.axvline(place - 0.5, color="0.4", linewidth=0.6)
    normal = int(ordered["normal"].sum())
    axes.axhline(normal - 0.5, color="black", linewidth=1.2)
    axes.set_yticks(
        [normal / 2, normal + (len(ordered) - normal) / 2],
        [f"Normal\nn={normal:,}", f"Pneumonia\nn={len(ordered) - normal:,}"],
        fontsize=SMALL,
    )
    axes.set_xlabel("dark: known, light: missing; above: share of rows without it", fontsize=SMALL)
    return album.save(
        figure, "missing_values", "What is known of each row, and what is missing",
        f"Each of {len(presence):,} rows is a thin line: dark where a fact is there, light where "
        "it is missing. Label_1 and Label_2 are empty by meaning for Normal films; age, sex and "
        "view are known of adults from publications alone.",
        "Matrix of facts by rows. Missing: "
        + ", ".join(f"{n} {s:.1f} %" for n, s in zip(facts, missing, strict=True)) + ".",
    )  # fmt: skip
