"""A fresh state: replicated, in float32, each buffer held once."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from covidjax.training import state


def test_a_fresh_state_lies_whole_on_every_device(made_on_eight):
    for leaf in jax.tree.leaves(made_on_eight):
        assert leaf.sharding.is_fully_replicated and len(leaf.sharding.device_set) == 8


def test_the_averages_start_as_copies_and_not_as_the_same_buffers(made):
    tiny.assert_same(made.params, made.ema_params)
    tiny.assert_same(made.batch_stats, made.ema_batch_stats)
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(made)]
    assert len(set(buffers)) == len(buffers)


def test_a_fresh_state_is_at_step_0_in_float32(made):
    fresh = made
    assert fresh.step == 0 and fresh.step.dtype == jnp.int32
    kept = (fresh.params, fresh.batch_stats, fresh.ema_params, fresh.ema_batch_stats)
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}


def test_the_key_alone_decides_the_parameters(made, made_on_eight):
    tiny.assert_same(made, made_on_eight)
    assert tiny.differs(tiny.fresh(tiny.one_device(), 1).params, made.params)


def test_the_count_is_of_trained_scalars(made):
    # Two 3 x 3 convolutions to 4 and 8 channels, scale and bias of each, 2 x 8 + 2 at the end.
    assert state.parameter_count(made.params) == 36 + 8 + 288 + 16 + 18
    assert state.parameter_count({"a": np.zeros((2, 3)), "b": {"c": np.zeros(())}}) == 7
