"""The train state: everything that changes in training and nothing else."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from covidjax.training import sharding

Tree = Any


@flax.struct.dataclass
class TrainState:
    """What is saved. Random keys are not: they are folded from the run's key and `step`.

    Attributes:
      step: int32, batches seen.
      params, batch_stats: the network's variables.
      opt_state: the optimizer's.
      ema_params, ema_batch_stats: exponential moving averages of the two, for evaluation.
    """

    step: jax.Array
    params: Tree
    batch_stats: Tree
    opt_state: Tree
    ema_params: Tree
    ema_batch_stats: Tree


def create(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
    key: jax.Array,
    mesh: Mesh,
    layout: Any = None,
) -> TrainState:
    """A fresh state, made where it will live; no device ever holds more of it.

    Args:
      model: a linen module called as `model(images, train=...)`.
      optimizer: of optax.
      image_shape: height, width, channels.
      key: for the initial parameters.
      mesh: the devices.
      layout: of `layout_of`; default whole on every device.
    """
    init = _initial(model, optimizer, image_shape)
    return jax.jit(init, out_shardings=layout or sharding.replicated(mesh))(key)


def layout_of(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
    mesh: Mesh,
    smallest: int = sharding.SMALLEST_BYTES,
) -> TrainState:
    """How a state lies that is cut over the mesh's axis `model`; see `sharding.layout`.

    Statistics stay whole: they are a number a channel, and each step computes them whole.
    """
    init = _initial(model, optimizer, image_shape)
    abstract = jax.eval_shape(init, jax.random.key(0))
    whole = jax.tree.map(lambda _: sharding.replicated(mesh), abstract.batch_stats)
    cut = sharding.layout(abstract, mesh, smallest)
    return dataclasses.replace(cut, batch_stats=whole, ema_batch_stats=whole)


def _initial(
    model: nn.Module, optimizer: optax.GradientTransformation, image_shape: tuple[int, int, int]
) -> Callable[[jax.Array], TrainState]:
    def init(key: jax.Array) -> TrainState:
        variables = model.init(key, jnp.zeros((1, *image_shape)))
        params, batch_stats = variables["params"], variables.get("batch_stats", {})
        # Copies, for a donated state must not hold the same buffer twice.
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=batch_stats,
            opt_state=optimizer.init(params),
            ema_params=jax.tree.map(jnp.copy, params),
            ema_batch_stats=jax.tree.map(jnp.copy, batch_stats),
        )

    return init


def parameter_count(params: Tree) -> int:
    """Number of trained scalars."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
