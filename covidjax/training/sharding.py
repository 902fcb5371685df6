"""The mesh, and how arrays lie on it. Global view only: one array, all devices."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with the one axis `data` over all devices (of all processes), or over those given."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def by_example(mesh: Mesh) -> NamedSharding:
    """Every device holds its part of the leading axis."""
    return NamedSharding(mesh, PartitionSpec("data"))


def stacked_by_example(mesh: Mesh) -> NamedSharding:
    """Every device holds its part of the second axis; the first one counts batches."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))


def on_cpu(mesh: Mesh) -> bool:
    """Whether all devices are CPUs."""
    return all(device.platform == "cpu" for device in mesh.devices.flat)


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raises ValueError where a batch cannot be cut into equal parts, one a device."""
    if batch_size < 1 or batch_size % mesh.size:
        raise ValueError(f"batch_size {batch_size} is not divisible by {mesh.size} devices")


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
