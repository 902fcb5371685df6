"""The grouped cut against scikit-learn's, row by row."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from covidjax.data.stratified import assign_folds


def example(seed: int, rows: int, classes: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups: rare classes, groups of many sizes, most groups of one class."""
    random = np.random.default_rng(seed)
    members = random.integers(0, groups, rows)
    usual = random.choice(classes, groups, p=np.arange(1, classes + 1) ** 2 / _squares(classes))
    labels = np.where(random.random(rows) < 0.1, random.integers(0, classes, rows), usual[members])
    return labels, np.array([f"group{member}" for member in members])


def _squares(classes: int) -> float:
    return float((np.arange(1, classes + 1) ** 2).sum())


def theirs(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    fold_of = np.full(len(labels), -1)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, out) in enumerate(splitter.split(labels, labels, groups)):
        fold_of[out] = number
    return fold_of


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("folds", [2, 3, 5, 7])
@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("groups", [20, 150])
def test_the_folds_are_those_of_scikit_learn(folds, classes, groups):
    for seed in range(4):
        labels, members = example(seed, 300, classes, groups)
        np.testing.assert_array_equal(
            assign_folds(labels, members, folds, seed), theirs(labels, members, folds, seed)
        )


def test_single_images_of_one_size_are_cut_alike_too():
    # Every group is like every other: only the shuffle and the ties decide.
    labels = np.repeat([0, 1], [90, 10])
    groups = np.arange(100)
    for seed in range(20):
        np.testing.assert_array_equal(
            assign_folds(labels, groups, 5, seed), theirs(labels, groups, 5, seed)
        )


@pytest.mark.parametrize(("images", "groups", "folds"), [(4, 4, 5), (20, 3, 4), (0, 0, 2)])
def test_too_many_folds_are_refused(images, groups, folds):
    labels, members = np.zeros(images, int), np.arange(images) % max(groups, 1)
    with pytest.raises(ValueError, match=f"{folds} folds are more than"):
        assign_folds(labels, members, folds, 0)


def test_cutting_folds_does_not_import_scikit_learn():
    code = "import sys; import covidjax.data.splits; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
