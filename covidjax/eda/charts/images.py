"""Figures made of pictures: samples, copies, mean images, position maps, outliers, flags."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.eda import measure
from covidjax.eda.charts import pictures
from covidjax.eda.charts.figures import (
    DIVERGING,
    SEQUENTIAL,
    SMALL,
    Album,
    heat,
    picture,
    picture_grid,
    short,
    wrapped,
)
from covidjax.eda.classes import CLASSES, OTHER_NOTE, present
from covidjax.eda.flags import FLAGS
from covidjax.eda.outliers import Found
from covidjax.eda.stream import Sums
from covidjax.report.markdown import Figure
from covidjax.runs import canvas

SIDE = 160  # pixels of a picture on a sheet
SHEET = 18  # pictures a class
SETS = 36  # of copies shown
SHOWN = 6  # pictures a row of the outliers and the flags


def samples(
    prepared: Path, table: pd.DataFrame, codes: NDArray[np.int64], seed: int, album: Album
) -> list[Figure]:
    """A sheet of random images of each class, each of another group."""
    rng = np.random.default_rng(seed)
    first = ~table["group"].sample(frac=1, random_state=seed).duplicated().sort_index()
    made = []
    for code in present(codes):
        rows = np.flatnonzero((codes == code) & first.to_numpy())
        rows = np.sort(rng.permutation(rows)[:SHEET])
        found = pictures.thumbnails(prepared, rows.tolist(), SIDE)
        cells = [
            (found[row], f"{short(table['image'].iloc[row])}\n{table['kaggle_split'].iloc[row]}")
            for row in rows.tolist()
        ]
        name, total = CLASSES[code], int((codes == code).sum())
        figure = picture_grid(cells, 6, cell=(1.5, 1.78))
        note = f" ({OTHER_NOTE})" if name == CLASSES[-1] else ""
        made.append(
            album.save(
                figure,
                f"sample_{name.lower().replace('-', '_')}",
                f"{name}: {len(rows)} of {total:,} images",
                f"{name}{note}: {len(rows)} of {total:,} images, drawn at random, each of another "
                "group, with their proportions.",
                f"A sheet of {len(rows)} radiographs of the class {name}.",
            )  # fmt: skip
        )
    return made


def copies(
    prepared: Path,
    table: pd.DataFrame,
    sets: Sequence[tuple[str, Sequence[str]]],
    album: Album,
) -> Figure | None:
    """Identical and nearly identical images side by side; None where there are none."""
    if not sets:
        return None
    row_of = {name: row for row, name in enumerate(table["image"])}
    split = table["kaggle_split"].to_numpy()
    rows = [row_of[name] for _, names in sets[:SETS] for name in names[:2]]
    found = pictures.thumbnails(prepared, rows, SIDE)
    gap = np.full((SIDE, 4), 255, np.uint8)
    cells = []
    for kind, names in sets[:SETS]:
        pair = [row_of[name] for name in names[:2]]
        image = np.concatenate([found[pair[0]], gap, found[pair[1]]], axis=1)
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        lines = [
            f"{kind}{more}",
            *(f"{short(table['image'].iloc[r], 30)} {split[r]}" for r in pair),
        ]
        cells.append((image, "\n".join(lines)))
    figure = picture_grid(cells, 4, cell=(2.5, 1.72))
    rest = f"; {len(sets) - SETS} more are in the table" if len(sets) > SETS else ""
    return album.save(
        figure, "copies", f"Copies: {len(sets)} sets of identical or nearly identical images",
        f"The {len(sets)} sets of byte-identical or nearly identical images, two of each side by "
        f"side{rest}. Copies belong to one group and stay on one side of every split.",
        f"{min(len(sets), SETS)} pairs of pictures that look the same.",
    )  # fmt: skip


def class_images(sums: Sums, size: int, album: Album) -> Figure:
    """Mean and standard-deviation image of each class, and the mean's difference to Normal."""
    shown = [code for code in range(len(CLASSES)) if sums.n[code]]
    means = {code: sums.mean(code) for code in shown}
    deviations = {code: sums.deviation(code) for code in shown}
    base = means.get(0)
    differences = {c: means[c] - base for c in shown if c and base is not None}
    limit = max([float(np.percentile(np.abs(d), 99.5)) for d in differences.values()] or [1.0])
    rows = [
        ("mean (gray level)", means, "gray", (0.0, 255.0)),
        ("SD between images\n(gray levels)", deviations, SEQUENTIAL,
         (0.0, max(float(d.max()) for d in deviations.values()) or 1.0)),
        ("mean minus Normal's\n(gray levels)", differences, DIVERGING, (-limit, limit)),
    ]  # fmt: skip
    figure = _map_rows(rows, shown, sums)
    strongest = "; ".join(
        f"{CLASSES[c]} {np.abs(d).mean():.1f} gray levels on the average"
        for c, d in differences.items()
    )
    return album.save(
        figure, "class_images", "Mean image, spread and difference to Normal by class",
        f"Mean image and standard deviation of each class at {size} x {size} px (squashed), and "
        "the difference of its mean to Normal's (dark purple: brighter than Normal, dark orange: "
        f"darker). {OTHER_NOTE.capitalize()}. Differences outside the lungs are shortcuts.",
        f"Mean images of the classes. Absolute difference to Normal: {strongest}.",
    )  # fmt: skip


