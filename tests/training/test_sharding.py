"""One program for any number of devices: the same step, and clear errors where it cannot be cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax.sharding import PartitionSpec

from covidjax.training import sharding


def test_a_mesh_is_over_all_devices_or_those_given_neighbors_along_model():
    assert len(jax.devices()) == 8  # tests/conftest.py
    assert dict(sharding.make_mesh().shape) == {"data": 8, "model": 1}
    some = jax.devices()[2:6]
    assert sharding.make_mesh(some, model=2).devices.tolist() == [some[:2], some[2:]]
    assert dict(sharding.mesh_of("fsdp", 0).shape) == {"data": 1, "model": 8}
    assert dict(sharding.mesh_of("fsdp", 2).shape) == {"data": 4, "model": 2}
    with pytest.raises(ValueError, match="config.shards=3 does not divide the 8 devices"):
        sharding.mesh_of("fsdp", 3)


@pytest.mark.parametrize(("batch_size", "devices"), [(30, 8), (0, 1), (-8, 8), (7, 8), (1, 2)])
def test_a_batch_that_cannot_be_cut_evenly_is_refused_with_the_numbers(batch_size, devices):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    with pytest.raises(ValueError, match=f"batch_size {batch_size} is not .* by {devices} devices"):
        sharding.check_batch_size(batch_size, mesh)


@pytest.mark.parametrize(("batch_size", "devices"), [(8, 8), (64, 8), (1, 1), (6, 3)])
def test_a_batch_that_can_be_cut_evenly_passes(batch_size, devices):
    sharding.check_batch_size(batch_size, sharding.make_mesh(jax.devices()[:devices]))


def test_batches_lie_by_example_with_their_types():
    batch = tiny.first_batch()
    placed = sharding.to_device(batch, sharding.make_mesh())
    assert set(placed) == set(batch)
    for name, array in placed.items():
        np.testing.assert_array_equal(array, batch[name], strict=True)
        assert array.sharding.spec == PartitionSpec(("data", "model"))
        assert [shard.data.shape[0] for shard in array.addressable_shards] == [1] * 8


def test_several_batches_lie_stacked_each_by_example():
    stream = tiny.make_batches()
    batches = [next(stream) for _ in range(3)]
    placed = sharding.several_to_device(batches, sharding.make_mesh())
    for name, array in placed.items():
        np.testing.assert_array_equal(array, np.stack([b[name] for b in batches]), strict=True)
        assert array.sharding.spec == PartitionSpec(None, ("data", "model"))
        assert [shard.data.shape[:2] for shard in array.addressable_shards] == [(3, 1)] * 8


def test_eight_devices_take_the_step_that_one_takes(made_on_eight, start, step_fn):
    """BatchNorm's statistics and the random draws are of the global batch, not of a device's."""
    results = []
    on_eight = jax.tree.map(jnp.copy, made_on_eight), sharding.make_mesh()
    for (initial, mesh), step in (
        ((start(), tiny.one_device()), step_fn),
        (on_eight, tiny.compiled_step(on_eight[1])),
    ):
        batch = sharding.to_device(tiny.first_batch(), mesh)
        state, metrics = step(initial, batch, tiny.KEY)
        assert len(state.step.sharding.device_set) == mesh.size
        results.append((state, metrics))
    (one, one_metrics), (eight, eight_metrics) = results
    for name, value in one_metrics.items():
        np.testing.assert_allclose(eight_metrics[name], value, rtol=1e-3, err_msg=name)
    statistics = zip(
        jax.tree.leaves(one.batch_stats), jax.tree.leaves(eight.batch_stats), strict=True
    )
    for a, b in statistics:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    # Adam's first step has the size of the learning rate whatever the gradient's, so tiny
    # gradients may differ in sign; its first moment holds the gradients themselves.
    moments = [s.opt_state[1][0].mu for s in (one, eight)]
    for a, b in zip(*map(jax.tree.leaves, moments), strict=True):
        assert np.abs(a).max() > 1e-3
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
