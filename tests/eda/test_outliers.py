"""Outliers: a planted one comes first in each of the three ways, with its reason."""

import numpy as np
import pandas as pd
import pytest

from covidjax.eda import outliers, pixels
from covidjax.eda.charts import images as charts_images
from covidjax.eda.stream import NAMES

N = 60


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(100, 5, (N, len(NAMES))), columns=list(NAMES))


def test_each_way_finds_its_own_outlier(features):
    rng = np.random.default_rng(1)
    features.loc[7, ["contrast", "entropy"]] = 200, 30
    errors = rng.uniform(0.02, 0.03, N).astype(np.float32)
    errors[8] = 0.09
    scores = rng.normal(0, 1, (N, 4)).astype(np.float32)
    scores[9] = 40
    names = [f"image{row}" for row in range(N)]
    found = outliers.find(features, errors, scores, np.array(names), names, most=3)
    assert [int(way.rows[0]) for way in found] == [7, 8, 9]
    assert "contrast high (+" in found[0].reasons[0] and "entropy low (-" in found[0].reasons[0]
    assert "23 gray levels" in found[1].reasons[0]
    assert "times the median distance" in found[2].reasons[0]
    table = outliers.as_table(found, pd.DataFrame({"image": names}), ["Normal"] * N)
    assert list(table["rank"]) == [1, 2, 3] * 3


def test_a_picture_is_shown_once_however_many_ways_find_it():
    found = [
        outliers.Found(way, "", np.zeros(9, np.float32), np.array(rows), tuple(map(str, rows)))
        for way, rows in (("a", [3, 1]), ("b", [3, 2]), ("c", [2, 1, 5]))
    ]
    assert charts_images._each_once(found) == [[(3, "3"), (1, "1")], [(2, "2")], [(5, "5")]]


def test_features_that_are_mostly_zero_make_nobody_an_outlier(features):
    features[["letters", "bars"]] = 0.0
    features.loc[3, ["letters", "bars"]] = 9
    assert outliers.robust_deviations(features)[3, NAMES.index("letters")] == 0


def test_a_neighbor_of_the_same_group_does_not_count():
    scores = np.float32([[0, 0], [0, 0.1], [5, 0], [5, 2]])
    nearest, which = outliers.nearest_neighbors(scores, np.array(["a", "a", "b", "c"]))
    assert which[:2].tolist() == [2, 2] and which[2:].tolist() == [3, 2]
    assert nearest[2] == pytest.approx(2, abs=1e-3)


def test_components_in_chunks_are_those_of_scikit_learn(monkeypatch):
    from sklearn.decomposition import PCA

    monkeypatch.setattr(pixels, "CHUNK", 16)
    images = np.random.default_rng(0).integers(0, 256, (50, 28, 28), np.uint8)
    images[:, :14] //= np.arange(1, 51, dtype=np.uint8)[:, None, None]
    flat = images.reshape(50, -1) / 255
    theirs = PCA(3, svd_solver="full").fit(flat)
    ours = pixels.fit(images, 3)
    np.testing.assert_allclose(ours.explained, theirs.explained_variance_ratio_, rtol=1e-3)
    scores, errors = pixels.project(images, ours)
    np.testing.assert_allclose(np.abs(scores), np.abs(theirs.transform(flat)), atol=2e-3)
    rebuilt = theirs.inverse_transform(theirs.transform(flat))
    np.testing.assert_allclose(errors, np.sqrt(((flat - rebuilt) ** 2).mean(axis=1)), atol=1e-3)
