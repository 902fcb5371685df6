"""Figures of normalization, scaling and the embedding."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from covidjax.data import preprocess
from covidjax.eda.charts import pictures
from covidjax.eda.charts.figures import SMALL, Album, panels, picture, plain, short
from covidjax.eda.classes import CLASS_LOOKS, CLASSES, LOOKS, SOURCE_LOOKS, Look
from covidjax.eda.normalization import METHODS
from covidjax.eda.scaling import SIZES
from covidjax.report.markdown import Figure
from covidjax.runs import canvas

SIDE = 224
BINARY = {"Normal": LOOKS[0], "Pneumonia": LOOKS[3]}
GROUPS = 6  # largest groups that get a color


def normalized_pictures(
    prepared: Path, rows: Sequence[int], classes: Sequence[str], album: Album
) -> Figure:
    """One image of each class by each normalization."""
    data = pictures.thumbnails(prepared, list(rows), SIDE, "squash")
    figure = canvas.blank(1.85 * len(METHODS) + 0.3, 1.95 * len(rows) + 0.5)
    grid = figure.subplots(len(rows), len(METHODS), squeeze=False)
    for place, (line, row) in enumerate(zip(grid, rows, strict=True)):
        for axes, (name, method) in zip(line, METHODS.items(), strict=True):
            above = name if place == 0 else ""
            picture(axes, method(data[int(row)]), above=above, size=8)
        line[0].set_ylabel(classes[int(row)], fontsize=9)
    return album.save(
        figure, "normalization_pictures", "Five normalizations side by side",
        f"One image of each class at {SIDE} px, raw and normalized. The z-score is shown from -3 "
        "to 3 standard deviations, the stretch from the 1st to the 99th percentile.",
        f"{len(rows)} radiographs, each {len(METHODS)} times: {', '.join(METHODS)}.",
    )  # fmt: skip


def normalized_histograms(
    histograms: Mapping[str, NDArray[np.float64]], n: Sequence[int], album: Album
) -> Figure:
    """The mean histograms of Normal and pneumonia under each normalization."""
    names = list(histograms)
    levels = (np.arange(64) + 0.5) * 4

    def panel(axes: Axes, number: int) -> None:
        for counts, (label, look), total in zip(
            histograms[names[number]], BINARY.items(), n, strict=True
        ):
            axes.plot(
                levels, 100 * counts, color=look.color, linestyle=look.line, linewidth=1.6,
                label=f"{label} (n={total:,})",
            )  # fmt: skip
        inner = 100 * histograms[names[number]][:, 1:-1]
        axes.set_ylim(0, 1.35 * float(inner.max()))
        axes.set_title(names[number], fontsize=9)
        axes.set_xlabel("gray level", fontsize=SMALL)
        axes.set_ylabel("pixels (%) per 4 levels", fontsize=SMALL)
        axes.legend(fontsize=7, frameon=False)
        plain(axes)

    return album.save(
        panels(len(names), panel, columns=3, cell=(3.5, 2.5)),
        "normalization_histograms", "What normalization does to the histograms",
        "Mean histograms of Normal and of pneumonia in TRAIN at 64 px under each normalization; "
        "the highest bins at both ends may be cut.",
        f"Histograms of two classes under {', '.join(names)}.",
    )  # fmt: skip


def normalization_effects(lines: pd.DataFrame, album: Album) -> Figure:
    """The validation AUROC with its interval, and what is left of the classes' differences."""
    figure = canvas.blank(9.5, 3.4)
    left, right = figure.subplots(1, 2)
    places = np.arange(len(lines))[::-1]
    for place, line in zip(places, lines.itertuples(index=False), strict=True):
        _interval(left, line[-4:-1], place)
    left.set_yticks(places, lines["normalization"], fontsize=9)
    left.set_xlabel("AUROC on validation (95 % interval over groups)", fontsize=SMALL)
    left.set_title(f"logistic regression, 32 x 32 px, n={lines['n scored'].iloc[0]:,}", fontsize=9)
    plain(left)
    left.grid(axis="x", color="0.9", linewidth=0.6)
    left.set_ylim(-0.6, len(lines) - 0.4)
    shown = ("AUROC of brightness", "AUROC of contrast")
    for name, look, shift in zip(shown, LOOKS[:2], (0.13, -0.13), strict=True):
        right.plot(
            lines[name], places + shift, look.marker, color=look.color, markeredgecolor="black",
            markersize=7, label=name.removeprefix("AUROC of "),
        )  # fmt: skip
    right.axvline(0.5, color="0.4", linestyle=":", linewidth=1)
    right.set_yticks(places, [""] * len(lines))
    right.set_xlabel("AUROC of one number alone (0.5: tells nothing)", fontsize=SMALL)
    right.set_title("what brightness and contrast still tell", fontsize=9)
    right.legend(fontsize=SMALL, loc="best")
    plain(right)
    right.grid(axis="x", color="0.9", linewidth=0.6)
    right.set_ylim(-0.6, len(lines) - 0.4)
    return album.save(
        figure, "normalization_effects", "What normalization does to the classes' differences",
        "Pneumonia against Normal, within TRAIN. Left: a small classifier on its validation part. "
        "Right: how well an image's mean and its standard deviation alone tell the classes apart; "
        "a normalization that brings them to 0.5 has taken the exposure away.",
        "Validation AUROC: "
        + "; ".join(f"{n} {v:.3f}" for n, v in
                    zip(lines["normalization"], lines["validation AUROC"], strict=True)) + ".",
    )  # fmt: skip


