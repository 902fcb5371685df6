"""Features are computed once, the classifier on them is the best of its kind, all else stays."""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax.data.augment import normalize, to_float
from covidjax.training import optimizer, sharding, state
from covidjax.transfer import probe, strategies


class Small(nn.Module):
    """Ends as our networks do."""

    classes: int = 3

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = nn.relu(nn.Conv(6, (3, 3), name="conv1")(images))
        x = nn.BatchNorm(not train, name="bn1")(x).mean(axis=(1, 2))
        self.sow("intermediates", "features", x)
        return nn.Dense(self.classes, name="fc")(x)


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> jax.sharding.Mesh:
    monkeypatch.setenv("COVIDJAX_CACHE", str(tmp_path))
    return sharding.make_mesh()


def images(count: int = 19) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8), np.uint8)


def fresh() -> dict:
    return Small().init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))


def features(mesh, variables: dict, given: np.ndarray, mirror: bool = True) -> np.ndarray:
    return probe.features(Small(), variables, given, mirror=mirror, batch_size=8, mesh=mesh)


def test_features_are_what_the_classifier_sees_of_image_and_mirror(mesh) -> None:
    held, given = fresh(), images()
    inputs = normalize(to_float(given[..., None]))
    for view, pixels in enumerate((inputs, inputs[:, :, ::-1])):
        expected = strategies.features(Small(), held["params"], held["batch_stats"], pixels)
        np.testing.assert_allclose(features(mesh, held, given)[:, view], expected, atol=1e-5)
    assert features(mesh, held, given, mirror=False).shape == (19, 1, 6)


def test_features_are_computed_once(mesh, tmp_path: Path) -> None:
    held, given = fresh(), images()
    features(mesh, held, given)
    [path] = (tmp_path / "features").iterdir()
    np.save(path, np.full((19, 2, 6), 7, np.float32))
    assert (features(mesh, held, given) == 7).all()
    # The classifier is no part of it; everything else is.
    other_head = {**held, "params": {**held["params"], "fc": {"kernel": 0, "bias": 1}}}
    assert (features(mesh, other_head, given) == 7).all()
    changed = given.copy()
    changed[3, 2, 1] ^= 1
    moved = {**held, "batch_stats": jax.tree.map(lambda leaf: leaf + 1, held["batch_stats"])}
    bent = {**held, "params": jax.tree.map(lambda leaf: leaf * 1.5, held["params"])}
    for variables, pixels in ((held, changed), (moved, given), (bent, given)):
        assert (features(mesh, variables, pixels) != 7).any()
    assert len(list((tmp_path / "features").iterdir())) == 4


def cloud(count: int, classes: int, seed: int, size: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Features [count, 2, size] of overlapping classes, far from zero mean and unit variance."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.random.default_rng(99).normal(size=(classes, size))
    found = centres[labels][:, None] + draw.normal(size=(count, 2, size))
    return (40 + 10.0 ** np.arange(size) * found).astype(np.float32), labels


def fit(train, labels, validation, validation_labels, classes, **options) -> probe.Head:
    return probe.fit_head(
        probe.Examples(train, labels, np.ones(len(labels))),
        probe.Examples(validation, validation_labels, np.ones(len(validation_labels))),
        classes,
        **options,
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_without_a_penalty_the_gradient_of_the_loss_vanishes(classes: int) -> None:
    train, labels = cloud(300, classes, 0)
    head = fit(train, labels, *cloud(90, classes, 1), classes, strengths=[1e4])
    flat, targets = train.reshape(-1, 5), np.repeat(np.eye(classes)[labels], 2, axis=0)
    standard = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    probabilities = np.asarray(jax.nn.softmax(flat @ head.kernel + head.bias))
    assert np.abs(standard.T @ (probabilities - targets)).max() / len(flat) < 2e-3
    np.testing.assert_allclose(probabilities.mean(axis=0), targets.mean(axis=0), atol=2e-3)


def test_the_penalty_is_chosen_on_validation() -> None:
    draw = np.random.default_rng(0)
    train, labels = cloud(40, 2, 0)
    labels[::4] = 1 - labels[::4]  # a quarter is wrong: to fit them all cannot be best
    noise = draw.normal(size=(40, 2, 200)).astype(np.float32)
    few = np.concatenate([train, noise], axis=-1)
    many, many_labels = cloud(400, 2, 1)
    noise = draw.normal(size=(400, 2, 200)).astype(np.float32)
    held = np.concatenate([many, noise], axis=-1)
    chosen = fit(few, labels, held, many_labels, 2)
    losses = {
        strength: fit(few, labels, held, many_labels, 2, strengths=[strength]).loss
        for strength in probe.STRENGTHS
    }
    assert chosen.loss == min(losses.values()) and losses[chosen.strength] == chosen.loss
    assert probe.STRENGTHS[0] < chosen.strength < probe.STRENGTHS[-1]


def test_weights_count_as_copies_do() -> None:
    train, labels = cloud(60, 2, 0)
    validation = cloud(60, 2, 1)
    rows = np.concatenate([np.arange(60), np.flatnonzero(labels == 1)])
    weights = np.where(labels == 1, 2.0, 1.0)
    options = {"strengths": [0.1]}
    # Copies also change the mean and deviation that features are standardized by, but not much.
    copied = fit(train[rows], labels[rows], *validation, 2, **options)
    weighted = probe.fit_head(
        probe.Examples(train, labels, weights),
        probe.Examples(*validation, np.ones(60)),
        2,
        strengths=(0.1,),
    )
    np.testing.assert_allclose(weighted.kernel, copied.kernel, rtol=0.1, atol=0.02)


def test_a_class_without_examples_is_never_called() -> None:
    train, labels = cloud(60, 2, 0)
    head = fit(train, labels * 2, *(part * 1 for part in cloud(30, 1, 1)), 4)
    probabilities = np.asarray(jax.nn.softmax(train[:, 0] @ head.kernel + head.bias))
    assert probabilities[:, [1, 3]].max() < 1e-3
    assert (probabilities.argmax(axis=1) == labels * 2).mean() > 0.8


def test_the_classifier_alone_is_replaced_in_weights_and_averages(mesh) -> None:
    tx = optimizer.create("adamw", learning_rate=0.1, steps=10)
    before = state.create(Small(), tx, (8, 8, 1), jax.random.key(0), mesh)
    head = probe.Head(np.ones((6, 3), np.float32), np.arange(3, dtype=np.float32), 1.0, 0.5)
    after = probe.with_head(before, head)
    assert int(after.step) == 1
    for old, new in ((before.params, after.params), (before.ema_params, after.ema_params)):
        np.testing.assert_array_equal(new["fc"]["kernel"], head.kernel)
        np.testing.assert_array_equal(new["fc"]["bias"], head.bias)
        assert new["fc"]["kernel"].sharding == old["fc"]["kernel"].sharding
        for layer in ("conv1", "bn1"):
            jax.tree.map(np.testing.assert_array_equal, new[layer], old[layer])
    jax.tree.map(np.testing.assert_array_equal, after.batch_stats, before.batch_stats)
