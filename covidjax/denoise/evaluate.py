"""Denoised images side by side: networks and classical methods on the same noisy TEST images.

Every method gets the same noisy pictures. The classical ones are tuned for each kind and level of
noise on validation images by PSNR; TEST chooses nothing. All pictures are clipped to [0, 1] before
they are measured, the noisy input too.
"""

import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from covidjax.data.noise import add_noise
from covidjax.denoise import diagnosis as denoise_diagnosis
from covidjax.denoise import outputs as denoise_outputs
from covidjax.denoise.cases import (
    CLEAN,
    Case,
    Films,
    Measured,
    Values,
    evenly,
    middle_levels,
    references,
)
from covidjax.denoise.measures import classical, edge_sharpness, image_quality
from covidjax.denoise.measures.classical import Denoise, Images
from covidjax.denoise.measures.noise_spectrum import radial_spectrum
from covidjax.evidence.paired_means import means_with_intervals
from covidjax.runs.flat import listed
from covidjax.training.chunks import in_chunks

CHUNK = 16  # images a call
EDGE_SIDE = 64  # pixels of the synthetic edges


def evaluate(
    config: ml_collections.ConfigDict,
    tuning: Images,
    tested: Films,
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
      `.../share_better` (by PSNR), and the same of bm3d_fast; `denoising` (parameters tuned,
      seconds an image, edge widths, spectra); and `diagnosis` where there is a classifier.
    """
    settings = config.evaluate
    names, left_out = classical.available(listed(settings.methods))
    if left_out:
        print(left_out, flush=True)
    tuning = tuning[evenly(len(tuning), settings.tuning_images)]
    shown = evenly(len(tested.images), settings.examples)
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
            denoisers = {name: tuned[name].denoise for name in names} | dict(networks)
            found = Measured(case, {}, {}, {}, tuned, {}, {CLEAN: tested.images[shown]})
            _measure(found, tested, denoisers, edges, shown, config.seed, classifier, bar)
            measured.append(found)
    seconds = _seconds(measured, tested, networks, settings.timing_images, config.seed)
    figures = _figures(config, measured, tested, list(networks))
    results: dict[str, Any] = {
        "splits": {"test": figures},
        "denoising": {
            "images": len(tested.images),
            "left_out": left_out,
            "tuned": {m.case.name: _tuned(m, len(tuning)) for m in measured},
            "seconds_an_image": seconds,
            "times_faster": _speedups(seconds, list(networks)),
            **_by_case(measured),
            "ms_ssim_scales": image_quality.scales(*tested.images.shape[1:]),
        },
    }
    if classifier is not None:
        results["diagnosis"] = _diagnosis(config, classifier, tested, networks, measured)
    denoise_outputs.write_csv(folder / "denoised_test.csv", measured, tested, phantom)
    denoise_outputs.plot(folder / "figures", measured, tested, list(networks), figures, phantom)
    if classifier is not None:
        denoise_outputs.plot_diagnosis(
            folder / "figures", measured, list(networks), results["diagnosis"], phantom
        )
    return results


def _by_case(measured: Sequence[Measured]) -> dict[str, Any]:
    """What `results.json` holds of edges and spectra."""
    return {
        "edge_width_pixels": {m.case.name: m.edges for m in measured},
        "edge_width_clean": edge_sharpness.BLUR * edge_sharpness.GAUSSIAN_WIDTH,
        "spectra": {
            m.case.name: {name: found._asdict() for name, found in m.spectra.items()}
            for m in measured
        },
    }


def _measure(
    found: Measured,
    tested: Films,
    denoisers: Mapping[str, Denoise],
    edges: edge_sharpness.Edges,
    shown: NDArray[np.int64],
    seed: int,
    classifier: denoise_diagnosis.Classifier | None,
    bar: tqdm,
) -> None:
    """Fills in what each denoiser does to one case of noise."""
    clean = tested.images
    noisy = _noisy(found.case, clean, seed, "test")
    noisy_edges = _noisy(found.case, edges.images, seed, "edges")
    for name, denoise in denoisers.items():
        output = _denoised(denoise, noisy, bar.update)
        found.quality[name] = image_quality.qualities(clean, output)
        found.spectra[name] = radial_spectrum(output - clean)
        found.edges[name] = edge_sharpness.edge_width_with_interval(
            _denoised(denoise, noisy_edges), edges.distances, seed=seed
        )
        found.examples[name] = output[shown]
        if classifier is not None:
            found.scores[name] = classifier.predict(output)


def _denoised(
    denoise: Denoise, images: Images, on_images: Callable[[int], object] = lambda _: None
) -> Images:
    """All images, CHUNK at a time, clipped to [0, 1]."""
    parts = []
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        parts.append(np.clip(denoise(part), 0, 1))
        on_images(len(part))
    return np.concatenate(parts)


def _noisy(case: Case, images: Images, seed: int, purpose: str) -> Images:
    """The images with noise that depends on seed, case, purpose and each image's number alone."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(f"{purpose} {case.name}".encode()))
    levels = jnp.full(CHUNK, case.level, jnp.float32)

    def noisy(rows: NDArray[np.int64]) -> Images:
        return np.asarray(_add(images[rows][..., None], levels, key, rows, case.noise))[..., 0]

    return in_chunks(noisy, len(images), CHUNK)


_add = jax.jit(
    lambda images, levels, key, numbers, noise: add_noise(images, levels, key, noise, numbers),
    static_argnums=4,
)


def _figures(
    config: ml_collections.ConfigDict,
    measured: Sequence[Measured],
    tested: Films,
    networks: Sequence[str],
) -> dict[str, Any]:
    """{METHOD/NOISE/LEVEL/FIGURE: {"value", "ci95", "n"}}, all from the same resamples."""
    columns: dict[str, Values] = {}
    for one in measured:
        for method, quality in one.quality.items():
            for figure, values in quality.items():
                columns[f"{method}/{one.case.name}/{figure}"] = values
        for name, reference in itertools.product(networks, references(one.quality)):
            prefix = f"{name}_minus_{reference}/{one.case.name}"
            for figure, values in one.quality[name].items():
                columns[f"{prefix}/{figure}"] = values - one.quality[reference][figure]
            better = one.quality[name]["psnr"] > one.quality[reference]["psnr"]
            columns[f"{prefix}/share_better"] = better.astype(np.float64)
    return means_with_intervals(
        columns, tested.groups, samples=config.bootstrap_samples, seed=config.seed
    )


def _seconds(
    measured: Sequence[Measured],
    tested: Films,
    networks: Mapping[str, Denoise],
    count: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """{kind of noise: {method: seconds an image}}, at the middle level of each kind."""
    found = {}
    for one in middle_levels(measured):
        noisy = _noisy(one.case, tested.images[:count], seed, "test")
        denoisers = {name: tuned.denoise for name, tuned in one.tuned.items()} | dict(networks)
        found[one.case.noise.kind] = classical.seconds_an_image(denoisers, noisy)
    return found


def _speedups(
    seconds: Mapping[str, Mapping[str, float]], networks: Sequence[str]
) -> dict[str, dict[str, float]]:
    """{kind of noise: {NETWORK/REFERENCE: how many times less time the network takes}}."""
    return {
        kind: {
            f"{name}/{reference}": taken[reference] / taken[name]
            for name in networks
            for reference in references(taken)
        }
        for kind, taken in seconds.items()
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
    tested: Films,
    networks: Mapping[str, Denoise],
    measured: Sequence[Measured],
) -> dict[str, Any]:
    return denoise_diagnosis.report(
        classifier,
        tested.groups,
        classifier.predict(tested.images),
        {one.case.name: one.scores for one in measured},
        {
            name: classifier.predict(_denoised(network, tested.images))
            for name, network in networks.items()
        },
        samples=config.bootstrap_samples,
        seed=config.seed,
    )
