"""Pictures of saliency: one image with its map, and the sheet of telling examples."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from covidjax.evidence.metrics import call_classes
from covidjax.images.thorax import HALF_AXIS
from covidjax.runs import canvas


class Example(NamedTuple):
    """An image uint8 [height, width], its map float [height, width] of any scale, and a caption."""

    image: NDArray[np.uint8]
    map: NDArray[np.floating]
    caption: str


def write_overlay(
    path: Path, example: Example, *, title: str, note: str, phantom: bool, thorax: bool = False
) -> None:
    """One image beside itself with its map; `note` stands below."""
    height, width = example.image.shape
    figure = canvas.blank(8, 8 * height / width / 2 + 1.1)
    plain, marked = figure.subplots(1, 2)
    show(plain, example.image)
    show(marked, example.image, example.map, thorax=thorax)
    plain.set_xlabel("as read", fontsize=8)
    marked.set_xlabel(example.caption, fontsize=8)
    figure.supxlabel("\n".join(textwrap.wrap(note, 110)), fontsize=8)
    canvas.save(figure, path, title, phantom)


def write_examples(
    path: Path, rows: Mapping[str, Sequence[Example]], *, title: str, phantom: bool
) -> None:
    """A sheet with one row for each kind of example, each as image and image with map."""
    count = max(1, *(len(examples) for examples in rows.values()))
    figure = canvas.blank(3.2 * count + 0.4, 1.85 * len(rows) + 0.9)
    grid = figure.subplots(len(rows), 2 * count, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for line, (name, examples) in zip(grid, rows.items(), strict=True):
        line[0].set_axis_on()
        line[0].set(xticks=[], yticks=[])
        line[0].set_ylabel(name.replace(", ", ",\n"), fontsize=8)
        if not examples:
            line[0].text(0.5, 0.5, "none", ha="center", va="center", fontsize=8)
        for index, example in enumerate(examples):
            plain, marked = line[2 * index], line[2 * index + 1]
            show(plain, example.image)
            show(marked, example.image, example.map, thorax=True)
            plain.set_title(example.caption, fontsize=6.5, loc="left")
    canvas.save(figure, path, title, phantom)


def show(
    axes: Axes,
    image: NDArray[np.uint8],
    heat: NDArray[np.floating] | None = None,
    *,
    thorax: bool = False,
) -> None:
    """Draws an image and, over it, a map: color, and lines at 50 and 80 % of its maximum.

    The lines make it readable without color. `thorax` adds the ellipse of
    `images.thorax.ellipse`.
    """
    height, width = image.shape
    extent = (0, width, height, 0)
    axes.set_axis_on()
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.set(xticks=[], yticks=[])
    if heat is None:
        return
    shares = np.clip(heat / max(float(heat.max()), 1e-12), 0, 1)
    axes.imshow(shares, cmap="inferno", vmin=0, vmax=1, alpha=0.55 * shares, extent=extent)
    if shares.max() > 0.8:
        across, down = ((np.arange(n) + 0.5) / n for n in (shares.shape[1], shares.shape[0]))
        for color, linewidth in (("black", 1.8), ("white", 0.8)):
            axes.contour(
                across * width,
                down * height,
                shares,
                levels=[0.5, 0.8],
                colors=color,
                linewidths=linewidth,
            )
    if thorax:
        angles = np.linspace(0, 2 * np.pi, 100)
        axes.plot(
            width * (0.5 + HALF_AXIS * np.cos(angles)),
            height * (0.5 + HALF_AXIS * np.sin(angles)),
            color="white",
            linestyle=":",
            linewidth=0.8,
        )


def telling_rows(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    threshold: NDArray[np.floating] | float | None,
    count: int,
) -> dict[str, NDArray[np.int64]]:
    """Indices of the `count` most and least confident images, called right and called wrong.

    Confidence is the distance from the threshold as a share of what is possible on that side; for
    more than two classes, the largest probability.
    """
    calls = call_classes(np.asarray(probabilities, np.float64), threshold)
    if probabilities.shape[1] == 2:
        score = probabilities[:, 1]
        cut = np.broadcast_to(0.5 if threshold is None else threshold, score.shape)
        room = np.maximum(np.where(score >= cut, 1 - cut, cut), 1e-12)
        confidence = np.abs(score - cut) / room
    else:
        confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right, wrong = order[(calls == labels)[order]], order[(calls != labels)[order]]
    found = {}
    for name, rows in (("right", right), ("wrong", wrong)):
        found[f"{name}, most confident"] = rows[:count]
        # Few wrong ones: none is shown twice.
        found[f"{name}, least confident"] = rows[count:][-count:][::-1]
    return found
