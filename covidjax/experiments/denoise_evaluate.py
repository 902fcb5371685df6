"""Denoised images side by side: networks and classical methods on the same noisy TEST images.

Every method gets the same noisy pictures. The classical ones are tuned for each kind and level of
noise on validation images by PSNR; TEST chooses nothing. All pictures are clipped to [0, 1] before
they are measured, the noisy input too.
"""

import csv
import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from covidjax.data.locking import temporary
from covidjax.data.noise import NOISES, Noise, add_noise
from covidjax.evaluation import classical, denoise_plots, edge_sharpness, image_quality
from covidjax.evaluation.classical import Denoise, Images, Tuned
from covidjax.evaluation.noise_spectrum import Spectrum, radial_spectrum
from covidjax.evaluation.paired_means import means_with_intervals
from covidjax.experiments import denoise_diagnosis
from covidjax.experiments.fields import nearest

CHUNK = 16  # images a call of a network, always as many, so that it is compiled once
REFERENCE = "bm3d"  # what the networks are compared with
EDGE_SIDE = 64  # pixels of the synthetic edges
CLEAN = "clean"  # the name under which clean images stand beside the methods

Values = NDArray[np.float64]


class Case(NamedTuple):
    """One kind of noise at one level."""

    noise: Noise
    level: float

    @property
    def name(self) -> str:
        """As the keys of `results.json` have it: gaussian/25."""
        return f"{self.noise.kind}/{self.level:g}"


class Tested(NamedTuple):
    """The TEST images, one entry each: name, group (patient or examination), clean pixels."""

    names: Sequence[str]
    groups: Sequence[str]
    images: Images


