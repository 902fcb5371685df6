"""Means over images of several columns of figures, resampled together by group."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from covidjax.evidence.estimates import group_codes
from covidjax.evidence.metrics import Floats
from covidjax.evidence.resampling import percentiles, resampled_weights


def means_with_intervals(
    columns: Mapping[str, ArrayLike], groups: ArrayLike, *, samples: int = 2000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Mean of each column with its 95 % percentile bootstrap interval over groups.

    All columns get the same resamples, so the mean of a column of differences is a paired
    comparison.

    Args:
      columns: {name: float [n]}, one value an image.
      groups: [n], patient or examination.
      samples: number of resamples.
      seed: of the resampling.

    Returns:
      {name: {"value", "ci95": [low, high], "n"}}; `ci95` is None with fewer than two groups, and
      where a value is not finite.
    """
    if not columns:
        return {}
    table = np.stack([np.asarray(column, np.float64) for column in columns.values()], axis=1)
    n = len(table)
    codes = group_codes(groups, n)
    values = table.mean(axis=0) if n else np.full(table.shape[1], np.nan)
    found: dict[str, dict[str, Any]] = {
        name: {"value": float(value), "ci95": None, "n": n}
        for name, value in zip(columns, values, strict=True)
    }
    if n == 0 or codes.max() == 0:
        return found
    with np.errstate(invalid="ignore"):  # an infinite PSNR that is not drawn: 0 times inf
        drawn: Floats = np.concatenate(
            [
                weights @ table / weights.sum(axis=1, keepdims=True)
                for weights in resampled_weights(np.zeros(n, np.int64), codes, samples, seed)
            ]
        )
    for name, value, draws in zip(columns, values, drawn.T, strict=True):
        if np.isfinite(value):
            found[name]["ci95"] = percentiles(draws)
    return found