def scaled_pictures(
    prepared: Path, table: pd.DataFrame, rows: Sequence[int], album: Album
) -> Figure:
    """Images squashed and padded at every size; pixels are shown as squares."""
    found = pictures.read_rows(prepared, rows)
    ways = [(row, resize) for row in rows for resize in preprocess.RESIZE]
    figure = canvas.blank(2.05 * len(SIZES) + 0.6, 2.1 * len(ways) + 0.5)
    grid = figure.subplots(len(ways), len(SIZES), squeeze=False)
    for place, (line, (row, resize)) in enumerate(zip(grid, ways, strict=True)):
        for axes, size in zip(line, SIZES, strict=True):
            image = pictures.thumbnail(found[row], size, resize)
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            if place == 0:
                axes.set_title(f"{size} px", fontsize=9)
        facts = table.iloc[row]
        size_text = f"{facts['width']} x {facts['height']} px"
        line[0].set_ylabel(f"{resize}\n{short(facts['image'], 22)}\n{size_text}", fontsize=7)
    return album.save(
        figure, "scaling_pictures", "Squash against pad, at four sizes",
        "The widest and the tallest film among the classes, squashed to a square and padded with "
        "black. Squashing changes the heart's proportions; padding tells the film's proportions, "
        "which differ by class.",
        f"Radiographs at {', '.join(map(str, SIZES))} px, squashed and padded.",
    )  # fmt: skip


def scaling_effects(lines: pd.DataFrame, album: Album) -> Figure:
    """AUROC and sharpness along the size, a line for squash and one for pad."""
    figure = canvas.blank(9.5, 3.4)
    left, right = figure.subplots(1, 2)
    for resize, look, shift in zip(preprocess.RESIZE, LOOKS[:2], (-4, 4), strict=True):
        part = lines[lines["resize"] == resize]
        x, y = part["size (px)"].to_numpy(), part["validation AUROC"].to_numpy()
        errors = np.abs(np.stack([y - part["95 % low"], part["95 % high"] - y]))
        left.errorbar(
            x + shift, y, errors, color=look.color, linestyle=look.line, marker=look.marker,
            capsize=3, label=resize,
        )  # fmt: skip
        right.plot(
            x, part["sharpness (log10)"], color=look.color, linestyle=look.line,
            marker=look.marker, label=resize,
        )  # fmt: skip
    for axes in (left, right):
        axes.set_xticks(SIZES)
        axes.set_xlabel("pixels a side", fontsize=SMALL)
        plain(axes)
    figure.legend(
        *right.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=SMALL,
        frameon=False,
    )  # fmt: skip
    left.set_ylabel("AUROC on validation", fontsize=SMALL)
    left.set_title(f"95 % interval over groups, n={lines['n scored'].iloc[0]:,}", fontsize=9)
    right.set_ylabel("log10 of the Laplacian's variance", fontsize=SMALL)
    right.set_title("sharpness from pixel to pixel, at that size", fontsize=9)
    return album.save(
        figure, "scaling_effects", "What size and padding do to a small classifier",
        "Pneumonia against Normal, a balanced sample of TRAIN: logistic regression on 64 principal "
        "components of the pixels. Where the intervals overlap, nothing here speaks for one.",
        "AUROC along the size for squash and pad.",
    )  # fmt: skip


