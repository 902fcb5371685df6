"""What noise costs a classifier and denoising gives back: AUROC, its regained share, flipped calls.

One classifier looks at the same images clean, noisy and denoised, so all differences are paired.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from covidjax.evidence.estimates import difference, group_codes
from covidjax.evidence.metrics import EvaluationError, Floats, Ints
from covidjax.evidence.ranking import auroc
from covidjax.evidence.rates import rate
from covidjax.evidence.resampling import percentiles, resampled_aurocs, resampled_weights

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
      samples, seed: of the bootstrap over groups, which gives the interval of `regained`.

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
    columns = _columns(clean, cases, clean_denoised)
    for key, column in columns.items():
        if column.shape != y.shape:
            raise EvaluationError(f"{key}: {column.shape} probabilities for {len(y)} labels")
    estimates = {key: auroc(y == 1, column, codes) for key, column in columns.items()}
    base, everything = estimates["", ""], np.ones(len(y), bool)
    called = {key: column >= threshold for key, column in columns.items()}

    def same(key: tuple[str, str]) -> bool:
        return np.array_equal(columns[key], columns["", ""])

    def of(key: tuple[str, str]) -> dict[str, Any]:
        return {
            "auroc": estimates[key].row(len(y)),
            "lost": difference(base, estimates[key], same=same(key)).row(len(y)),
            "flips": rate(called[key] != called["", ""], everything, codes).row(len(y)),
        }

    def regained(case: str, method: str) -> dict[str, Any]:
        nothing = {"value": float("nan"), "ci95": None, "n": len(y)}
        noisy = (case, NOISY)
        lost = difference(base, estimates[noisy])
        if not lost.has_interval or lost.low <= 0:
            return nothing
        three = [columns[key] for key in (("", ""), noisy, (case, method))]
        draws = [
            _share_regained(y, three, weights)
            for weights in resampled_weights(y, codes, samples, seed)
        ]
        value = (estimates[case, method].value - estimates[noisy].value) / lost.value
        return nothing | {"value": value, "ci95": percentiles(np.concatenate(draws))}

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


def _columns(
    clean: ArrayLike,
    cases: Mapping[str, Mapping[str, ArrayLike]],
    clean_denoised: Mapping[str, ArrayLike],
) -> dict[tuple[str, str], Floats]:
    """(case, method) -> probabilities [n]; "" where there is no noise, or no denoiser."""
    columns = {("", ""): np.asarray(clean, np.float64)}
    for case, methods in cases.items():
        columns |= {(case, m): np.asarray(p, np.float64) for m, p in methods.items()}
    return columns | {("", m): np.asarray(p, np.float64) for m, p in clean_denoised.items()}


def _share_regained(y: Ints, columns: Sequence[Floats], weights: Floats) -> Floats:
    """[s], of clean, noisy and denoised; nan where the noise cost nothing."""
    clean, noisy, denoised = (resampled_aurocs(y == 1, column, weights) for column in columns)
    lost = clean - noisy
    return np.divide(denoised - noisy, lost, out=np.full(len(lost), np.nan), where=lost > 0)
