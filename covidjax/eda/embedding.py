"""Two-dimensional maps of the images, and how far a neighbor tells the class and the source."""

import importlib.util
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NEIGHBORS = 10
BATCH = 256
EPOCHS = 200  # of UMAP: its own choice above 10,000 points; below it takes 500


def available(asked: str) -> tuple[str, str]:
    """The map to draw (umap, tsne, none), and a line to print where it is not the one asked for."""
    if asked in ("auto", "umap") and importlib.util.find_spec("umap") is None:
        line = 'UMAP is not installed (pip install -e ".[eda]"): t-SNE is drawn in its place'
        return "tsne", line
    return ("umap" if asked == "auto" else asked), ""


def sample(codes: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Up to `most` rows, ascending: small classes whole, the others in proportion."""
    if len(codes) <= most:
        return np.arange(len(codes))
    rng = np.random.default_rng(seed)
    small = [c for c in np.unique(codes) if (codes == c).sum() <= most // 20]
    kept = np.flatnonzero(np.isin(codes, small))
    rest = rng.permutation(np.flatnonzero(~np.isin(codes, small)))[: most - len(kept)]
    return np.sort(np.concatenate([kept, rest]))


def standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, d], each column with mean 0 and deviation 1 (constant ones 0)."""
    spread = features.std(axis=0)
    return ((features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)).astype(
        np.float32
    )


def plane(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[float]]:
    """The two leading principal components [n, 2], and their shares of the variance."""
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    order = np.argsort(values)[::-1][:2]
    axes = vectors[:, order]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    shares = values[order] / max(float(values.sum()), 1e-12)
    return (centred @ axes).astype(np.float32), [float(share) for share in shares]


def neighbor_map(features: NDArray[np.float32], method: str, seed: int) -> NDArray[np.float32]:
    """UMAP (McInnes et al. 2018) or t-SNE (van der Maaten and Hinton 2008) of [n, d]: [n, 2]."""
    if method == "umap":
        import umap  # starts numba, which takes seconds

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a seed means one thread
            near = min(15, len(features) - 1)
            made = umap.UMAP(
                n_neighbors=near, min_dist=0.1, n_epochs=EPOCHS, random_state=seed, n_jobs=1
            )
            return np.asarray(made.fit_transform(features), np.float32)
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    made = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=-1)
    return np.asarray(made.fit_transform(features), np.float32)


def agreement(
    features: NDArray[np.float32], groups: NDArray[np.str_], facts: dict[str, Sequence[str]]
) -> pd.DataFrame:
    """Of the 10 nearest images of other groups, the share with the same class or source.

    Returns:
      One line a fact and value: images, the share, and what chance would give.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    norms = (features**2).sum(axis=1)
    near = np.zeros((len(features), NEIGHBORS), np.int64)
    for start in range(0, len(features), BATCH):
        part = features[start : start + BATCH]
        squared = norms - 2 * part @ features.T
        squared[codes[start : start + BATCH, None] == codes] = np.inf
        near[start : start + BATCH] = np.argpartition(squared, NEIGHBORS, axis=1)[:, :NEIGHBORS]
    lines = []
    for fact, given in facts.items():
        values = np.asarray(given)
        same = (values[near] == values[:, None]).mean(axis=1)
        for value in dict.fromkeys(sorted(given)):
            members = values == value
            lines.append(
                {
                    "fact": fact,
                    "value": value,
                    "images": int(members.sum()),
                    "neighbors alike (%)": 100 * float(same[members].mean()),
                    "by chance (%)": 100 * float(members.mean()),
                }
            )
    return pd.DataFrame(lines)