def embedding(
    points: NDArray[np.float32],
    table: pd.DataFrame,
    colored: Mapping[str, Sequence[str]],
    *,
    name: str,
    title: str,
    axis: Sequence[str],
    note: str,
    album: Album,
) -> Figure:
    """One map three times: colored by class, by source, and by the largest groups.

    Args:
      points: [n, 2].
      table: n rows.
      colored: {"class": [n], "source": [n]}.
    """
    sizes = table["group"].value_counts()
    order = sorted(sizes.index, key=lambda group: (-sizes[group], group))[:GROUPS]
    groups = [group if group in order else "" for group in table["group"]]
    group_looks = dict(zip(order, LOOKS, strict=False))
    figure = canvas.blank(13, 5.2)
    drawn: list[tuple[str, Sequence[str], Mapping[str, Look]]] = [
        ("class", colored["class"], CLASS_LOOKS),
        ("source", colored["source"], SOURCE_LOOKS),
        (f"the {len(order)} largest groups", groups, group_looks),
    ]
    for axes, (what, values, looks) in zip(figure.subplots(1, 3), drawn, strict=True):
        _points(axes, points, np.asarray(values), looks)
        axes.set_title(f"by {what}", fontsize=10)
        axes.set_xlabel(axis[0], fontsize=SMALL)
        axes.set_ylabel(axis[1], fontsize=SMALL)
        axes.tick_params(labelsize=7)
        axes.legend(
            fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, markerscale=1.6,
            frameon=False,
        )  # fmt: skip
    return album.save(
        figure, name, title,
        f"{note} n={len(points):,}; the same points three times. Where a class and a source are "
        "one island, a classifier cannot tell which of the two it has learned.",
        f"{title}: scatter plots colored by class, by source and by group.",
    )  # fmt: skip


def _points(
    axes: Axes, points: NDArray[np.float32], values: NDArray[np.str_], looks: Mapping[str, Look]
) -> None:
    rest = ~np.isin(values, list(looks))
    if rest.any():
        axes.scatter(
            points[rest, 0], points[rest, 1], s=4, color="0.75", linewidth=0, rasterized=True,
            label=f"all others (n={rest.sum():,})",
        )  # fmt: skip
    shown = [value for value in looks if (values == value).any()]
    # The rare ones last, on top and larger.
    for value in sorted(shown, key=lambda value: -(values == value).sum()):
        rows, look = values == value, looks[value]
        rare = rows.sum() < 0.03 * len(points)
        axes.scatter(
            points[rows, 0], points[rows, 1], s=26 if rare else 9, marker=look.marker,
            facecolor=look.color, edgecolor="black", linewidth=0.5 if rare else 0.15,
            alpha=0.95 if rare else 0.6, rasterized=True,
            label=f"{short(value, 28)} (n={rows.sum():,})",
        )  # fmt: skip


def _interval(axes: Axes, figure: Sequence[float], place: float) -> None:
    value, low, high = figure
    axes.plot([low, high], [place, place], color="black", linewidth=1.4)
    axes.plot([value], [place], "o", color=LOOKS[0].color, markeredgecolor="black", markersize=7)


def example_rows(
    table: pd.DataFrame, codes: NDArray[np.int64], features: pd.DataFrame
) -> list[int]:
    """One typical image of each class: the one whose brightness and contrast are most usual."""
    rows = []
    for code in range(len(CLASSES)):
        members = np.flatnonzero(codes == code)
        if not len(members):
            continue
        part = features.iloc[members][["mean", "contrast", "symmetry"]]
        away = ((part - part.median()) / part.std().replace(0, 1).fillna(1)).abs().sum(axis=1)
        rows.append(int(members[int(np.argmin(away.to_numpy()))]))
    return rows