class Measured(NamedTuple):
    """One case: what each method (a column each) did to the images.

    Attributes:
      quality: {method: {figure: [n]}}.
      spectra: {method: of its residual}.
      edges: {method: {"value", "ci95", "n"} in pixels}.
      tuned: {method: what validation chose}.
      scores: {method: probabilities [n]} of the classifier; empty without one.
      examples: {method or "clean": images} for the picture.
    """

    case: Case
    quality: dict[str, dict[str, Values]]
    spectra: dict[str, Spectrum]
    edges: dict[str, dict[str, Any]]
    tuned: dict[str, Tuned]
    scores: dict[str, Values]
    examples: dict[str, Images]


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError for what can be seen of `config.evaluate` without data, in one line."""
    settings = config.evaluate
    for name in _split(settings.methods):
        if name not in classical.METHODS:
            hint = nearest(name, list(classical.METHODS))
            raise ValueError(f"config.evaluate.methods: {name!r} is unknown{hint}")
    for kind in _split(settings.noises):
        if kind not in NOISES:
            raise ValueError(
                f"config.evaluate.noises: {kind!r} is unknown{nearest(kind, list(NOISES))}"
            )
    levels_of(settings.levels)
    if settings.levels and len(_split(settings.noises)) > 1:
        raise ValueError(
            "config.evaluate.levels are of one kind of noise, and config.evaluate.noises names "
            "several: leave levels empty for the usual ones of each"
        )
    limits = {"images": 0, "tuning_images": 1, "timing_images": 1, "edges": 2, "examples": 1}
    for name, least in limits.items():
        if settings[name] < least:
            raise ValueError(f"config.evaluate.{name} must be at least {least}")


def levels_of(text: str) -> tuple[float, ...]:
    """The numbers of "15,25,50"; none for "".

    Raises:
      ValueError: something that is no number above 0.
    """
    try:
        levels = tuple(float(part) for part in _split(text))
    except ValueError:
        levels = (-1.0,)
    if any(not 0 < level < np.inf for level in levels):
        raise ValueError(f"config.evaluate.levels={text!r}: write numbers above 0, as in 15,25,50")
    return levels


def cases_of(config: ml_collections.ConfigDict, noise: Noise) -> list[Case]:
    """What to evaluate at: `config.evaluate` where it says so, else the trained noise's levels.

    Args:
      config: with `evaluate`.
      noise: the one that is trained with; other kinds take its other parameters.
    """
    settings = config.evaluate
    cases = []
    for kind in _split(settings.noises) or [noise.kind]:
        for level in levels_of(settings.levels) or NOISES[kind].tested:
            cases.append(Case(noise._replace_kind(kind), level))
    return cases


def evaluate(
    config: ml_collections.ConfigDict,
    tuning: Images,
    tested: Tested,
    networks: Mapping[str, Denoise],
    cases: Sequence[Case],
    folder: Path,
    *,
    phantom: bool,
    classifier: denoise_diagnosis.Classifier | None = None,
) -> dict[str, Any]:
    """Measures everything, writes `denoised_test.csv` and the figures.

    Args:
      config: `seed`, `bootstrap_samples`, `quiet`, and `evaluate` (see configs/common.py).
      tuning: clean validation images float32 [m, h, w]; the first `evaluate.tuning_images`, taken
        evenly, tune the classical methods.
      tested: what is measured; the caller has applied `evaluate.images`.
      networks: name -> denoiser of float32 [n, h, w], not clipped input.
      cases: kinds and levels of noise.
      folder: the workdir.
      phantom: the images are synthetic.
      classifier: what the diagnosis is looked at with; its rows are those of `tested`.

    Returns:
      What `results.json` holds beside the experiment's own facts: `splits.test` with
      `METHOD/NOISE/LEVEL/FIGURE` and, for each network, `NET_minus_bm3d/NOISE/LEVEL/FIGURE` and
      `.../share_better`; `denoising` (parameters tuned, seconds an image, edge widths, spectra);
      and `diagnosis` where there is a classifier.
    """
    settings = config.evaluate
    names, left_out = classical.available(_split(settings.methods))
    if left_out:
        print(left_out, flush=True)
    tuning = tuning[_evenly(len(tuning), settings.tuning_images)]
    shown = _evenly(len(tested.images), settings.examples)
    edges = edge_sharpness.slanted_edges(
        settings.edges, min(EDGE_SIDE, *tested.images.shape[1:]), config.seed
    )
    combinations = sum(len(classical.grid_of(name, c.noise)) for c in cases for name in names)
    total = combinations * len(tuning)
    total += len(cases) * (len(names) + len(networks)) * len(tested.images)
    measured = []
    with tqdm(total=total, desc="Evaluating", unit=" images", disable=config.quiet) as bar:
        for case in cases:
            bar.set_postfix_str(case.name)
            made = _noisy(case, tuning, config.seed, "tuning")
            tuned = {
                name: classical.tune(name, tuning, made, case.noise, case.level, bar.update)
                for name in names
            }
            denoisers = {name: tuned[name].denoise for name in names} | {
                name: batched(network) for name, network in networks.items()
            }
            measured.append(
                _measure(case, tested, denoisers, tuned, edges, shown, config.seed, classifier, bar)
            )
    seconds = _seconds(measured, tested, networks, settings.timing_images, config.seed)
    figures = _figures(config, measured, tested, list(networks))
    results: dict[str, Any] = {
        "splits": {"test": figures},
        "denoising": {
            "images": len(tested.images),
            "left_out": left_out,
            "tuned": {m.case.name: _tuned(m, len(tuning)) for m in measured},
            "seconds_an_image": seconds,
            "times_faster_than_bm3d": _speedups(seconds, list(networks)),
            "edge_width_pixels": {m.case.name: m.edges for m in measured},
            "edge_width_clean": edge_sharpness.BLUR * edge_sharpness.GAUSSIAN_WIDTH,
            "spectra": {
                m.case.name: {name: found._asdict() for name, found in m.spectra.items()}
                for m in measured
            },
            "ms_ssim_scales": image_quality.scales(*tested.images.shape[1:]),
        },
    }
    if classifier is not None:
        results["diagnosis"] = _diagnosis(config, classifier, tested, networks, measured)
    _write_csv(folder / "denoised_test.csv", measured, tested, phantom)
    _plot(folder / "figures", measured, tested, list(networks), figures, phantom)
    return results


def batched(denoise: Denoise) -> Denoise:
    """`denoise` in calls of CHUNK images each, the last one padded; the result is clipped."""

    def run(images: Images) -> Images:
        # One image alone stays one: that is how it is timed.
        size = CHUNK if len(images) > 1 else 1
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            padded = np.pad(part, ((0, size - len(part)), (0, 0), (0, 0)), mode="edge")
            parts.append(np.asarray(denoise(padded))[: len(part)])
        return np.clip(np.concatenate(parts), 0, 1).astype(np.float32)

    return run


def _measure(
    case: Case,
    tested: Tested,
    denoisers: Mapping[str, Denoise],
    tuned: dict[str, Tuned],
    edges: edge_sharpness.Edges,
    shown: NDArray[np.int64],
    seed: int,
    classifier: denoise_diagnosis.Classifier | None,
    bar: tqdm,
) -> Measured:
    clean = tested.images
    noisy = _noisy(case, clean, seed, "test")
    noisy_edges = _noisy(case, edges.images, seed, "edges")
    found = Measured(case, {}, {}, {}, tuned, {}, {CLEAN: clean[shown]})
    for name, denoise in denoisers.items():
        parts = []
        for start in range(0, len(noisy), CHUNK):
            part = noisy[start : start + CHUNK]
            padded = np.pad(part, ((0, CHUNK - len(part)), (0, 0), (0, 0)), mode="edge")
            whole = padded if name not in tuned else part
            parts.append(denoise(whole)[: len(part)])
            bar.update(len(part))
        output = np.concatenate(parts)
        found.quality[name] = image_quality.qualities(clean, output)
        found.spectra[name] = radial_spectrum(output - clean)
        found.edges[name] = edge_sharpness.measure(denoise, noisy_edges, edges, seed=seed)
        found.examples[name] = output[shown]
        if classifier is not None:
            found.scores[name] = classifier.predict(output)
    return found


def _noisy(case: Case, images: Images, seed: int, purpose: str) -> Images:
    """The images with noise that depends on seed, case, purpose and each image's number alone."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(f"{purpose} {case.name}".encode()))
    parts = []
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        padded = np.pad(part, ((0, CHUNK - len(part)), (0, 0), (0, 0)))
        levels = jnp.full(CHUNK, case.level, jnp.float32)
        numbers = start + jnp.arange(CHUNK)
        made = _add(padded[..., None], levels, key, numbers, case.noise)
        parts.append(np.asarray(made)[: len(part), ..., 0])
    return np.concatenate(parts)


