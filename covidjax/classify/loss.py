"""What a classifier learns: the loss, the weights of the examples, and how images are read."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from covidjax.data.augment import Augmentation, augment, normalize, to_float
from covidjax.training.steps import Batch, Metrics
from covidjax.transfer import strategies

BALANCES = ("loss", "sampling", "none")


def make_loss(
    model: nn.Module,
    classes: int,
    smoothing: float,
    strength: Augmentation | None,
    *,
    freeze_batch_norm: bool = False,
) -> Callable[..., tuple[jax.Array, tuple[Metrics, Any]]]:
    """The loss function of a classifier, for `steps.train_step`.

    Weighted softmax cross-entropy against smoothed labels (Szegedy et al. 2016), on augmented and
    normalized images. The metrics are the unweighted `accuracy`. With `freeze_batch_norm` the
    network keeps BatchNorm's stored statistics (`strategies.frozen_statistics_logits`).
    """

    def loss_fn(
        params: Any, batch_stats: Any, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Metrics, Any]]:
        augment_key, dropout_key = jax.random.split(key)
        images = to_float(batch["images"])
        if strength is not None:
            images = augment(images, augment_key, strength)
        updated: Any
        if freeze_batch_norm:
            updated = {"batch_stats": batch_stats}
            logits = strategies.frozen_statistics_logits(
                model, params, batch_stats, normalize(images), dropout_key
            )
        else:
            logits, updated = model.apply(
                {"params": params, "batch_stats": batch_stats},
                normalize(images),
                train=True,
                rngs={"dropout": dropout_key},
                mutable=["batch_stats"],
            )
        targets = optax.smooth_labels(jax.nn.one_hot(batch["labels"], classes), smoothing)
        losses = optax.softmax_cross_entropy(logits, targets)
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == batch["labels"])
        loss = jnp.mean(losses * batch["weights"])
        return loss, ({"accuracy": accuracy}, updated["batch_stats"])

    return loss_fn


def make_predict(model: nn.Module, mirror: bool) -> Callable[[Any, Any, jax.Array], jax.Array]:
    """(params, batch_stats, uint8 images) -> probabilities [batch, classes].

    With `mirror`, the mean over the image and its left-right mirror.
    """

    def probabilities(params: Any, batch_stats: Any, images: jax.Array) -> jax.Array:
        variables = {"params": params, "batch_stats": batch_stats}
        inputs = normalize(to_float(images))
        views = [inputs, inputs[:, :, ::-1]] if mirror else [inputs]
        return jnp.mean(
            jnp.stack([jax.nn.softmax(jnp.asarray(model.apply(variables, x))) for x in views]),
            axis=0,
        )

    return probabilities


def example_weights(labels: NDArray[np.integer], balance: str) -> NDArray[np.float32]:
    """Weights [n] with mean 1; with balance="loss" every class weighs the same in all.

    Raises:
      ValueError: an unknown `balance`.
    """
    if balance not in BALANCES:
        raise ValueError(f"balance={balance!r}: known are {', '.join(BALANCES)}")
    if balance != "loss":
        return np.ones(len(labels), np.float32)
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (len(labels) / (len(classes) * counts))[inverse].astype(np.float32)
