"""The train and predict steps: pure functions, and the one place that compiles them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from covidjax.training import sharding
from covidjax.training.state import TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
# (params, batch_stats, batch, key) -> (loss, (metrics, new batch_stats))
LossFn = Callable[[Any, Any, Batch, jax.Array], tuple[jax.Array, tuple[Metrics, Any]]]
# (params, batch_stats, images) -> outputs with a leading batch axis
PredictFn = Callable[[Any, Any, jax.Array], jax.Array]


def train_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[TrainState, Metrics]:
    """One update.

    Args:
      state: before the step.
      batch: the global batch.
      key: of the whole run; the step's own key is `fold_in(key, state.step)`.
      loss_fn: the task.
      optimizer: of optax.
      ema_decay: of the averages; early on less, (1 + step) / (10 + step), so that they forget the
        initial values.

    Returns:
      The next state, and the scalars `loss`, `gradient_norm` and those of the loss function.
    """
    step_key = jax.random.fold_in(key, state.step)
    gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, (metrics, batch_stats)), gradients = gradient_fn(
        state.params, state.batch_stats, batch, step_key
    )
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
    average = partial(jax.tree.map, lambda old, new: decay * old + (1 - decay) * new)
    state = TrainState(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        ema_params=average(state.ema_params, params),
        ema_batch_stats=average(state.ema_batch_stats, batch_stats),
    )
    norm = optax.tree.norm(gradients)
    return state, {"loss": loss, "gradient_norm": norm, **metrics}


def compile_train_step(
    mesh: Mesh, *, loss_fn: LossFn, optimizer: optax.GradientTransformation, ema_decay: float
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]:
    """`train_step` jitted over the mesh: state replicated and donated, batch sharded."""
    step = partial(train_step, loss_fn=loss_fn, optimizer=optimizer, ema_decay=ema_decay)
    whole, parts = sharding.replicated(mesh), sharding.by_example(mesh)
    return jax.jit(
        step,
        in_shardings=(whole, parts, whole),
        out_shardings=(whole, whole),
        donate_argnums=0,
    )


def compile_predict(mesh: Mesh, predict_fn: PredictFn) -> PredictFn:
    """A predict function jitted over the mesh: outputs whole on every device."""
    whole, parts = sharding.replicated(mesh), sharding.by_example(mesh)
    return jax.jit(predict_fn, in_shardings=(whole, whole, parts), out_shardings=whole)
