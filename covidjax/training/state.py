"""The train state: everything that changes in training and nothing else."""

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
      opt_state: the optimiser's.
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
) -> TrainState:
    """A fresh state, made where it will live: replicated over the mesh.

    Args:
      model: a linen module called as `model(images, train=...)`.
      optimizer: of optax.
      image_shape: height, width, channels.
      key: for the initial parameters.
      mesh: the devices.
    """

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

    abstract = jax.eval_shape(init, key)
    shardings = jax.tree.map(lambda _: sharding.replicated(mesh), abstract)
    return jax.jit(init, out_shardings=shardings)(key)


def parameter_count(params: Tree) -> int:
    """Number of trained scalars."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
