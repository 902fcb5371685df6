"""A bootstrap over groups, for what no formula gives an interval: ratios and means of images.

A resample draws as many groups as there are, with replacement, and keeps every image of a drawn
group: images of one patient are not independent, and resampling them one by one would give
intervals that are too narrow (Field and Welsh 2007, "Bootstrapping clustered data"). A resample is
held as one integer weight an example, so that a figure of 2,000 resamples is a few array
operations.

The percentile interval holds for means over many groups. Where positives are few it covers far
less than it says; the classifiers' figures have their own (`intervals`).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from covidjax.evidence.metrics import Floats, Ints

CELLS = 1_000_000  # weights held at a time: 8 MB an array, stays near the processor's cache


def percentiles(draws: Floats) -> list[float]:
    """The 95 % interval of draws [samples]; nan draws (a part without examples) are left out."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return [float(low), float(high)]


def resampled_weights(labels: Ints, codes: Ints, samples: int, seed: int) -> Iterator[Floats]:
    """Weights [s, n] of `samples` resamples in all, in pieces: how often each example is drawn.

    Every resample holds every class of `labels`; one that does not is drawn again.
    """
    rng = np.random.default_rng(seed)
    group_count = int(codes.max()) + 1
    # holds[c, g]: group g has an example of class c
    holds = np.zeros((int(labels.max()) + 1, group_count))
    holds[labels, codes] = 1
    holds = holds[holds.any(axis=1)]
    piece = max(1, min(samples, CELLS // len(labels)))
    left = samples
    while left > 0:
        draws = rng.integers(0, group_count, (piece, group_count))
        draws += group_count * np.arange(piece)[:, None]
        tallies = np.bincount(draws.ravel(), minlength=piece * group_count)
        counts: Floats = tallies.reshape(piece, group_count).astype(np.float64)
        complete = (counts @ holds.T > 0).all(axis=1)
        counts = counts[complete][:left]
        left -= len(counts)
        yield counts[:, codes]


def resampled_aurocs(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """The AUROC [s] of each row of weights [s, n]; nan where a class has no weight."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    ordered = weights[:, order]
    true = np.cumsum(ordered * positive[order], axis=1)[:, ends]
    false = np.cumsum(ordered, axis=1)[:, ends] - true
    true, false = (np.pad(count, ((0, 0), (1, 0))) for count in (true, false))
    middle = (true[:, 1:] + true[:, :-1]) / 2  # the trapezoid counts tied pairs as half
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (np.diff(false, axis=1) * middle).sum(axis=1) / (true[:, -1] * false[:, -1])
    return np.asarray(area, np.float64)
