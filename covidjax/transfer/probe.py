"""Linear probe: a frozen network's features, computed once and kept, and a classifier on them."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from covidjax import locking
from covidjax.data.augment import normalize, to_float
from covidjax.data.source import cache_root
from covidjax.training import chunks, steps
from covidjax.training.state import TrainState
from covidjax.transfer import strategies

FEATURES_VERSION = 1  # raise it when what is computed changes, so that old files are not read
# Inverse of the penalty's strength (scikit-learn's C), on standardized features.
STRENGTHS = tuple(10.0**power for power in range(-6, 1))


class Head(NamedTuple):
    """A classifier of features.

    Attributes:
      kernel, bias: float32 [features, classes] and [classes].
      strength: the C that was chosen.
      loss: weighted log loss on the validation features.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    strength: float
    loss: float


def features(
    model: nn.Module,
    variables: Any,
    images: NDArray[np.uint8],
    *,
    mirror: bool,
    batch_size: int,
    mesh: Mesh,
) -> NDArray[np.float32]:
    """What the network's classifier sees of each image: [n, 1 or 2, features].

    Kept below the cache folder, by a hash of the pixels and of the weights that they pass; a second
    call with the same ones reads that file (not where several processes share the work).

    Args:
      model: our ResNet.
      variables: its `params` and `batch_stats`.
      images: uint8 [n, size, size].
      mirror: also of the left-right mirror image.
      batch_size: a multiple of the devices.
      mesh: the devices.
    """
    shared = jax.process_count() > 1
    path = cache_root() / "features" / f"{_key(model, variables, images, mirror)}.npy"
    if path.exists() and not shared:
        return np.load(path)

    def pooled(params: Any, batch_stats: Any, pixels: jax.Array) -> jax.Array:
        inputs = normalize(to_float(pixels))
        views = [inputs, inputs[:, :, ::-1]] if mirror else [inputs]
        return jnp.stack(
            [strategies.features(model, params, batch_stats, view) for view in views], axis=1
        )

    found = chunks.predict_rows(
        steps.compile_predict(mesh, pooled),
        variables,
        images,
        np.arange(len(images)),
        batch_size=batch_size,
        mesh=mesh,
    )
    if not shared:
        with locking.temporary(path) as file:
            np.save(file, found)
    return found


class Examples(NamedTuple):
    """What a head is fitted or chosen on.

    Attributes:
      features: [n, views, features]; every view of an image is an example of its own.
      labels: int [n].
      weights: [n], of each image in the loss.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.integer]
    weights: NDArray[np.floating]


def fit_head(
    train: Examples,
    validation: Examples,
    classes: int,
    strengths: Sequence[float] = STRENGTHS,
) -> Head:
    """Logistic regression with the L2 penalty that does best on the validation features.

    Args:
      classes: of the classifier; those without an example get a probability near 0.
      strengths: scikit-learn's C, to choose from.

    Raises:
      ValueError: the training labels are of one class only.
    """
    from sklearn.linear_model import LogisticRegression  # a second to import

    views, size = train.features.shape[1:]
    flat = train.features.reshape(-1, size).astype(np.float64)
    labels, weights = (np.repeat(column, views) for column in train[1:])
    mean, deviation = flat.mean(axis=0), flat.std(axis=0) + 1e-6
    best: Head | None = None
    for strength in strengths:
        solver = LogisticRegression(C=strength, max_iter=1000)
        solver.fit((flat - mean) / deviation, labels, weights)
        coefficients, intercept = solver.coef_, solver.intercept_
        if len(solver.classes_) == 2:  # scikit-learn keeps the difference of the two logits
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercept = np.concatenate([-intercept, intercept]) / 2
        kernel = np.zeros((size, classes))
        bias = np.full(classes, intercept.min() - 20)
        kernel[:, solver.classes_] = (coefficients / deviation).T
        bias[solver.classes_] = intercept - coefficients @ (mean / deviation)
        head = Head(kernel.astype(np.float32), bias.astype(np.float32), strength, 0.0)
        loss = log_loss(head, *validation)
        if best is None or loss < best.loss:
            best = head._replace(loss=loss)
    assert best is not None  # there is a strength
    return best


def log_loss(
    head: Head,
    given: NDArray[np.float32],
    labels: NDArray[np.integer],
    weights: NDArray[np.floating],
) -> float:
    """Weighted mean of -log of the labels' probabilities, which are means over the views."""
    logits = given.astype(np.float64) @ head.kernel + head.bias
    logits -= logits.max(axis=-1, keepdims=True)
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    picked = probabilities.mean(axis=1)[np.arange(len(labels)), labels]
    return float(np.average(-np.log(np.maximum(picked, 1e-12)), weights=weights))


def with_head(state: TrainState, head: Head) -> TrainState:
    """The train state, one step on, with that classifier in its weights and averages."""

    def replaced(params: Any) -> Any:
        old = params["fc"]
        new = {"kernel": head.kernel, "bias": head.bias}
        placed = {name: jax.device_put(new[name], old[name].sharding) for name in new}
        return {**params, "fc": placed}

    return dataclasses.replace(
        state,
        step=state.step + 1,
        params=replaced(state.params),
        ema_params=replaced(state.ema_params),
    )


def _key(model: nn.Module, variables: Any, images: NDArray[np.uint8], mirror: bool) -> str:
    """A hash of everything that the features depend on, the classifier left out."""
    digest = hashlib.sha256(f"{FEATURES_VERSION} {jax.__version__} {mirror} {model}".encode())
    backbone = {layer: leaves for layer, leaves in variables["params"].items() if layer != "fc"}
    for path, leaf in jax.tree.leaves_with_path([backbone, variables["batch_stats"]]):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).data)
    digest.update(f"{images.shape}".encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()[:32]
