"""Predictions made up by a formula, whose figures' true values are known.

Scores of negatives are normal, those of positives normal with a shift; groups share a part of their
score. `benchmarks.coverage` counts how many intervals hold the true values.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, t

from covidjax.evidence.metrics import Floats, Ints

CORRELATION = 0.5
PREVALENCE = 0.01  # of the predictive values
SPECIFICITY = 0.9


class Cell(NamedTuple):
    """A kind of data set: images of each class, the true AUROC, images a group of positives.

    `scores` is of `SHAPES`.
    """

    positives: int
    negatives: int
    auroc: float
    cluster: int
    scores: str = "normal"


class Simulated(NamedTuple):
    """One data set, [n] each; `other` is a second score of the same images, correlated by half."""

    labels: Ints
    scores: Floats
    other: Floats
    codes: Ints


# Scores of negatives (shift 0) and positives from normal noise and a shift.
SHAPES: dict[str, Callable[[Floats, float], Floats]] = {
    "normal": lambda z, shift: z + shift,
    "positives twice as wide": lambda z, shift: (1 + (shift > 0)) * z + shift,
    "heavy tails (t, 3)": lambda z, shift: t.ppf(norm.cdf(z), 3) + shift,
    "exponential": lambda z, shift: -norm.logsf(z) * np.exp(shift),
}


def simulate(cell: Cell, rng: np.random.Generator) -> Simulated:
    """Groups hold one class; negatives are in groups of two where positives are in any."""
    sizes = (cell.negatives, min(cell.cluster, 2)), (cell.positives, cell.cluster)
    codes, first = [], 0
    for count, size in sizes:
        codes.append(first + np.arange(count) // size)
        first = codes[-1][-1] + 1
    labels = np.repeat([0, 1], [cell.negatives, cell.positives])
    joined = np.concatenate(codes)
    shape, shift = SHAPES[cell.scores], shift_of(cell.scores, cell.auroc)

    def noise() -> Floats:
        shared = rng.standard_normal(first)[joined]
        return np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * rng.standard_normal(
            len(joined)
        )

    common = noise()
    second = np.sqrt(0.5) * common + np.sqrt(0.5) * noise()
    scores = np.where(labels == 1, shape(common, shift), shape(common, 0.0))
    other = second + shift_of("normal", worse(cell.auroc)) * labels
    return Simulated(labels, scores, other, joined)


@functools.cache
def shift_of(scores: str, auroc: float) -> float:
    """The shift that gives a true AUROC, by the quantiles of both classes."""
    if scores == "normal":
        return float(np.sqrt(2) * norm.ppf(auroc))
    z = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    negatives = SHAPES[scores](z, 0.0)

    def excess(shift: float) -> float:
        ranks = np.searchsorted(negatives, SHAPES[scores](z, shift))
        return float(ranks.mean() / len(z)) - auroc

    return float(brentq(excess, 1e-9, 40))


def worse(auroc: float) -> float:
    """The AUROC of the second score: half as far from chance in units of the scores."""
    return float(norm.cdf(norm.ppf(auroc) * 0.8))


def truth(cell: Cell) -> dict[str, float]:
    """The true values, by numerical integration over the scores."""
    shift = float(np.sqrt(2) * norm.ppf(cell.auroc))
    m, n = cell.positives, cell.negatives
    share = m / (m + n)
    cut = (float(logit(threshold(cell))) - float(logit(share)) + shift**2 / 2) / shift
    sensitivity, specificity = float(norm.sf(cut - shift)), float(norm.cdf(cut))
    grid = np.linspace(-10, 12 + shift, 200_001)
    step = grid[1] - grid[0]
    positive, negative = norm.pdf(grid - shift) * step, norm.pdf(grid) * step
    p = probabilities(cell, grid)
    hit, alarm = norm.sf(grid - shift) * share, norm.sf(grid) * (1 - share)
    precision = hit / np.maximum(hit + alarm, 1e-300)
    true = PREVALENCE * sensitivity
    return {
        "AUROC": cell.auroc,
        "AUROC difference": cell.auroc - worse(cell.auroc),
        "sensitivity": sensitivity,
        "balanced accuracy": (sensitivity + specificity) / 2,
        "f1": 2 * sensitivity * m / (sensitivity * m + m + (1 - specificity) * n),
        "average precision": float((positive * precision).sum()),
        "brier": float(
            share * (positive * (1 - p) ** 2).sum() + (1 - share) * (negative * p**2).sum()
        ),
        "PPV at 1 %": true / (true + (1 - PREVALENCE) * (1 - specificity)),
        "sensitivity at 0.90": float(norm.sf(norm.ppf(SPECIFICITY) - shift)),
    }


def probabilities(cell: Cell, scores: Floats) -> Floats:
    """Calibrated for the first score: the posterior at the data's own share of positives."""
    shift = np.sqrt(2) * norm.ppf(cell.auroc)
    share = cell.positives / (cell.positives + cell.negatives)
    return np.asarray(expit(shift * scores - shift**2 / 2 + logit(share)), np.float64)


def threshold(cell: Cell) -> float:
    """Where both classes are equally likely if they were equally frequent."""
    return cell.positives / (cell.positives + cell.negatives)