def position_maps(sums: Sums, album: Album) -> Figure:
    """Where images are black, where white, and where a class differs most from Normal."""
    shown = [code for code in range(len(CLASSES)) if sums.n[code]]
    dark = {code: 100 * sums.dark[code] / sums.n[code] for code in shown}
    bright = {code: 100 * sums.bright[code] / sums.n[code] for code in shown}
    contrast = {code: standardised_difference(sums, code) for code in shown if code and sums.n[0]}
    top = max([float(np.percentile(np.abs(d), 99.8)) for d in contrast.values()] or [1.0])
    most = max(5.0, *(float(np.percentile(b, 99.8)) for b in bright.values()))
    rows = [
        (f"black (up to {measure.DARK})\n(% of images)", dark, SEQUENTIAL, (0.0, 100.0)),
        (f"white (from {measure.BRIGHT})\n(% of images)", bright, SEQUENTIAL, (0.0, most)),
        ("|difference to Normal|\n(pooled SD)",
         {c: np.abs(d) for c, d in contrast.items()}, SEQUENTIAL, (0.0, top)),
    ]  # fmt: skip
    return album.save(
        _map_rows(rows, shown, sums), "position_maps", "Pixel positions by class",
        "For each position of the picture: the share of images that are black there, that are "
        "white there (letters show up as spots), and the difference of the class's mean to "
        "Normal's in pooled standard deviations. What is bright outside the lungs is a shortcut.",
        "Heat maps of positions by class.",
    )  # fmt: skip


def standardised_difference(sums: Sums, code: int) -> NDArray[np.float64]:
    """(mean of the class - mean of Normal) / pooled standard deviation, at each position."""
    pooled = np.sqrt((sums.deviation(code) ** 2 + sums.deviation(0) ** 2) / 2)
    return (sums.mean(code) - sums.mean(0)) / np.maximum(pooled, 1.0)


def _map_rows(rows: list, shown: Sequence[int], sums: Sums):
    figure = canvas.blank(1.75 * len(shown) + 1.7, 1.95 * len(rows) + 0.5)
    grid = figure.subplots(len(rows), len(shown), squeeze=False)
    for place, (line, (label, maps, cmap, limits)) in enumerate(zip(grid, rows, strict=True)):
        image = None
        for axes, code in zip(line, shown, strict=True):
            if code not in maps:
                axes.set_axis_off()
                continue
            title = f"{CLASSES[code]}\nn={sums.n[code]:,}" if place == 0 else ""
            image = heat(figure, axes, maps[code], cmap=cmap, limits=limits, title=title)
        if image is not None:
            bar = figure.colorbar(image, ax=list(line), shrink=0.85, pad=0.01, aspect=14)
            bar.set_label(label, fontsize=SMALL)
            bar.ax.tick_params(labelsize=7)
    return figure


