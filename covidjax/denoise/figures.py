"""The figures of denoising: pictures at true pixel size, PSNR over levels, spectra, gains."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from covidjax.denoise.measures.noise_spectrum import Spectrum
from covidjax.runs import canvas

DPI = 120  # of canvas.save
GAP = 10  # pixels between pictures
HEAD = 62  # pixels above the pictures, for the title
CAPTION = 40  # pixels above each row of pictures, for the names
LEAST_SIDE = 112  # pixels: smaller images are shown as so many times larger, each pixel a square
WIDEST = 1800  # pixels of a figure, about: more methods go on to the next line
RESIDUAL_SPAN = 0.2  # of the gray range, from black to white around middle gray
CLEAN, NOISY = "clean", "noisy"


def write_grid(
    path: Path,
    pictures: Mapping[str, NDArray[np.floating]],
    labels: Mapping[str, str],
    *,
    title: str,
    phantom: bool,
) -> None:
    """Clean, noisy and denoised pictures, and below each what is left of it minus the clean one.

    Nothing is resampled: a pixel of an image is a square of a whole number of the figure's pixels
    (one, unless the images are small). A residual of 0 is middle gray; -0.1 is black and 0.1 white.

    Args:
      path: PNG to write.
      pictures: {"clean" or method: float [k, h, w] in [0, 1]}, "clean" among them.
      labels: {method: what stands above its picture}; the name alone where there is none.
      title, phantom: of `canvas.save`.
    """
    clean = pictures[CLEAN]
    count, height, width = clean.shape
    factor = max(1, -(-LEAST_SIDE // min(height, width)))
    tall, wide = factor * height, factor * width
    columns = max(1, min(len(pictures), (WIDEST - GAP) // (wide + GAP)))
    lines = -(-len(pictures) // columns)
    columns = -(-len(pictures) // lines)  # the lines about equally long
    line_height = CAPTION + count * 2 * (tall + GAP)
    size = (GAP + columns * (wide + GAP), HEAD + lines * line_height + GAP)
    figure = canvas.blank(size[0] / DPI, size[1] / DPI)
    for number, (name, images) in enumerate(pictures.items()):
        left = GAP + number % columns * (wide + GAP)
        top = HEAD + number // columns * line_height
        figure.text(
            (left + wide / 2) / size[0],
            1 - (top + CAPTION / 2) / size[1],
            labels.get(name, name),
            ha="center",
            va="center",
            fontsize=8,
        )
        for row in range(count):
            above = top + CAPTION + 2 * row * (tall + GAP)
            shown = [images[row]]
            if name != CLEAN:
                shown.append((images[row] - clean[row]) / RESIDUAL_SPAN + 0.5)
            for place, picture in enumerate(shown):
                below = size[1] - above - (place + 1) * tall - place * GAP
                figure.figimage(_enlarged(picture, factor), left, below, origin="upper")
    how = "a pixel each" if factor == 1 else f"{factor} x {factor} pixels each"
    note = f"pixels as they are ({how}); below each: minus clean, black −0.1 to white +0.1 of 1"
    canvas.save(figure, path, f"{title}\n{note}", phantom)


def write_levels(
    path: Path,
    figures: Mapping[str, Sequence[Mapping[str, Any]]],
    levels: Sequence[float],
    *,
    unit: str,
    title: str,
    phantom: bool,
    what: str = "PSNR (dB)",
    ours: Collection[str] = (),
) -> None:
    """One line a method over the levels of the noise, with its 95 % interval as a bar.

    Args:
      path: PNG to write.
      figures: {method: [one {"value", "ci95", "n"} a level]}.
      levels: of the noise, as `unit` says.
      unit, title, phantom, what: the words of the axes and of `canvas.save`.
      ours: the methods whose lines are to stand out.
    """
    figure = canvas.blank(7.2, 5.2)
    axes = figure.subplots()
    order = np.argsort(levels)
    x = np.asarray(levels, np.float64)[order]
    # Side by side a little, so that bars of methods that are as good stay apart.
    spread = 0.012 * (np.ptp(x) or 1.0)
    styles = _styles(figures, ours)
    for number, (name, cells) in enumerate(figures.items()):
        values = np.array([cells[i]["value"] for i in order])
        edges = np.array([cells[i]["ci95"] or [cells[i]["value"]] * 2 for i in order])
        shifted = x + spread * (number - (len(figures) - 1) / 2)
        canvas.line(axes, shifted, values, styles[name], name, stands_out=name in ours)
        bars = np.abs(edges - values[:, None]).T
        color = styles[name][0]
        axes.errorbar(shifted, values, bars, color=color, fmt="none", capsize=2, linewidth=0.9)
    axes.set_xlabel(f"Level of the noise ({unit})")
    axes.set_ylabel(f"{what}, mean and 95 % interval")
    axes.set_xticks(x, [f"{level:g}" for level in x])
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    canvas.save(figure, path, title, phantom)


def write_spectra(
    path: Path,
    spectra: Mapping[str, Spectrum],
    *,
    title: str,
    phantom: bool,
    ours: Collection[str] = (),
) -> None:
    """Noise power spectra of the residuals, in (gray levels of 255)^2 pixel^2.

    The lines of `ours` stand out.
    """
    figure = canvas.blank(7.2, 5.2)
    axes = figure.subplots()
    styles = _styles(spectra, ours)
    for name, found in spectra.items():
        power = found.power * 255**2
        canvas.line(axes, found.frequencies, power, styles[name], name, stands_out=name in ours)
    axes.set_yscale("log")
    axes.set_xlabel("Spatial frequency (cycles a pixel)")
    axes.set_ylabel("Noise power spectrum\n((gray levels of 255)² pixel²)")
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    canvas.save(figure, path, title, phantom)


def write_gains(
    path: Path,
    gains: Mapping[str, NDArray[np.floating]],
    *,
    reference: str,
    title: str,
    phantom: bool,
) -> None:
    """Histograms of each image's gain in dB over the reference, one panel an entry of `gains`."""
    figure = canvas.blank(6.4, 0.9 + 1.6 * len(gains))
    panels = figure.subplots(len(gains), 1, sharex=True, squeeze=False)[:, 0]
    everything = np.concatenate([np.asarray(values).ravel() for values in gains.values()])
    low, high = min(0.0, everything.min()), max(0.0, everything.max())
    bins = np.linspace(low, high if high > low else low + 1, 41)
    for axes, (name, values) in zip(panels, gains.items(), strict=True):
        share = np.mean(values > 0)
        axes.hist(values, bins, color="#2f55a4", edgecolor="white", linewidth=0.4)
        axes.axvline(0, color="black", linewidth=1)
        axes.axvline(np.mean(values), color="#e07b39", linestyle="--", linewidth=1.4)
        text = (
            f"{name}: mean {np.mean(values):+.2f} dB (dashed), better on {share:.1%} of "
            f"n={len(values)}"
        )
        axes.set_title(text, fontsize=9, loc="left")
        axes.set_ylabel("Images")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    panels[-1].set_xlabel(f"PSNR minus that of {reference} (dB); right of the line: better")
    canvas.save(figure, path, title, phantom)


def _styles(names: Collection[str], ours: Collection[str]) -> dict[str, canvas.Style]:
    """A style a name, no two alike: `ours` get the first ones, which are the strongest."""
    found = {}
    count = len(canvas.STYLES)
    for number, name in enumerate(sorted(names, key=lambda name: name not in ours)):
        style = canvas.STYLES[number % count]
        if number >= count:  # in a second round another line and marker
            style = style[0], canvas.STYLES[(number + 1) % count][1], "x*<>dh"[number % count]
        found[name] = style
    return found


def _enlarged(picture: NDArray[np.floating], factor: int) -> NDArray[np.uint8]:
    """RGB uint8, each pixel repeated factor x factor times."""
    gray = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    large = np.repeat(np.repeat(gray, factor, axis=0), factor, axis=1)
    return np.repeat(large[..., None], 3, axis=2)
