"""What noise costs a classifier and denoising gives back: AUROC, its regained share, flipped calls.

One classifier looks at the same images clean, noisy and denoised, so all is paired, and one set of
bootstrap resamples over groups serves every figure.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from covidjax.evaluation.intervals import (
    group_codes,
    percentiles,
    ranking_areas,
    resampled_weights,
    spread,
)
from covidjax.evaluation.metrics import EvaluationError, Floats

NOISY = "noisy"


def diagnosis_kept(
    labels: ArrayLike,
    groups: ArrayLike,
    threshold: float,
    clean: ArrayLike,
    cases: Mapping[str, Mapping[str, ArrayLike]],
    clean_denoised: Mapping[str, ArrayLike],
    *,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares the probabilities that a classifier gives to clean, noisy and denoised images.

    Args:
      labels: [n], 0 or 1, both there.
      groups: [n], patient or examination.
      threshold: a probability of at least that is called 1.
      clean: [n], probability of class 1 on the clean images.
      cases: {case of noise: {method: [n]}}; the method "noisy" is the input itself.
      clean_denoised: {method: [n]}, on clean images that went through the denoiser.
      samples, seed: of the bootstrap.

    Returns:
      {"clean": {"auroc"}, "cases": {case: {method: {"auroc", "lost", "flips", "regained"}}},
      "clean_denoised": {method: {"auroc", "lost", "flips"}}}; every figure {"value", "ci95", "n"}.
      `lost` is the AUROC of the clean images minus this one; `flips` the share of images whose call
      differs from that of the clean image; `regained` the share of what the noise cost that the
      method gives back, 1 - lost / lost by "noisy": below 0 it made things worse. It is None where
      the interval of what the noise cost reaches 0: nothing was lost for sure, so there is no share
      of it. Resamples in which the noise cost nothing are left out of its interval.

    Raises:
      EvaluationError: not two classes, or probabilities of another length.
    """
    y = np.asarray(labels, np.int64)
    if set(np.unique(y)) != {0, 1}:
        raise EvaluationError("AUROC needs images of both classes, 0 and 1")
    codes = group_codes(groups, len(y))
    columns: dict[tuple[str, str], Floats] = {("", ""): np.asarray(clean, np.float64)}
    for case, methods in cases.items():
        columns |= {(case, m): np.asarray(p, np.float64) for m, p in methods.items()}
    columns |= {("", m): np.asarray(p, np.float64) for m, p in clean_denoised.items()}
    for key, column in columns.items():
        if column.shape != y.shape:
            raise EvaluationError(f"{key}: {column.shape} probabilities for {len(y)} labels")
    flips = np.stack([(c >= threshold) != (columns["", ""] >= threshold) for c in columns.values()])
    areas, shares = _figures(y, columns, flips, np.ones((1, len(y))))
    drawn = [(areas[:, :0], shares[:, :0])]  # without resamples there are no intervals
    if spread(y, codes):
        drawn = [
            _figures(y, columns, flips, weights)
            for weights in resampled_weights(y, codes, samples, seed)
        ]
    area_draws, flip_draws = (np.concatenate(parts, axis=1) for parts in zip(*drawn, strict=True))
    place = {key: number for number, key in enumerate(columns)}

    def figure(value: float, draws: Floats) -> dict[str, Any]:
        defined = np.isfinite(value) and np.isfinite(draws).any()
        return {"value": float(value), "ci95": percentiles(draws) if defined else None, "n": len(y)}

    def of(key: tuple[str, str]) -> dict[str, Any]:
        at, base = place[key], place["", ""]
        lost = areas[base, 0] - areas[at, 0]
        return {
            "auroc": figure(areas[at, 0], area_draws[at]),
            "lost": figure(lost, area_draws[base] - area_draws[at]),
            "flips": figure(shares[at, 0], flip_draws[at]),
        }

    def regained(case: str, method: str) -> dict[str, Any]:
        base, noisy, at = place["", ""], place[case, NOISY], place[case, method]
        lost = area_draws[base] - area_draws[noisy]
        if not len(lost) or percentiles(lost)[0] <= 0:
            return figure(np.nan, lost)
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = np.where(lost > 0, (area_draws[at] - area_draws[noisy]) / lost, np.nan)
        share = (areas[at, 0] - areas[noisy, 0]) / (areas[base, 0] - areas[noisy, 0])
        return figure(share, draws)

    found: dict[str, Any] = {
        "clean": {"auroc": of(("", ""))["auroc"]},
        "cases": {
            case: {method: of((case, method)) for method in methods}
            for case, methods in cases.items()
        },
        "clean_denoised": {method: of(("", method)) for method in clean_denoised},
    }
    for case, methods in cases.items():
        for method in methods:
            if method != NOISY and NOISY in methods:
                found["cases"][case][method]["regained"] = regained(case, method)
    return found


def _figures(
    y: np.ndarray, columns: Mapping[Any, Floats], flips: np.ndarray, weights: Floats
) -> tuple[Floats, Floats]:
    """AUROC and share of flips of each column in each resample: [columns, s] both."""
    areas = np.stack([ranking_areas(y == 1, column, weights)[0] for column in columns.values()])
    return areas, flips @ weights.T / weights.sum(axis=1)
