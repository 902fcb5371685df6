"""Which layers learn, how fast and from when."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

# Read by configs and checks. `probe` trains no layer by gradient: see `probe.py`.
# From the classifier down to the image: the order of unfreezing and of the learning rates.
GROUPS = ("fc", "layer4", "layer3", "layer2", "layer1", "stem")
ALL_THAWED = 0.5  # share of the updates after which gradual unfreezing has reached the stem


def group_of(layer: str) -> str:
    """The group of a top-level layer of our ResNet: conv1 -> stem, layer3_1 -> layer3."""
    if layer in ("conv1", "bn1"):
        return "stem"
    return layer.split("_")[0]


def groups(params: Any) -> Any:
    """The group of each parameter of our ResNet, laid out as `params`."""
    return jax.tree.map_with_path(lambda path, _: group_of(path[0].key), params)


def layer_rates(strategy: str, layer_decay: float, updates: int) -> optax.GradientTransformation:
    """Factors of the learning rate by group, for `optimizer.create(last=...)`.

    Group number k of `GROUPS` learns at `layer_decay ** k` of the rate (layer-wise decay: Howard
    and Ruder 2018, Clark et al. 2020). With "gradual" it also stands still for the first
    `k / 5 * ALL_THAWED` of the updates. Gradients are clipped and Adam's moments gathered all the
    while, so that a layer that thaws takes no larger steps than the others.

    Args:
      strategy: "finetune" or "gradual".
      layer_decay: in (0, 1]; 1 for the same rate everywhere.
      updates: of the whole run.

    Raises:
      ValueError: another strategy, or a decay out of range.
    """
    if strategy not in ("finetune", "gradual"):
        raise ValueError(f"strategy={strategy!r} has no learning rates: give finetune or gradual")
    if not 0 < layer_decay <= 1:
        raise ValueError(f"transfer.layer_decay must be in (0, 1], got {layer_decay}")

    def schedule(number: int) -> optax.Schedule:
        wait = number / (len(GROUPS) - 1) * ALL_THAWED * updates
        start = wait if strategy == "gradual" else 0.0
        return lambda count: jnp.where(count >= start, layer_decay**number, 0.0)

    return optax.multi_transform(
        {group: optax.scale_by_schedule(schedule(n)) for n, group in enumerate(GROUPS)},
        groups,
    )


def frozen_statistics_logits(
    model: nn.Module, params: Any, batch_stats: Any, images: jax.Array, key: jax.Array
) -> jax.Array:
    """Logits to train on with BatchNorm's stored statistics, which stay as they are.

    Everything else is as in training: the network's dropout is applied to its features. With small
    batches, or few images, the batch's own statistics would be too noisy to replace the stored
    ones. BatchNorm's scales and biases go on learning.

    Args:
      model: our ResNet.
      images: normalized, [batch, height, width, channels].
      key: of the dropout.

    Returns:
      Logits [batch, classes], float32.
    """
    pooled = features(model, params, batch_stats, images)
    dropped = nn.Dropout(getattr(model, "dropout", 0.0), deterministic=False).apply(
        {}, pooled, rngs={"dropout": key}
    )
    return dropped @ params["fc"]["kernel"] + params["fc"]["bias"]


def features(model: nn.Module, params: Any, batch_stats: Any, images: jax.Array) -> jax.Array:
    """What the classifier sees of normalized images, in eval mode: float32 [batch, features]."""
    variables = {"params": params, "batch_stats": batch_stats}
    _, seen = model.apply(variables, images, mutable=["intermediates"])
    return seen["intermediates"]["features"][0]
