"""The classifier's loss against its formula, weights, and what a prediction is."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax.classify import loss as objective
from covidjax.data.augment import Augmentation

LABELS = np.array([0, 0, 0, 1])


class Linear(nn.Module):
    """Logits linear in the pixels, with a counter in batch_stats."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        seen = self.variable("batch_stats", "seen", lambda: jnp.zeros(()))
        if train:
            seen.value += images.shape[0]
        return nn.Dense(2)(images.reshape(images.shape[0], -1))


def batch(seed: int = 0, count: int = 4) -> dict[str, jax.Array]:
    images = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1), np.uint8)
    return {
        "images": jnp.asarray(images),
        "labels": jnp.asarray(LABELS[:count]),
        "weights": jnp.asarray(objective.example_weights(LABELS, "loss")[:count]),
    }


def variables(model: nn.Module) -> dict:
    return model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))


def test_loss_is_weighted_cross_entropy_against_smoothed_labels() -> None:
    model, given = Linear(), batch()
    held = variables(model)
    loss_fn = objective.make_loss(model, 2, 0.1, None)
    loss, (metrics, stats) = loss_fn(held["params"], held["batch_stats"], given, jax.random.key(1))
    pixels = np.asarray(given["images"], np.float64) / 255
    mean, variance = pixels.mean((1, 2, 3)), pixels.var((1, 2, 3))
    pixels = (pixels - mean[:, None, None, None]) / np.sqrt(variance + 1e-4)[:, None, None, None]
    dense = held["params"]["Dense_0"]
    logits = pixels.reshape(4, -1) @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    logarithm = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    targets = np.where(np.eye(2)[LABELS] == 1, 0.95, 0.05)
    weights = np.array([2 / 3, 2 / 3, 2 / 3, 2])
    assert float(loss) == pytest.approx(
        np.mean(-(targets * logarithm).sum(axis=1) * weights), rel=1e-4
    )
    assert float(metrics["accuracy"]) == np.mean(logits.argmax(axis=1) == LABELS)
    assert float(stats["seen"]) == 4


def test_augmentation_changes_the_loss_with_the_key() -> None:
    model, given = Linear(), batch()
    held = variables(model)
    loss_fn = objective.make_loss(model, 2, 0.0, Augmentation())
    losses = [
        float(loss_fn(held["params"], held["batch_stats"], given, jax.random.key(key))[0])
        for key in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_example_weights() -> None:
    weights = objective.example_weights(LABELS, "loss")
    np.testing.assert_allclose(weights, [2 / 3, 2 / 3, 2 / 3, 2])
    assert weights.mean() == pytest.approx(1)
    for balance in ("sampling", "none"):
        np.testing.assert_array_equal(objective.example_weights(LABELS, balance), np.ones(4))
    with pytest.raises(ValueError, match="balance='half'"):
        objective.example_weights(LABELS, "half")


def test_predictions_are_probabilities_and_mirroring_makes_them_symmetric() -> None:
    model, images = Linear(), batch()["images"]
    held = variables(model)
    plain = objective.make_predict(model, mirror=False)
    mirrored = objective.make_predict(model, mirror=True)

    def of(predict: object, pixels: jax.Array) -> np.ndarray:
        return np.asarray(predict(held["params"], held["batch_stats"], pixels))

    there, back = of(plain, images), of(plain, images[:, :, ::-1])
    np.testing.assert_allclose(there.sum(axis=1), 1, rtol=1e-5)
    assert np.abs(there - back).max() > 1e-3
    np.testing.assert_allclose(of(mirrored, images), (there + back) / 2, atol=1e-6)
    np.testing.assert_allclose(of(mirrored, images), of(mirrored, images[:, :, ::-1]), atol=1e-6)
