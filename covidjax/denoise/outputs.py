"""The files and the table that an evaluation of denoisers ends with."""

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covidjax.data.noise import NOISES
from covidjax.denoise import figures as denoise_figures
from covidjax.denoise.cases import CLEAN, Films, Measured, middle_levels, references
from covidjax.denoise.measures import image_quality
from covidjax.locking import temporary
from covidjax.runs import results


def table(found: Mapping[str, Any], network: str) -> str:
    """The PSNR of all methods, and what the network gains, as text for the terminal."""
    figures = found["splits"]["test"]
    cases = list(found["denoising"]["tuned"])
    methods = list(dict.fromkeys(key.split("/")[0] for key in figures if "_minus_" not in key))
    width = max(map(len, methods))
    lines = [f"PSNR (dB) on TEST, n={found['denoising']['images']}"]
    lines.append(" " * width + "".join(f"  {case:>22}" for case in cases))
    for method in methods:
        cells = [_cell(figures[f"{method}/{case}/psnr"]) for case in cases]
        lines.append(f"{method:<{width}}" + "".join(f"  {cell:>22}" for cell in cells))
    for reference, case in itertools.product(references(methods), cases):
        share = figures[f"{network}_minus_{reference}/{case}/share_better"]["value"]
        lines.append(f"{network} is better than {reference} on {share:.1%} of them at {case}")
    for kind, ratios in found["denoising"]["times_faster"].items():
        for pair, ratio in ratios.items():
            other = pair.removeprefix(f"{network}/")
            lines.append(f"{kind}: {network} is {ratio:.1f} times as fast as {other}")
    return "\n".join(lines + _diagnosis_lines(found.get("diagnosis"), network))


def _cell(figure: Mapping[str, Any]) -> str:
    edges = figure["ci95"]
    return f"{figure['value']:.2f}" + (f" [{edges[0]:.2f}, {edges[1]:.2f}]" if edges else "")


def _diagnosis_lines(found: Mapping[str, Any] | None, network: str) -> list[str]:
    if found is None:
        return []
    show = results.shown
    clean = found["clean"]["auroc"]
    lines = [f"AUROC of {found['classifier']} ({found['task']}), n={clean['n']}"]
    lines.append(f"  clean {show(clean)}")
    kept = found["clean_denoised"][network]
    lines.append(f"  clean, denoised: lost {show(kept['lost'])}, flips {show(kept['flips'])}")
    for case, methods in found["cases"].items():
        parts = [
            f"{name} {show(methods[name]['auroc'])}"
            for name in ("noisy", network)
            if name in methods
        ]
        if regained := methods[network].get("regained"):
            parts.append(f"regained {show(regained)}")
        lines.append(f"  {case}: {', '.join(parts)}, flips {show(methods[network]['flips'])}")
    return lines


def write_csv(path: Path, measured: Sequence[Measured], tested: Films, phantom: bool) -> None:
    """One row an image, case and method."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures = list(image_quality.QUALITY)
    head = ["image", "group", "noise", "level", "method", *figures]
    writer.writerow([*head, "data"] if phantom else head)
    for one in measured:
        for method, quality in one.quality.items():
            for row, (name, group) in enumerate(zip(tested.names, tested.groups, strict=True)):
                values = [f"{quality[figure][row]:.6g}" for figure in figures]
                facts = [name, group, one.case.noise.kind, f"{one.case.level:g}", method]
                writer.writerow([*facts, *values, *(["PHANTOM"] if phantom else [])])
    with temporary(path) as file:
        file.write(text.getvalue().encode())


def plot(
    folder: Path,
    measured: Sequence[Measured],
    tested: Films,
    networks: Sequence[str],
    figures: Mapping[str, Any],
    phantom: bool,
) -> None:
    n = len(tested.images)
    for one in middle_levels(measured):
        kind = one.case.noise.kind
        same = [other for other in measured if other.case.noise.kind == kind]
        words, unit = f"{kind.replace('_', ' ')} noise", NOISES[kind].unit
        at = f"{words}, level {one.case.level:g} ({unit})"
        labels = {
            name: f"{name}\n{quality['psnr'].mean():.2f} dB"
            for name, quality in one.quality.items()
        }
        denoise_figures.write_grid(
            folder / f"denoised_{kind}.png",
            one.examples,
            labels,
            title=f"{at}; PSNR: mean over {n} TEST images",
            phantom=phantom,
        )
        denoise_figures.write_levels(
            folder / f"psnr_{kind}.png",
            {
                name: [figures[f"{name}/{other.case.name}/psnr"] for other in same]
                for name in one.quality
            },
            [other.case.level for other in same],
            unit=unit,
            title=f"PSNR on {n} TEST images, {words}",
            phantom=phantom,
            ours=networks,
        )
        denoise_figures.write_spectra(
            folder / f"spectra_{kind}.png",
            one.spectra,
            title=f"What is left of the noise on {n} TEST images\n{at}",
            phantom=phantom,
            ours=networks,
        )
        for reference in references(one.quality)[:1] if networks else []:
            denoise_figures.write_gains(
                folder / f"gains_{kind}.png",
                {
                    f"{name}, {other.case.level:g}": other.quality[name]["psnr"]
                    - other.quality[reference]["psnr"]
                    for name in networks
                    for other in same
                },
                reference=reference,
                title=f"Gain over {reference} on {n} TEST images\n{words}, {unit}",
                phantom=phantom,
            )


def plot_diagnosis(
    folder: Path,
    measured: Sequence[Measured],
    networks: Sequence[str],
    found: Mapping[str, Any],
    phantom: bool,
) -> None:
    """AUROC over the levels of each kind of noise; the clean images' as a level line of its own."""
    for kind in dict.fromkeys(one.case.noise.kind for one in measured):
        cases = [one.case for one in measured if one.case.noise.kind == kind]
        methods = {
            name: [found["cases"][case.name][name]["auroc"] for case in cases]
            for name in found["cases"][cases[0].name]
        }
        clean = found["clean"]["auroc"]
        denoise_figures.write_levels(
            folder / f"auroc_{kind}.png",
            {CLEAN: [clean] * len(cases), **methods},
            [case.level for case in cases],
            unit=NOISES[kind].unit,
            title=f"Is the diagnosis kept? {found['task']} on {clean['n']} TEST images",
            phantom=phantom,
            what="AUROC of the classifier",
            ours=networks,
        )
