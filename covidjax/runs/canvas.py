"""What all figures share: line styles, axes, the PHANTOM mark, and the saving."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from covidjax.locking import temporary

Style = tuple[Any, Any, Any]
# Color, line style, marker; the colors also differ in lightness, for print without color.
STYLES: tuple[Style, ...] = (
    ("#000000", "-", "o"),
    ("#e07b39", "--", "s"),
    ("#2f55a4", "-.", "^"),
    ("#a0a0a0", ":", "D"),
    ("#7b2d5b", (0, (5, 1, 1, 1, 1, 1)), "v"),
    ("#5aa469", (0, (8, 3)), "P"),
)


def styles() -> Iterator[Style]:
    """The styles in order, again and again."""
    return cycle(STYLES)


def blank(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, drawn by Agg: no display, no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@contextmanager
def of_pyplot() -> Iterator[None]:
    """For libraries that draw by pyplot: without a display, and nothing of theirs stays open."""
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    with pyplot.rc_context({"backend": "agg", "figure.constrained_layout.use": True}):
        try:
            yield
        finally:
            for number in set(pyplot.get_fignums()) - set(before):
                pyplot.close(number)


def line(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    style: Style,
    label: str | None,
    drawstyle: str = "default",
    *,
    stands_out: bool = False,
) -> None:
    """A line with about eight markers along it; empty x and y put only the label in the legend.

    The one that `stands_out` is thicker and lies above the others.
    """
    axes.plot(
        x,
        y,
        color=style[0],
        linestyle=style[1],
        linewidth=3.0 if stands_out else 1.4,
        marker=style[2],
        markersize=7 if stands_out else 4,
        zorder=4 if stands_out else 2,
        markevery=max(1, len(np.asarray(x)) // 8),
        label=label,
        drawstyle=drawstyle,
    )


def unit_square(axes: Axes) -> None:
    """Both axes from 0 to 1, with a light grid."""
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def save(figure: Figure, path: Path, title: str, phantom: bool) -> None:
    """Writes the figure as PNG in one step; synthetic data get PHANTOM across and in the title."""
    figure.suptitle(f"{title} — PHANTOM data" if phantom else title, fontsize=11)
    if phantom:
        figure.text(
            0.5,
            0.5,
            "PHANTOM",
            fontsize=min(11 * figure.get_figwidth(), 14 * figure.get_figheight()),
            color="0.5",
            alpha=0.3,
            rotation=30,
            ha="center",
            va="center",
            zorder=10,
        )
    with temporary(path) as file:
        figure.savefig(file, format="png", dpi=120)