def outliers(
    prepared: Path, table: pd.DataFrame, classes: Sequence[str], found: Sequence[Found],
    album: Album,
) -> Figure:  # fmt: skip
    """The oddest images by each way of looking, each picture once, with the reason under it."""
    chosen = _each_once(found)
    shown = pictures.thumbnails(prepared, [row for cells in chosen for row, _ in cells], SIDE)
    figure = canvas.blank(1.95 * SHOWN + 0.3, 2.75 * len(found) + 0.5)
    grid = figure.subplots(len(found), SHOWN, squeeze=False)
    for line, way, cells in zip(grid, found, chosen, strict=True):
        for axes in line[len(cells) :]:
            axes.set_axis_off()
        for axes, (row, reason) in zip(line, cells, strict=False):
            text = f"{short(table['image'].iloc[row], 26)}\n{wrapped(reason, 32)}"
            picture(axes, shown[row], text, above=classes[row], size=6)
        line[0].set_ylabel(f"by {way.way}", fontsize=9)
    return album.save(
        figure, "outliers", "Outliers, found three ways",
        "The oddest images by three measures: "
        + "; ".join(f"{way.way}: {way.what}" for way in found)
        + f". n={len(table):,}. A picture that two ways find is shown by the first, and in the "
        "table by both. Odd is not wrong: they are to be looked at.",
        "Rows of pictures with the reason under each: "
        + "; ".join(f"{table['image'].iloc[way.rows[0]]} ({way.reasons[0]})" for way in found)
        + ".",
    )  # fmt: skip


def _each_once(found: Sequence[Found]) -> list[list[tuple[int, str]]]:
    """Row and reason of the oddest of each way that no way before it has shown."""
    seen: set[int] = set()
    chosen = []
    for way in found:
        fresh = [(int(r), why) for r, why in zip(way.rows, way.reasons, strict=True)]
        fresh = [(row, why) for row, why in fresh if row not in seen][:SHOWN]
        seen |= {row for row, _ in fresh}
        chosen.append(fresh)
    return chosen


def flagged(
    prepared: Path, table: pd.DataFrame, classes: Sequence[str],
    found: Mapping[str, Mapping[int, str]], size: int, album: Album,
) -> Figure | None:  # fmt: skip
    """Examples of each flag with the reason; None where nothing is flagged.

    Marks are looked for again at `size` pixels, as they were found, and boxed.
    """
    names = [name for name in FLAGS if found[name]]
    if not names:
        return None
    chosen = {name: _spread(list(found[name]), SHOWN) for name in names}
    shown = pictures.thumbnails(prepared, [row for rows in chosen.values() for row in rows], SIDE)
    lettered = pictures.thumbnails(prepared, chosen.get("lettered", []), size, "squash")
    figure = canvas.blank(1.95 * SHOWN + 0.3, 2.5 * len(names) + 0.5)
    grid = figure.subplots(len(names), SHOWN, squeeze=False)
    for line, name in zip(grid, names, strict=True):
        for place, axes in enumerate(line):
            if place >= len(chosen[name]):
                axes.set_axis_off()
                continue
            row = chosen[name][place]
            image = _boxed(lettered[row]) if name == "lettered" else shown[row]
            text = f"{short(table['image'].iloc[row], 26)}\n{wrapped(found[name][row], 32, 3)}"
            picture(axes, image, text, above=classes[row], size=6)
        line[0].set_ylabel(f"{FLAGS[name].title}\nn={len(found[name]):,}", fontsize=8)
    return album.save(
        figure, "flags", "Flagged images",
        "Images that may be something else than a plain frontal film, with the reason; up to "
        f"{SHOWN} of each flag. A flag says 'look at this', no more.",
        "Rows of pictures: "
        + "; ".join(f"{FLAGS[name].title} {len(found[name]):,} images" for name in names) + ".",
    )  # fmt: skip


def _boxed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    drawn = image.copy()
    for left, top, width, height in measure.letter_boxes(image):
        cv2.rectangle(drawn, (left - 3, top - 3), (left + width + 2, top + height + 2), 255, 1)
    return drawn


def _spread(rows: list[int], most: int) -> list[int]:
    """Up to `most` of the rows, evenly along them."""
    if len(rows) <= most:
        return rows
    return [rows[int(place)] for place in np.linspace(0, len(rows) - 1, most)]
