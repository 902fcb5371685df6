"""Where a classifier looks: Grad-CAM, occlusion, and whether such maps mean anything.

A map is worth showing where it depends on what was learned (`randomization_check`), and is evidence
against the classifier where it lies outside the chest (`share_outside`).
"""

from collections.abc import Callable
from typing import Any

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from covidjax.data.augment import normalize, to_float

Maps = NDArray[np.float32]
# (variables, uint8 images [b, size, size, 1], int targets [b]) -> maps [b, rows, columns]
Explain = Callable[[Any, jax.Array, jax.Array], jax.Array]


def gradcam(model: nn.Module, variables: Any, images: jax.Array, targets: jax.Array) -> jax.Array:
    """Grad-CAM (Selvaraju et al. 2017) of the last spatial activations.

    The explained score is the log-odds of the target class, for two classes the difference of the
    logits: it is what decides. The activations' weights are its gradients, mean over the positions.

    Args:
      model: sows its last spatial activations as `maps`; their mean goes to an `nn.Dense`.
      variables: `params` and `batch_stats`.
      images: uint8 [batch, size, size, 1].
      targets: int [batch], the class to explain.

    Returns:
      float32 [batch, rows, columns] at the activations' resolution, 0 or more, not scaled.
    """
    inputs = normalize(to_float(images))

    def score(shift: jax.Array) -> tuple[jax.Array, jax.Array]:
        def shifted_head(next_call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            if isinstance(context.module, nn.Dense) and context.method_name == "__call__":
                args = (args[0] + shift, *args[1:])
            return next_call(*args, **kwargs)

        with nn.intercept_methods(shifted_head):
            logits, kept = model.apply(variables, inputs, mutable=["intermediates"])
        target = jax.nn.one_hot(targets, logits.shape[-1], dtype=bool)
        others = jax.nn.logsumexp(jnp.where(target, -jnp.inf, logits), axis=-1)
        odds = jnp.sum(logits, where=target, axis=-1) - others
        return jnp.sum(odds), kept["intermediates"]["maps"][0].astype(jnp.float32)

    maps = jax.eval_shape(score, jnp.zeros(()))[1]
    # The head sees the mean of the maps, so each position's gradient is this one over their number.
    gradients, activations = jax.grad(score, has_aux=True)(
        jnp.zeros((maps.shape[0], maps.shape[3]))
    )
    weights = gradients / (maps.shape[1] * maps.shape[2])
    return nn.relu(jnp.einsum("brck,bk->brc", activations, weights))


def compile_gradcam(model: nn.Module, *, mirror: bool) -> Explain:
    """`gradcam` of one network, jitted; with `mirror` the mean over the image and its mirror."""

    @jax.jit
    def explain(variables: Any, images: jax.Array, targets: jax.Array) -> jax.Array:
        straight = gradcam(model, variables, images, targets)
        if not mirror:
            return straight
        turned = gradcam(model, variables, images[:, :, ::-1], targets)
        return (straight + turned[:, :, ::-1]) / 2

    return explain


def occlusion(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.floating]],
    image: NDArray[np.uint8],
    target: int,
    *,
    window: int,
    stride: int,
) -> Maps:
    """Occlusion map (Zeiler and Fergus 2014): what the class loses where a square is covered.

    Args:
      predict: uint8 [n, size, size] -> probabilities [n, classes].
      image: uint8 [size, size].
      target: the class.
      window: side of the square in pixels, which takes the image's mean gray.
      stride: pixels between two squares, at most `window`.

    Returns:
      float32 [size, size]: mean fall of the probability over the squares that cover the pixel;
      below 0 where covering helps the class.

    Raises:
      ValueError: sizes that leave pixels uncovered.
    """
    size = image.shape[0]
    if not 0 < stride <= window <= size:
        raise ValueError(f"need 0 < stride <= window <= {size}, got {stride} and {window}")
    starts = [*range(0, size - window, stride), size - window]
    corners = [(top, left) for top in starts for left in starts]
    covered = np.repeat(image[None], len(corners) + 1, axis=0)
    for picture, (top, left) in zip(covered[1:], corners, strict=True):
        picture[top : top + window, left : left + window] = round(float(image.mean()))
    found = predict(covered)[:, target]
    falls, counts = np.zeros((size, size)), np.zeros((size, size))
    for (top, left), value in zip(corners, found[1:], strict=True):
        falls[top : top + window, left : left + window] += found[0] - value
        counts[top : top + window, left : left + window] += 1
    return (falls / counts).astype(np.float32)


def enlarge(maps: ArrayLike, size: int) -> Maps:
    """Maps [n, rows, columns] to float32 [n, size, size], linear between the positions."""
    small = np.asarray(maps, np.float32)
    return np.stack([cv2.resize(m, (size, size), interpolation=cv2.INTER_LINEAR) for m in small])


def share_outside(maps: Maps, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share [n] of each map's positive part that lies outside; nan for a map without any.

    Args:
      maps: [n, size, size].
      inside: bool [size, size] or [n, size, size], the thorax.
    """
    positive = np.maximum(np.asarray(maps, np.float64), 0)
    totals = positive.sum(axis=(1, 2))
    outside = (positive * ~inside).sum(axis=(1, 2))
    return np.divide(outside, totals, out=np.full(len(totals), np.nan), where=totals > 0)


def rank_correlation(first: Maps, second: Maps) -> NDArray[np.float64]:
    """Spearman's rank correlation [n] of two stacks of maps; 0 where one of the two is constant."""
    ranks = [rankdata(np.reshape(maps, (len(maps), -1)), axis=1) for maps in (first, second)]
    a, b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0)


def random_networks(model: nn.Module, size: int, *, seed: int, repeats: int = 3) -> list[Any]:
    """`params` and `batch_stats` of networks that have learned nothing."""
    init, found = jax.jit(model.init), []
    for key in jax.random.split(jax.random.key(seed), repeats):
        fresh = init(key, jnp.zeros((1, size, size, 1)))
        found.append({part: fresh.get(part, {}) for part in ("params", "batch_stats")})
    return found


def randomization_check(
    model: nn.Module,
    variables: Any,
    images: NDArray[np.uint8],
    targets: NDArray[np.integer],
    *,
    seed: int,
    repeats: int = 3,
) -> NDArray[np.float64]:
    """How much a map is alike with and without what was learned (Adebayo et al. 2018).

    All weights are drawn anew, `repeats` times. A map that stays the same shows edges of the image,
    not reasons of the network.

    Returns:
      [n], the mean rank correlation of each image's Grad-CAM with those of the random networks.
    """
    explain = compile_gradcam(model, mirror=False)
    batch, classes = jnp.asarray(images[..., None]), jnp.asarray(targets)
    learned = np.asarray(explain(variables, batch, classes))
    found = [
        rank_correlation(learned, np.asarray(explain(random, batch, classes)))
        for random in random_networks(model, images.shape[1], seed=seed, repeats=repeats)
    ]
    return np.mean(found, axis=0)
