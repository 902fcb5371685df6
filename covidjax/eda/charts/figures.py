"""What all figures of the look share: saving as PNG and SVG, grids of pictures, violins."""

import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from covidjax.eda.classes import Look
from covidjax.locking import temporary
from covidjax.report import markdown
from covidjax.runs import canvas

SMALL = 8  # points, the size of most text
SEQUENTIAL = "cividis"  # made for color-blind readers; its lightness rises all along
DIVERGING = "PuOr"
FEWEST = 10  # values for a density to be drawn of


class Album:
    """The folder of a run's figures, and whether they are of a phantom."""

    def __init__(self, folder: Path, phantom: bool) -> None:
        self.folder = folder
        self.phantom = phantom

    def save(
        self, figure: Figure, name: str, title: str, caption: str, alt: str
    ) -> markdown.Figure:
        """Writes NAME.png and NAME.svg, the same bytes for the same figure."""
        png, svg = self.folder / f"{name}.png", self.folder / f"{name}.svg"
        canvas.save(figure, png, title, self.phantom)
        figure.set_layout_engine("none")  # as it is now: the solver takes most of the time
        with matplotlib.rc_context({"svg.hashsalt": name}), temporary(svg) as file:
            figure.savefig(file, format="svg", dpi=120, metadata={"Date": None})
        if self.phantom:
            caption, alt = f"PHANTOM. {caption}", f"PHANTOM. {alt}"
        return markdown.Figure(name, png, svg, caption, alt)


def wrapped(text: str, width: int, most: int = 4) -> str:
    """Lines of at most `width` characters, no more than `most` of them."""
    lines = textwrap.wrap(text, width)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][: width - 3] + "..."]
    return "\n".join(lines)


def short(name: str, most: int = 24) -> str:
    """A file's name without its ending, its middle left out where it is long."""
    name = re.sub(r"\.(jpe?g|png|tiff?)$", "", name, flags=re.IGNORECASE)
    if len(name) <= most:
        return name
    return f"{name[: most // 2 - 2]}...{name[-(most // 2 - 1) :]}"


def plain(axes: Axes) -> None:
    """No box but the left and lower line, and a light grid along y."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL)


def bare(axes: Axes) -> None:
    """A picture: no ticks, a thin frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("0.6")
    axes.spines[:].set_linewidth(0.5)


def picture(axes: Axes, image: NDArray, below: str = "", above: str = "", size: float = 6) -> None:
    """A gray image on its scale of 0 to 255, with text below and above it."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    bare(axes)
    if above:
        axes.set_title(above, fontsize=size + 1, pad=2)
    if below:
        axes.set_xlabel(below, fontsize=size, labelpad=2)


def picture_grid(
    pictures: Sequence[tuple[NDArray, str]], columns: int, *, cell: tuple[float, float]
) -> Figure:
    """A figure of pictures with a text below each; `cell` is the size of one in inches."""
    rows = max(1, -(-len(pictures) // columns))
    figure = canvas.blank(columns * cell[0], rows * cell[1] + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (image, text) in zip(panels, pictures, strict=False):
        picture(axes, image, text)
    for axes in panels[len(pictures) :]:
        axes.set_axis_off()
    return figure


def violins(
    axes: Axes, values: Sequence[NDArray], names: Sequence[str], looks: Sequence[Look]
) -> None:
    """A violin a class with its quartiles; single values where there are too few for a density."""
    for place, (value, look) in enumerate(zip(values, looks, strict=True)):
        value = value[np.isfinite(value)]
        if len(value) >= FEWEST and np.ptp(value) > 1e-9:
            bodies: Any = axes.violinplot([value], [place], widths=0.85, showextrema=False)
            body = bodies["bodies"][0]
            body.set(facecolor=look.color, edgecolor="black", linewidth=0.8, alpha=0.75)
            body.set_hatch(look.hatch)
            low, middle, high = np.percentile(value, [25, 50, 75])
            axes.plot([place, place], [low, high], color="black", linewidth=4)
            axes.plot([place], [middle], "o", color="white", markeredgecolor="black", markersize=5)
        elif len(value):
            shown = np.unique(value)
            axes.plot(
                np.full(len(shown), place), shown, look.marker, color=look.color,
                markeredgecolor="black", markersize=6,
            )  # fmt: skip
    name_classes(axes, values, names)


def boxes(
    axes: Axes, values: Sequence[NDArray], names: Sequence[str], looks: Sequence[Look]
) -> None:
    """A box a class: quartiles, whiskers to 1.5 times their distance, the rest as points."""
    made: Any = axes.boxplot(
        [value[np.isfinite(value)] for value in values],
        positions=range(len(values)),
        widths=0.6,
        patch_artist=True,
        medianprops={"color": "black", "linewidth": 1.6},
        flierprops={"marker": ".", "markersize": 2, "markeredgecolor": "0.35"},
    )
    for patch, look in zip(made["boxes"], looks, strict=True):
        patch.set(facecolor=look.color, hatch=look.hatch, alpha=0.75)
    for artist in made["fliers"]:
        artist.set_rasterized(True)
    name_classes(axes, values, names)


def name_classes(axes: Axes, values: Sequence[ArrayLike], names: Sequence[str]) -> None:
    """The classes under the x axis, each with its number of images."""
    labels = [f"{name}\nn={len(np.asarray(v)):,}" for name, v in zip(names, values, strict=True)]
    axes.set_xticks(range(len(values)), labels, fontsize=SMALL)
    axes.set_xlim(-0.6, len(values) - 0.4)
    plain(axes)


def heat(
    figure: Figure,
    axes: Axes,
    image: NDArray,
    *,
    cmap: str,
    limits: tuple[float, float],
    title: str = "",
) -> Any:
    """A map of positions; the caller draws one color bar for a row of them."""
    shown = axes.imshow(image, cmap=cmap, vmin=limits[0], vmax=limits[1])
    bare(axes)
    if title:
        axes.set_title(title, fontsize=SMALL)
    return shown


def panels(
    count: int, draw: Callable[[Axes, int], None], *, columns: int, cell: tuple[float, float]
) -> Figure:
    """A figure of `count` panels, each drawn by `draw(axes, number)`."""
    rows = -(-count // columns)
    figure = canvas.blank(columns * cell[0], rows * cell[1] + 0.4)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        if number < count:
            draw(axes, number)
        else:
            axes.set_axis_off()
    return figure