_add = jax.jit(
    lambda images, levels, key, numbers, noise: add_noise(images, levels, key, noise, numbers),
    static_argnums=4,
)


def _figures(
    config: ml_collections.ConfigDict,
    measured: Sequence[Measured],
    tested: Tested,
    networks: Sequence[str],
) -> dict[str, Any]:
    """{METHOD/NOISE/LEVEL/FIGURE: {"value", "ci95", "n"}}, all from the same resamples."""
    columns: dict[str, Values] = {}
    for one in measured:
        for method, quality in one.quality.items():
            for figure, values in quality.items():
                columns[f"{method}/{one.case.name}/{figure}"] = values
        for name in networks:
            if REFERENCE not in one.quality:
                continue
            prefix = f"{name}_minus_{REFERENCE}/{one.case.name}"
            for figure, values in one.quality[name].items():
                columns[f"{prefix}/{figure}"] = values - one.quality[REFERENCE][figure]
            better = one.quality[name]["psnr"] > one.quality[REFERENCE]["psnr"]
            columns[f"{prefix}/share_better"] = better.astype(np.float64)
    return means_with_intervals(
        columns, tested.groups, samples=config.bootstrap_samples, seed=config.seed
    )


def _seconds(
    measured: Sequence[Measured],
    tested: Tested,
    networks: Mapping[str, Denoise],
    count: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """{kind of noise: {method: seconds an image}}, at the middle level of each kind."""
    found = {}
    for one in _middle_levels(measured):
        noisy = _noisy(one.case, tested.images[:count], seed, "test")
        denoisers = {name: tuned.denoise for name, tuned in one.tuned.items()}
        denoisers |= {name: batched(network) for name, network in networks.items()}
        found[one.case.noise.kind] = classical.seconds_an_image(denoisers, noisy)
    return found


def _speedups(
    seconds: Mapping[str, Mapping[str, float]], networks: Sequence[str]
) -> dict[str, dict[str, float]]:
    return {
        kind: {name: taken[REFERENCE] / taken[name] for name in networks}
        for kind, taken in seconds.items()
        if REFERENCE in taken
    }


def _tuned(measured: Measured, images: int) -> dict[str, Any]:
    return {
        name: {
            **{"parameters": tuned.parameters, "validation_psnr": tuned.psnr},
            **{"tried": tuned.tried, "images": images},
        }
        for name, tuned in measured.tuned.items()
    }


def _diagnosis(
    config: ml_collections.ConfigDict,
    classifier: denoise_diagnosis.Classifier,
    tested: Tested,
    networks: Mapping[str, Denoise],
    measured: Sequence[Measured],
) -> dict[str, Any]:
    return denoise_diagnosis.report(
        classifier,
        tested.groups,
        classifier.predict(tested.images),
        {one.case.name: one.scores for one in measured},
        {
            name: classifier.predict(batched(network)(tested.images))
            for name, network in networks.items()
        },
        samples=config.bootstrap_samples,
        seed=config.seed,
    )


def _write_csv(path: Path, measured: Sequence[Measured], tested: Tested, phantom: bool) -> None:
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


def _plot(
    folder: Path,
    measured: Sequence[Measured],
    tested: Tested,
    networks: Sequence[str],
    figures: Mapping[str, Any],
    phantom: bool,
) -> None:
    n = len(tested.images)
    for one in _middle_levels(measured):
        kind = one.case.noise.kind
        same = [other for other in measured if other.case.noise.kind == kind]
        unit = f"{kind.replace('_', ' ')} noise, {NOISES[kind].unit}"
        psnr = {name: [q["psnr"].mean() for q in _quality(one, name)] for name in one.quality}
        labels = {name: f"{name} {values[0]:.2f} dB" for name, values in psnr.items()}
        at = f"{unit} {one.case.level:g}"
        denoise_plots.write_grid(
            folder / f"denoised_{kind}.png",
            one.examples,
            labels,
            title=f"{at} (labels: mean over {n} TEST images)",
            phantom=phantom,
        )
        denoise_plots.write_levels(
            folder / f"psnr_{kind}.png",
            {
                name: [figures[f"{name}/{other.case.name}/psnr"] for other in same]
                for name in one.quality
            },
            [other.case.level for other in same],
            unit=unit,
            title=f"PSNR on {n} TEST images",
            phantom=phantom,
        )
        denoise_plots.write_spectra(
            folder / f"spectra_{kind}.png",
            one.spectra,
            title=f"What is left, {at}, {n} TEST images",
            phantom=phantom,
        )
        if REFERENCE in one.quality and networks:
            denoise_plots.write_gains(
                folder / f"gains_{kind}.png",
                {
                    f"{name}, {other.case.level:g}": other.quality[name]["psnr"]
                    - other.quality[REFERENCE]["psnr"]
                    for name in networks
                    for other in same
                },
                reference=REFERENCE,
                title=f"Gain over {REFERENCE} on {n} TEST images, {unit}",
                phantom=phantom,
            )


def _quality(measured: Measured, name: str) -> Iterator[dict[str, Values]]:
    yield measured.quality[name]


def _middle_levels(measured: Sequence[Measured]) -> list[Measured]:
    """Of each kind of noise the case in the middle of its levels."""
    kinds = list(dict.fromkeys(one.case.noise.kind for one in measured))
    same = [[one for one in measured if one.case.noise.kind == kind] for kind in kinds]
    return [cases[(len(cases) - 1) // 2] for cases in same]


def _evenly(count: int, wanted: int) -> NDArray[np.int64]:
    """`wanted` rows of `count`, evenly spaced; all where there are not as many."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
