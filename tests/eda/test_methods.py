"""Normalization, scaling and maps: what they promise, and that TEST takes no part."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from covidjax.eda import embedding, normalization, scaling


def test_normalizations_take_brightness_away_or_leave_it():
    image = np.random.default_rng(0).normal(90, 20, (64, 64)).clip(0, 255).astype(np.uint8)
    brighter = image + 60
    assert np.array_equal(normalization.METHODS["raw"](image), image)
    for name in ("z-score", "percentile stretch"):
        one, other = (normalization.METHODS[name](i).astype(int) for i in (image, brighter))
        assert np.abs(one - other).max() <= 1, name
    stretched = normalization.percentile_stretch(image)
    assert stretched.min() == 0 and stretched.max() == 255
    assert normalization.z_score(np.full((8, 8), 7, np.uint8)).tolist() == [[128] * 8] * 8


@pytest.fixture
def films():
    """Normal radiographs dark, pneumonia bright; the last fifth of the rows are TEST."""
    rng = np.random.default_rng(0)
    n = 200
    labels = np.arange(n) % 2
    images = rng.normal(100, 15, (n, 28, 28)) + 60 * labels[:, None, None]
    names = [
        f"IM-{row:04d}-0001.jpeg" if row % 2 == 0 else f"person{row}_virus_{row}.jpeg"
        for row in range(n)
    ]
    table = pd.DataFrame(
        {
            "image": names,
            "group": [name.rsplit("-", 1)[0] for name in names],
            "kaggle_split": np.where(np.arange(n) < 160, "TRAIN", "TEST"),
        }
    )
    return images.clip(0, 255).astype(np.uint8), table, labels.astype(np.int32)


def test_the_small_classifier_never_sees_test(films):
    _, table, labels = films
    fitted, scored, how = normalization.validation_split(table, labels, 0)
    assert how.startswith("both ends")
    assert set(table["kaggle_split"].iloc[np.concatenate([fitted, scored])]) == {"TRAIN"}
    assert not set(table["group"].iloc[fitted]) & set(table["group"].iloc[scored])
    without_test = table.assign(kaggle_split="TRAIN")
    fitted, scored, how = normalization.validation_split(without_test, labels, 0)
    assert how.startswith("a random fifth")
    assert len(fitted) + len(scored) == 200


def test_what_normalization_does_to_a_planted_brightness(films):
    images, table, labels = films
    parts = normalization.validation_split(table, labels, 0)[:2]
    lines, histograms = normalization.effects(images, table, labels, parts, seed=0)
    named = lines.set_index("normalization")
    assert named.loc["raw", "AUROC of brightness"] > 0.99
    assert named.loc["raw", "validation AUROC"] > 0.99
    assert named.loc["z-score", "AUROC of brightness"] < 0.7
    assert named.loc["z-score", "validation AUROC"] < 0.8
    assert list(histograms) == list(normalization.METHODS)
    np.testing.assert_allclose(histograms["raw"].sum(axis=1), 1)


def test_a_large_archive_is_sampled_for_the_classifier():
    rows = np.arange(10, 110)
    assert normalization.at_most(rows, 100, 0) is rows
    some = normalization.at_most(rows, 30, 0)
    assert len(set(some)) == 30 and set(some) <= set(rows) and (np.diff(some) > 0).all()


def test_components_of_products_are_those_of_pixels(monkeypatch):
    monkeypatch.setattr(scaling, "STRIP", 50)
    images = np.random.default_rng(0).integers(0, 256, (40, 20, 20), np.uint8)
    flat = images.reshape(40, -1) / 255
    theirs = PCA(29).fit(flat[:30]).transform(flat)
    ours = scaling._component_scores(images, 30)
    np.testing.assert_allclose(np.abs(ours[:, :8]), np.abs(theirs[:, :8]), atol=1e-4)


def test_a_sample_keeps_small_classes_whole():
    codes = np.repeat([0, 1, 2], [900, 90, 10])
    rows = embedding.sample(codes, 200, 0)
    assert len(rows) == 200 and (np.diff(rows) > 0).all()
    assert (codes[rows] == 2).sum() == 10
    assert len(embedding.sample(codes, 1000, 0)) == 1000


def test_neighbors_tell_what_is_an_island():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(0, 1, (30, 3)), rng.normal(50, 1, (30, 3))])
    groups = np.array([str(row) for row in range(60)])
    facts = {"source": ["a"] * 30 + ["b"] * 30, "class": ["x", "y"] * 30}
    found = embedding.agreement(features.astype(np.float32), groups, facts)
    alike = found.set_index("value")["neighbors alike (%)"]
    assert alike["a"] == alike["b"] == 100
    assert 30 < alike["x"] < 70


def test_without_umap_tsne_is_drawn_and_one_line_says_so(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    method, line = embedding.available("auto")
    assert method == "tsne" and "UMAP is not installed" in line and "\n" not in line
    assert embedding.available("none") == ("none", "")
    points = embedding.neighbor_map(
        np.random.default_rng(0).normal(0, 1, (30, 4)).astype(np.float32), method, 0
    )
    assert points.shape == (30, 2) and np.isfinite(points).all()
