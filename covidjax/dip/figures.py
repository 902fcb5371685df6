"""Figures of Deep Image Prior fits: curves with the stop, pictures, spread maps, animations."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covidjax.locking import temporary
from covidjax.runs import canvas

Arrays = Mapping[str, NDArray]
FRAME_MILLISECONDS = 120


def write_curves(
    path: Path,
    names: Sequence[str],
    arrays: Sequence[Arrays],
    stops: Sequence[int],
    *,
    phantom: bool,
    title: str,
) -> None:
    """A column a picture: PSNR, SSIM and variance of the outputs over the steps, the stop marked.

    Args:
      arrays: of each picture, `error`, `output_error`, `variance` [steps] and `ssim` [chunks, 2].
      stops: the step whose average was taken.
    """
    figure = canvas.blank(3.4 * len(names) + 0.6, 7.6)
    panels = figure.subplots(3, len(names), squeeze=False, sharex="col")
    average, output, third = canvas.STYLES[:3]
    for column, (name, kept, stop) in enumerate(zip(names, arrays, stops, strict=True)):
        top, middle, below = panels[:, column]
        steps = np.arange(1, len(kept["error"]) + 1)
        decibels = [-10 * np.log10(np.maximum(kept[k], 1e-12)) for k in ("error", "output_error")]
        for values, style, label in zip(
            decibels, (average, output), ("average of outputs", "output"), strict=True
        ):
            canvas.line(top, steps, values, style, label)
        best = int(np.argmax(decibels[0]))
        top.plot(
            best + 1, decibels[0][best], "*", color="black", markersize=9, label="best (unseen)"
        )
        if len(kept["ssim"]):
            canvas.line(middle, kept["ssim"][:, 0], kept["ssim"][:, 1], average, None)
        known = np.isfinite(kept["variance"])
        if known.any():
            canvas.line(below, steps[known], kept["variance"][known], third, None)
            below.set_yscale("log")
        for axes in (top, middle, below):
            axes.axvline(stop, color="0.4", linestyle="--", linewidth=1)
            axes.grid(color="0.9", linewidth=0.6)
        top.plot([], [], color="0.4", linestyle="--", linewidth=1, label=f"stop at {stop}")
        top.set_ylim(bottom=max(5.0, float(np.median(decibels[1])) - 8))
        top.set_title(shortened(name), fontsize=8)
        top.legend(fontsize=7, loc="lower right")
        below.set_xlabel("Step")
    labels = ("PSNR (dB)", "SSIM of the average", "Variance of outputs")
    for axes, label in zip(panels[:, 0], labels, strict=True):
        axes.set_ylabel(label)
    canvas.save(figure, path, f"{title} (first {len(names)} images)", phantom)


def write_pictures(
    path: Path, names: Sequence[str], arrays: Sequence[Arrays], *, phantom: bool, title: str
) -> None:
    """A row a picture: clean, given, result, and their difference, with PSNR in dB."""
    figure = canvas.blank(9.2, 2.5 * len(names) + 0.6)
    panels = figure.subplots(len(names), 4, squeeze=False)
    shown = None
    for row, (name, kept) in enumerate(zip(names, arrays, strict=True)):
        clean, given, picture = (kept[k] for k in ("clean", "given", "picture"))
        where = kept["counted"]
        difference = picture - clean
        parts = (("clean", clean), ("given", given), ("result", picture))
        for axes, (label, values) in zip(panels[row], parts, strict=False):
            axes.imshow(values, cmap="gray", vmin=0, vmax=1)
            error = np.mean((np.clip(values, 0, 1) - clean)[where] ** 2) if where.any() else 0
            text = f", {-10 * np.log10(error):.1f} dB" if error > 0 else ""
            axes.set_title(f"{label}{text}", fontsize=8)
        shown = panels[row, 3].imshow(difference, cmap="PuOr", vmin=-0.15, vmax=0.15)
        panels[row, 3].set_title("result − clean", fontsize=8)
        panels[row, 0].set_ylabel(shortened(name), fontsize=7)
        for axes in panels[row]:
            axes.set_xticks([])
            axes.set_yticks([])
    if shown is not None:
        label = "Difference (share of the range)"
        figure.colorbar(shown, ax=list(panels[:, 3]), label=label, fraction=0.05)
    canvas.save(figure, path, title, phantom)


def write_spread(
    path: Path,
    names: Sequence[str],
    stacks: Sequence[NDArray[np.float32]],
    cleans: Sequence[NDArray[np.float32]],
    *,
    phantom: bool,
) -> None:
    """A row a picture: mean of the fits, standard deviation between them, and the mean's error.

    Args:
      stacks: [members, height, width] of each picture.
    """
    figure = canvas.blank(8.2, 2.6 * len(names) + 0.6)
    panels = figure.subplots(len(names), 3, squeeze=False)
    top = max(float(np.quantile(stack.std(0, ddof=1), 0.995)) for stack in stacks)
    shown = None
    for row, (name, stack, clean) in enumerate(zip(names, stacks, cleans, strict=True)):
        mean, spread = stack.mean(0), stack.std(0, ddof=1)
        panels[row, 0].imshow(mean, cmap="gray", vmin=0, vmax=1)
        shown = panels[row, 1].imshow(spread, cmap="cividis", vmin=0, vmax=top)
        error = np.abs(mean - clean)
        panels[row, 2].imshow(error, cmap="cividis", vmin=0, vmax=top)
        relation = np.corrcoef(spread.ravel(), error.ravel())[0, 1]
        titles = (
            f"mean of {len(stack)} fits",
            "standard deviation",
            f"|mean − clean|, correlation {relation:.2f}",
        )
        for axes, text in zip(panels[row], titles, strict=True):
            axes.set_title(text, fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
        panels[row, 0].set_ylabel(shortened(name), fontsize=7)
    if shown is not None:
        label = "Share of the range"
        figure.colorbar(shown, ax=list(panels[:, 2]), label=label, fraction=0.05)
    canvas.save(figure, path, "Spread between fits of other seeds", phantom)


def write_animation(path: Path, frames: NDArray[np.uint8], every: int, *, phantom: bool) -> None:
    """A GIF of the average over the steps, each frame marked with its step (and PHANTOM)."""
    marked = []
    for number, frame in enumerate(frames, 1):
        high = max(10, frame.shape[0] // 12)
        band = np.zeros((high, frame.shape[1]), np.uint8)
        text = f"step {number * every}" + (" PHANTOM" if phantom else "")
        place, size = (2, high - 3), high / 32
        cv2.putText(band, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_AA)
        marked.append(Image.fromarray(np.concatenate([frame, band])))
    with temporary(path) as file:
        marked[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=marked[1:],
            duration=FRAME_MILLISECONDS,
            loop=0,
        )


def shortened(name: str) -> str:
    """A file name that fits above a panel."""
    return name if len(name) <= 28 else f"{name[:12]}…{name[-14:]}"
