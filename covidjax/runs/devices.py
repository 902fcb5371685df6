"""Where a run's arrays lie and what is kept of them: `config.sharding` and its neighbours."""

import os
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import ml_collections
import optax
from jax.sharding import Mesh

from covidjax.training import checkpoint, sharding, state


def prepare() -> None:
    """Finds JAX's devices, and has it compute in 32 bits whatever the environment says.

    Raises:
      ValueError: JAX has no device of the platform that it was told; in one line.
    """
    # JAX_ENABLE_X64 would make networks of other types than those that were saved.
    jax.config.update("jax_enable_x64", False)
    try:
        jax.devices()
    except Exception as error:  # which kind depends on the platform; of one an AssertionError
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        asked = os.environ.get("JAX_PLATFORMS", "")
        setting = f"JAX_PLATFORMS={asked}: " if asked else ""
        raise ValueError(
            f"{setting}JAX finds no such device ({reason[:200]}); unset JAX_PLATFORMS, or install "
            'JAX for it (for CUDA: pip install -e ".[cuda12]")'
        ) from error


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
