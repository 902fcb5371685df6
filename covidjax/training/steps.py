"""The train and predict steps: pure functions, and the one place that compiles and keeps them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from covidjax.training import hosts, sharding
from covidjax.training.state import TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
# (params, batch_stats, batch, key) -> (loss, (metrics, new batch_stats))
LossFn = Callable[[Any, Any, Batch, jax.Array], tuple[jax.Array, tuple[Metrics, Any]]]
# (state, batch, key) -> (next state, metrics)
StepFn = Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]
# (params, batch_stats, images) -> outputs with a leading batch axis
PredictFn = Callable[[Any, Any, jax.Array], jax.Array]

# Of an accelerator: enough for the host to keep ahead of a small network's steps.
STEPS_PER_DISPATCH = 8


def train_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    accumulate: int = 1,
    place: Callable[[Any], Any] | None = None,
) -> tuple[TrainState, Metrics]:
    """One update.

    Args:
      state: before the step.
      batch: the global batch. A column "stop" [batch], where there is one, is no data: its largest
        number is among the scalars.
      key: of the whole run; the step's own key is `fold_in(key, state.step)`.
      loss_fn: the task.
      optimizer: of optax.
      ema_decay: of the averages; early on less, (1 + step) / (10 + step), so that they forget the
        initial values.
      accumulate: micro-batches that the batch is cut into, one after another: less memory, the
        same mean gradient. BatchNorm sees one of them at a time, and random draws are others.
      place: puts gradients where they are to lie.

    Returns:
      The next state, and the scalars `loss`, `gradient_norm` and those of the loss function.
    """
    step_key = jax.random.fold_in(key, state.step)
    batch = dict(batch)
    stop = batch.pop("stop", None)
    loss, metrics, batch_stats, gradients = _gradients(
        loss_fn, state, batch, step_key, accumulate, place or (lambda tree: tree)
    )
    if stop is not None:
        metrics = {**metrics, "stop": jnp.max(stop)}
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


def _gradients(
    loss_fn: LossFn,
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    accumulate: int,
    place: Callable[[Any], Any],
) -> tuple[jax.Array, Metrics, Any, Any]:
    """Loss, metrics, new statistics and gradients: of the batch, or the mean over micro-batches."""
    gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
    if accumulate == 1:
        (loss, (metrics, statistics)), gradients = gradient_fn(
            state.params, state.batch_stats, batch, key
        )
        return loss, metrics, statistics, place(gradients)

    def cut(column: jax.Array) -> jax.Array:
        # Every accumulate-th example: so each device has its share of every micro-batch at hand.
        parts = column.reshape(-1, accumulate, *column.shape[1:])
        return jnp.swapaxes(parts, 0, 1)

    def one(carry: tuple[Any, Any], part: tuple[jax.Array, Batch]) -> tuple[Any, Any]:
        statistics, total = carry
        number, micro = part
        (loss, (metrics, statistics)), gradients = gradient_fn(
            state.params, statistics, micro, jax.random.fold_in(key, number)
        )
        total = jax.tree.map(jnp.add, total, place(gradients))
        return (statistics, total), (loss, metrics)

    start = state.batch_stats, place(jax.tree.map(jnp.zeros_like, state.params))
    parts = jnp.arange(accumulate), jax.tree.map(cut, batch)
    # On CPUs convolutions in a loop's body take several times as long.
    unroll = accumulate if jax.default_backend() == "cpu" else 1
    (statistics, total), seen = jax.lax.scan(one, start, parts, unroll=unroll)
    loss, metrics = jax.tree.map(lambda values: jnp.mean(values, axis=0), seen)
    return loss, metrics, statistics, jax.tree.map(lambda leaf: leaf / accumulate, total)


def train_steps(
    state: TrainState, batches: Batch, key: jax.Array, **options: Any
) -> tuple[TrainState, Metrics]:
    """One `train_step` after another, for each batch along the leading axis of `batches`.

    Returns:
      The state after the last, and the scalars of all steps, each [number of batches].
    """
    return jax.lax.scan(lambda now, batch: train_step(now, batch, key, **options), state, batches)


def steps_per_dispatch(asked: int, mesh: Mesh) -> int:
    """`asked`, or where that is 0 what suits the devices: one step on CPUs, else several.

    The loop body of a scan runs convolutions on CPUs several times slower than a plain step does,
    and there a dispatch costs next to nothing.
    """
    return asked or (1 if sharding.on_cpu(mesh) else STEPS_PER_DISPATCH)


def compile_train_step(
    mesh: Mesh,
    *,
    several: bool = False,
    layout: TrainState | None = None,
    **options: Any,
) -> StepFn:
    """`train_step` jitted over the mesh: state donated, batch cut by example.

    Args:
      mesh: the devices.
      several: compiles `train_steps` instead, for batches of `sharding.several_to_device`.
      layout: how the state lies (`state.layout_of`); default whole on every device.
      options: of `train_step`: loss_fn, optimizer, ema_decay, accumulate.
    """
    if layout is not None:
        options |= _where_it_lies(mesh, options["loss_fn"], layout)
    whole = sharding.replicated(mesh)
    parts = sharding.stacked_by_example(mesh) if several else sharding.by_example(mesh)
    compiled = jax.jit(
        partial(train_steps if several else train_step, **options),
        in_shardings=(layout or whole, parts, whole),
        out_shardings=(layout or whole, whole),
        donate_argnums=0,
    )
    return together(compiled, mesh)


def _where_it_lies(mesh: Mesh, loss_fn: LossFn, layout: TrainState) -> dict[str, Any]:
    """Options of `train_step`: parameters are gathered for the loss, gradients scattered."""
    everywhere = sharding.replicated(mesh)

    def gathered(params: Any, *others: Any) -> tuple[jax.Array, tuple[Metrics, Any]]:
        return loss_fn(jax.lax.with_sharding_constraint(params, everywhere), *others)

    def place(gradients: Any) -> Any:
        return jax.lax.with_sharding_constraint(gradients, layout.params)

    return {"loss_fn": gathered, "place": place}


def together(function: Any, mesh: Mesh) -> Callable[..., Any]:
    """A jitted function whose first call waits until all processes of the mesh have compiled it.

    Else the first to have done so waits in the function's first collective, whose patience (gloo's
    of CPUs: half a minute) can be shorter than a slow machine's compilation.
    """
    if sharding.share(mesh)[1] == 1:
        return function
    compiled: dict[Any, Any] = {}

    def call(*arguments: Any) -> Any:
        leaves = jax.tree.leaves(arguments)
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if shapes not in compiled:
            compiled[shapes] = function.lower(*arguments).compile()
            hosts.sync()
        return compiled[shapes](*arguments)

    return call


def compile_predict(mesh: Mesh, predict_fn: PredictFn) -> PredictFn:
    """A predict function jitted over the mesh: outputs whole on every device."""
    whole, parts = sharding.replicated(mesh), sharding.by_example(mesh)
    compiled = jax.jit(predict_fn, in_shardings=(whole, whole, parts), out_shardings=whole)
    return together(compiled, mesh)
