"""AUROCs as dots with their intervals, one a line: of the audit, and of the ladder."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from covidjax.audit.audit import PROBES, RUN
from covidjax.runs import canvas

# Kind of a line -> marker, whether it is filled, and its name in the legend.
KINDS = {
    "network": ("o", True, "network"),
    "none": ("s", False, "input without lung"),
    "coarse": ("D", False, "input with a coarse trace of the lung"),
    "source": ("^", False, "source of an image, told by the network's features"),
}


class Line(NamedTuple):
    """A line of the plot: its label, its AUROC `{"value", "ci95", "n"}`, its kind (of `KINDS`)."""

    label: str
    auroc: Mapping[str, Any]
    kind: str
    struck: bool = False


def write_audit_figure(path: Path, found: Mapping[str, Any], *, phantom: bool, title: str) -> None:
    """Draws what `audit.audit` returned: the run first, the probes by their AUROC, the sources.

    The verdict stands above them.
    """
    kinds = {RUN: "network"} | {name: probe.lung for name, probe in PROBES.items()}
    entries = {name: entry for name, entry in found.items() if name != "verdict"}
    lines = [
        Line(name.replace("_", " "), entry["auroc"], kinds.get(name, "source"))
        for name, entry in entries.items()
        if entry["auroc"]["value"] is not None
    ]
    order = ("network", "none", "coarse", "source")
    lines.sort(key=lambda line: (order.index(line.kind), -line.auroc["value"]))
    sentence = "\n".join(textwrap.wrap(found["verdict"], 85))
    write_dots(path, lines, band=0, phantom=phantom, title=title, subtitle=sentence)


def write_dots(
    path: Path,
    lines: Sequence[Line],
    *,
    band: int,
    phantom: bool,
    title: str,
    subtitle: str = "",
) -> None:
    """Draws one dot with its 95 % interval a line, the first on top.

    A gray band runs through all lines at the interval of line number `band`; a struck line has its
    label struck through.
    """
    figure = canvas.blank(8, 1.7 + 0.32 * len(lines) + 0.2 * len(subtitle.splitlines()))
    axes = figure.subplots()
    axes.set_title(subtitle, fontsize=9)
    axes.axvline(0.5, color="0.4", linestyle=":", linewidth=1, label="chance")
    if lines[band].auroc["ci95"]:
        axes.axvspan(*lines[band].auroc["ci95"], color="0.88", linewidth=0, zorder=0)
    named: set[str] = set()
    for height, line in enumerate(lines):
        marker, filled, name = KINDS[line.kind]
        value, interval = line.auroc["value"], line.auroc["ci95"]
        if interval:
            axes.plot(interval, [height, height], color="black", linewidth=1.2, zorder=2)
        axes.plot(
            [value],
            [height],
            color="black",
            marker=marker,
            markersize=6,
            markerfacecolor="black" if filled else "white",
            linestyle="none",
            zorder=3,
            label=None if line.kind in named else name,
        )
        named.add(line.kind)
    axes.set_yticks(range(len(lines)), [_label(line) for line in lines], fontsize=9)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    edges = [edge for line in lines for edge in line.auroc["ci95"] or [line.auroc["value"]]]
    axes.set_xlim(min([0.48, *edges]) - 0.01, 1.01)
    axes.set_xlabel("AUROC with its 95 % interval over patients")
    axes.grid(axis="x", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8
    )
    canvas.save(figure, path, title, phantom)


def _label(line: Line) -> str:
    # A combining overline through each character: Matplotlib has no struck text of its own.
    label = "".join(f"{letter}\u0336" for letter in line.label) if line.struck else line.label
    return f"{label}  {line.auroc['value']:.3f}"
