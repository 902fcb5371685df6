"""Where a run's arrays lie and what is kept of them: `config.sharding` and its neighbours."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import ml_collections
import optax
from jax.sharding import Mesh

from covidjax.training import checkpoint, sharding, state


def mesh_of(config: ml_collections.ConfigDict) -> Mesh:
    """The mesh of all devices. Raises ValueError where they do not fit the batch."""
    mesh = sharding.mesh_of(config.sharding, config.shards)
    sharding.check_batch_size(config.batch_size, mesh, config.accumulate)
    return mesh


def step_options(
    config: ml_collections.ConfigDict,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
) -> dict[str, Any]:
    """What `steps.compile_train_step` wants to know besides mesh and loss."""
    layout = None
    if config.sharding == "fsdp":
        shape = (config.data.size, config.data.size, 1)
        layout = state.layout_of(model, optimizer, shape, mesh, config.shard_from)
    return {
        "optimizer": optimizer,
        "ema_decay": config.ema,
        "accumulate": config.accumulate,
        "layout": layout,
    }


def checkpoints_of(
    config: ml_collections.ConfigDict, folder: Path, name: str = ""
) -> checkpoint.Checkpoints:
    """The checkpoints of the network of that name, or of a run's only one."""
    return checkpoint.Checkpoints(checkpoint.root(config, folder) / name, keep=config.keep)
