"""Optimizers and schedules, from optax."""

import jax
import optax

OPTIMIZERS = ("adamw", "sgd")


def schedule(learning_rate: float, warmup: float, updates: int) -> optax.Schedule:
    """Linear warm-up over the share `warmup` of all updates, then a cosine to 1 % of the peak."""
    updates = max(updates, 1)
    return optax.warmup_cosine_decay_schedule(
        init_value=learning_rate * 0.01,
        peak_value=learning_rate,
        # optax wants one step of decay at least, also in runs of a few updates.
        warmup_steps=min(round(warmup * updates), updates - 1),
        decay_steps=updates,
        end_value=learning_rate * 0.01,
    )


def create(
    name: str,
    *,
    learning_rate: float,
    steps: int,
    warmup: float = 0.1,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    clip: float = 0.0,
    accumulate: int = 1,
    last: optax.GradientTransformation | None = None,
) -> optax.GradientTransformation:
    """The optimizer of a run.

    Args:
      name: "adamw" or "sgd" (Nesterov, with decoupled weight decay).
      learning_rate: the peak.
      steps: batches of the whole run.
      warmup: share of the updates with a rising learning rate, in [0, 1).
      weight_decay: times the learning rate; matrices and kernels only, not biases and scales.
      momentum: of SGD; Adam's b1 and b2 are optax's.
      clip: largest global norm of the gradient; 0 for none.
      accumulate: batches whose gradients are averaged before an update.
      last: applied to the finished updates, weight decay included: what it multiplies by is a
        factor of the learning rate. Its count is of updates.

    Raises:
      ValueError: an unknown name, or a number outside its range.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer.name={name!r}: known are {', '.join(OPTIMIZERS)}")
    if not 0 <= warmup < 1:
        raise ValueError(f"optimizer.warmup must be in [0, 1), got {warmup}")
    # So written that NaN fails too.
    if not (accumulate >= 1 and learning_rate > 0 and weight_decay >= 0 and clip >= 0):
        raise ValueError(
            "optimizer: accumulate must be at least 1, learning_rate positive, weight_decay and "
            f"clip not negative; got {accumulate}, {learning_rate}, {weight_decay}, {clip}"
        )
    rate = schedule(learning_rate, warmup, steps // accumulate)
    parts = [optax.clip_by_global_norm(clip)] if clip else []
    if name == "adamw":
        parts.append(optax.adamw(rate, weight_decay=weight_decay, mask=decayed))
    else:
        parts.append(optax.trace(momentum, nesterov=True))
        parts.append(optax.add_decayed_weights(weight_decay, mask=decayed))
        parts.append(optax.scale_by_learning_rate(rate))
    if last is not None:
        parts.append(last)
    optimizer = optax.chain(*parts)
    if accumulate > 1:
        return optax.MultiSteps(optimizer, accumulate).gradient_transformation()
    return optimizer


def decayed(params: optax.Params) -> optax.Params:
    """True for kernels, False for biases and BatchNorm's parameters."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
