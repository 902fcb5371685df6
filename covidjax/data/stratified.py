"""The grouped, stratified cut that scikit-learn's StratifiedGroupKFold makes, without importing it.

Every start of a run cuts folds, and scikit-learn takes a second to import and tries the folds of
each group one by one. This is the same greedy algorithm, all folds of a group in one go; the tests
hold it to scikit-learn's folds, to the row.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def assign_folds(
    labels: NDArray[np.integer], groups: NDArray[Any], folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold of each row: groups whole, each fold about equally many of each class.

    As `StratifiedGroupKFold(folds, shuffle=True, random_state=seed)` of scikit-learn since 1.8
    (before, it shuffled the counts and not the groups with them): the groups are shuffled, then
    taken from the most uneven in its classes to the most even, and each goes where the classes'
    shares of the folds then vary least.

    Args:
      labels: int [n], the classes.
      groups: [n], what must stay together.
      folds: at most the number of groups, and of the images of the largest class.
      seed: 0 or more.

    Returns:
      int64 [n], 0 to folds - 1.

    Raises:
      ValueError: too many folds.
    """
    _, classes, class_sizes = np.unique(labels, return_inverse=True, return_counts=True)
    names, members = np.unique(groups, return_inverse=True)
    most = min(len(names), max(class_sizes, default=0))
    if folds > most:
        raise ValueError(f"{folds} folds are more than the {most} groups or images there are")
    counts = np.zeros((len(names), len(class_sizes)))
    np.add.at(counts, (members, classes), 1)
    order = np.arange(len(names))
    np.random.RandomState(seed).shuffle(order)
    # Stable, so that what is alike stays as it was shuffled.
    order = order[np.argsort(-np.std(counts[order], axis=1), kind="stable")]
    fold_counts = np.zeros((folds, len(class_sizes)))
    fold_of_group = np.empty(len(names), np.int64)
    for group in order:
        best = _best_fold(fold_counts, counts[group], class_sizes)
        fold_counts[best] += counts[group]
        fold_of_group[group] = best
    return fold_of_group[members]


def _best_fold(
    fold_counts: NDArray[np.float64], added: NDArray[np.float64], class_sizes: NDArray[np.int64]
) -> int:
    """Where a group of `added` images a class goes; of nearly equal folds to the smallest."""
    folds = len(fold_counts)
    tried = np.repeat(fold_counts[np.newaxis], folds, axis=0)  # [fold tried, fold, class]
    tried[np.arange(folds), np.arange(folds)] += added
    # The sums run in scikit-learn's order: the last bit decides between folds that are alike.
    uneven = np.std(tried / class_sizes, axis=1).mean(axis=1).tolist()
    sizes = fold_counts.sum(axis=1).tolist()
    best = 0
    for fold in range(1, folds):
        # numpy.isclose, which takes longer than all of the above.
        close = abs(uneven[fold] - uneven[best]) <= 1e-8 + 1e-5 * abs(uneven[best])
        if uneven[fold] < uneven[best] or (close and sizes[fold] < sizes[best]):
            best = fold
    return best
