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
    drawn: list[tuple[Floats, Floats]] = []
    if spread(y, codes):
        drawn = [
            _figures(y, columns, flips, weights)
            for weights in resampled_weights(y, codes, samples, seed)
        ]
    place = {key: number for number, key in enumerate(columns)}
    area_draws = np.concatenate([part[0] for part in drawn], axis=1) if drawn else None
    flip_draws = np.concatenate([part[1] for part in drawn], axis=1) if drawn else None
    n = len(y)

    def figure(value: float, draws: Floats | None) -> dict[str, Any]:
        undefined = draws is None or not np.isfinite(value) or not np.isfinite(draws).any()
        return {"value": value, "ci95": None if undefined else percentiles(draws), "n": n}

    def of(key: tuple[str, str]) -> dict[str, Any]:
        at, base = place[key], place["", ""]
        pick = lambda draws, row: None if draws is None else draws[row]
        lost_draws = None if area_draws is None else area_draws[base] - area_draws[at]
        return {
            "auroc": figure(float(areas[at, 0]), pick(area_draws, at)),
            "lost": figure(float(areas[base, 0] - areas[at, 0]), lost_draws),
            "flips": figure(float(shares[at, 0]), pick(flip_draws, at)),
        }

    def regained(case: str, method: str) -> dict[str, Any]:
        base, noisy, at = place["", ""], place[case, NOISY], place[case, method]
        lost = areas[base, 0] - areas[noisy, 0]
        if area_draws is None:
            return figure(float("nan"), None)
        lost_draws = area_draws[base] - area_draws[noisy]
        if percentiles(lost_draws)[0] <= 0:
            return figure(float("nan"), None)
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = (area_draws[at] - area_draws[noisy]) / lost_draws
        draws[lost_draws <= 0] = np.nan
        return figure(float((areas[at, 0] - areas[noisy, 0]) / lost), draws)

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
