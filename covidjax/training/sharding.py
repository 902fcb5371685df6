"""The mesh, and how arrays lie on it. Global view only: one array, all devices.

The mesh has two axes. Each batch is cut by example over both. The train state is whole on every
device, or (`layout`, config.sharding=fsdp) its larger arrays are cut over the axis `model`: ZeRO,
stage 3 (Rajbhandari et al. 2020), where each device keeps its part of parameters, averages and
optimizer state, and gathers the parameters for the time of a step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

AXES = ("data", "model")
KINDS = ("data", "fsdp")
# Smaller arrays are not cut: gathering them would cost more time than they take room.
SMALLEST_BYTES = 65536


def make_mesh(devices: Sequence[jax.Device] | None = None, model: int = 1) -> Mesh:
    """A mesh over all devices (of all processes), or over those given.

    Args:
      devices: in the order of the batch's parts.
      model: size of the axis `model`, over which a state may be cut; neighbors in the order.

    Raises:
      ValueError: `model` does not divide the devices.
    """
    devices = jax.devices() if devices is None else devices
    if len(devices) % model:
        raise ValueError(f"config.shards={model} does not divide the {len(devices)} devices")
    shape = (len(devices) // model, model)
    return jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * 2, devices=devices)


def mesh_of(kind: str, shards: int) -> Mesh:
    """The mesh of all devices for config.sharding and config.shards.

    Args:
      kind: "data": the state whole on every device; "fsdp": cut over `shards` devices.
      shards: devices that hold one copy together; 0: all.

    Raises:
      ValueError: `shards` does not divide the devices.
    """
    return make_mesh(model=(shards or jax.device_count()) if kind == "fsdp" else 1)


def layout(abstract: Any, mesh: Mesh, smallest: int = SMALLEST_BYTES) -> Any:
    """How each array of a state lies: whole, or cut over `model` along its largest fitting axis.

    Args:
      abstract: arrays or their shapes and types.
      mesh: the devices.
      smallest: bytes below which an array stays whole on every device.

    Returns:
      The same tree of shardings.
    """
    parts = mesh.shape["model"]

    def lie(leaf: Any) -> NamedSharding:
        fitting = [axis for axis, size in enumerate(leaf.shape) if size % parts == 0]
        if parts == 1 or not fitting or leaf.size * leaf.dtype.itemsize < smallest:
            return replicated(mesh)
        # Of equal ones the last: channels, which lie together in memory.
        chosen = max(fitting, key=lambda axis: (leaf.shape[axis], axis))
        return NamedSharding(mesh, PartitionSpec(*(None,) * chosen, "model"))

    return jax.tree.map(lie, abstract)


def whole(tree: Any, mesh: Mesh) -> Any:
    """The same arrays, whole on every device; those that are so already are not copied."""
    return jax.device_put(tree, replicated(mesh))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def by_example(mesh: Mesh) -> NamedSharding:
    """Every device holds its part of the leading axis."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def stacked_by_example(mesh: Mesh) -> NamedSharding:
    """Every device holds its part of the second axis; the first one counts batches."""
    return NamedSharding(mesh, PartitionSpec(None, AXES))


def share(mesh: Mesh) -> tuple[int, int]:
    """Which part of how many of each batch this process holds: its place among the mesh's."""
    processes = sorted({device.process_index for device in mesh.devices.flat})
    return processes.index(jax.process_index()), len(processes)


def on_cpu(mesh: Mesh) -> bool:
    """Whether all devices are CPUs."""
    return all(device.platform == "cpu" for device in mesh.devices.flat)


def check_batch_size(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raises ValueError where a batch cannot be cut into equal parts for devices and updates."""
    if batch_size < 1 or batch_size % mesh.size:
        raise ValueError(f"batch_size {batch_size} is not divisible by {mesh.size} devices")
    if batch_size % (mesh.size * accumulate):
        raise ValueError(
            f"batch_size {batch_size} is not divisible by {mesh.size} devices times "
            f"config.accumulate={accumulate}"
        )


def to_device(batch: Mapping[str, NDArray], mesh: Mesh) -> dict[str, jax.Array]:
    """The global batch of which this process holds `batch`, sharded by example."""
    return _place(batch, by_example(mesh))


def several_to_device(batches: Sequence[Mapping[str, NDArray]], mesh: Mesh) -> dict[str, jax.Array]:
    """Batches of one size stacked along a new leading axis, each of them sharded by example."""
    stacked = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    return _place(stacked, stacked_by_example(mesh))


def _place(batch: Mapping[str, NDArray], sharding: NamedSharding) -> dict[str, jax.Array]:
    return {
        name: jax.make_array_from_process_local_data(sharding, np.asarray(value))
        for name, value in batch.items()
    }
