"""A state that is cut over devices: what lies where, the compiled collectives, the same numbers."""

import re
from collections import Counter
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from jax.sharding import PartitionSpec

from covidjax import models
from covidjax.classify import loss as objective
from covidjax.training import sharding, state, steps
from covidjax.training.checkpoint import Checkpoints, Progress

SHAPE = (tiny.SIZE, tiny.SIZE, 1)
COLLECTIVE = re.compile(
    r"^\s*(?:ROOT )?%?\S+ = (?P<result>[^\n]*?) (?P<name>all-gather|all-reduce|reduce-scatter"
    r"|all-to-all|collective-permute|collective-broadcast|ragged-all-to-all|send|recv)"
    r"(?:-start)?\(",
    re.MULTILINE,
)
MODEL = models.create(
    "cnn", num_classes=2, widths=(8, 16), convs=1, dropout=0.2, dtype="float32", kernels="plain"
)


def compiled(mesh: jax.sharding.Mesh, fsdp: bool) -> tuple[Any, Any, Any, Any]:
    """Step, layout, fresh state and batch."""
    optimizer = tiny.make_optimizer()
    layout = state.layout_of(MODEL, optimizer, SHAPE, mesh, smallest=0) if fsdp else None
    step = steps.compile_train_step(
        mesh,
        loss_fn=objective.make_loss(MODEL, 2, 0.1, tiny.MILD),
        optimizer=optimizer,
        ema_decay=0.9,
        layout=layout,
    )
    fresh = state.create(MODEL, optimizer, SHAPE, jax.random.key(0), mesh, layout)
    batch = sharding.to_device(tiny.first_batch(), mesh)
    return step.lower(fresh, batch, tiny.KEY).compile(), layout, fresh, batch


@pytest.fixture(scope="module")
def cut():
    return compiled(sharding.make_mesh(model=8), fsdp=True)


@pytest.fixture(scope="module")
def whole():
    return compiled(sharding.make_mesh(), fsdp=False)


def collectives(step: Any) -> list[tuple[str, str]]:
    return [(found["name"], found["result"]) for found in COLLECTIVE.finditer(step.as_text())]


def test_the_largest_axis_that_fits_is_cut_and_small_arrays_stay_whole():
    mesh = sharding.make_mesh(model=4)
    shapes = [(3, 3, 8, 16), (16, 8), (8, 8), (6, 12), (7, 9), (4,), ()]
    abstract = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    specs = [found.spec for found in sharding.layout(abstract, mesh, smallest=129)]
    third = PartitionSpec(None, None, None, "model")
    expected = [third, PartitionSpec("model"), PartitionSpec(None, "model")]
    expected += [PartitionSpec(None, "model"), *[PartitionSpec()] * 3]
    assert specs == expected
    # 65,536 bytes by default.
    floats = [jax.ShapeDtypeStruct((count,), jnp.float32) for count in (16_384, 16_380)]
    cut_one, whole_one = sharding.layout(floats, mesh)
    assert (cut_one.spec, whole_one.spec) == (PartitionSpec("model"), PartitionSpec())


def test_a_fresh_state_is_cut_and_no_device_holds_more_than_its_part(cut):
    _, layout, fresh, _ = cut
    for tree in (fresh.params, fresh.ema_params, fresh.opt_state):
        for leaf in jax.tree.leaves(tree):
            parts = {shard.data.size for shard in leaf.addressable_shards}
            fits = any(side % 8 == 0 for side in leaf.shape)
            assert parts == {leaf.size // 8 if fits else leaf.size}, leaf.shape
    assert jax.tree.map(lambda leaf: leaf.sharding, fresh) == layout


def test_the_step_of_fsdp_gathers_each_cut_parameter_once_and_only_reduces_besides(cut):
    step, layout, fresh, _ = cut
    found = collectives(step)
    # Where XLA has reduce-scatter (not on CPUs) it takes the place of reducing and slicing.
    assert {name for name, _ in found} <= {"all-gather", "all-reduce", "reduce-scatter"}
    gathered = Counter(re.sub(r"\{.*", "", shape) for name, shape in found if name == "all-gather")
    leaves = zip(jax.tree.leaves(fresh.params), jax.tree.leaves(layout.params), strict=True)
    expected = Counter(
        f"f32[{','.join(map(str, leaf.shape))}]" for leaf, lies in leaves if any(lies.spec)
    )
    assert gathered == expected and sum(expected.values()) > 4


def test_the_data_parallel_step_only_reduces(whole):
    assert {name for name, _ in collectives(whole[0])} == {"all-reduce"}


def test_a_cut_state_takes_the_step_that_a_whole_one_takes(cut, whole):
    outcomes = []
    for step, _, fresh, batch in (cut, whole):
        outcomes.append(step(jax.tree.map(jnp.copy, fresh), batch, tiny.KEY))
    (ours, our_figures), (theirs, their_figures) = outcomes
    for name, value in their_figures.items():
        np.testing.assert_allclose(our_figures[name], value, rtol=1e-5, err_msg=name)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert jax.tree.map(lambda leaf: leaf.sharding, ours) == cut[1]


def test_a_checkpoint_of_eight_devices_is_read_on_two_and_the_other_way_round(cut, tmp_path):
    few = sharding.make_mesh(jax.devices()[:2])
    optimizer = tiny.make_optimizer()
    small = state.create(MODEL, optimizer, SHAPE, jax.random.key(1), few)
    for number, (one, other) in enumerate([(cut[2], small), (small, cut[2])]):
        kept, stream = Checkpoints(tmp_path / str(number)), tiny.make_batches()
        for _ in range(7):
            next(stream)
        kept.save_last(one, stream, Progress())
        kept.close()
        again = tiny.make_batches()
        restored, _ = Checkpoints(tmp_path / str(number)).restore_last(other, again)
        for a, b, lies in zip(*map(jax.tree.leaves, (restored, one, other)), strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.sharding == lies.sharding
        tiny.assert_same(next(again), next(stream))


class Straight(nn.Module):
    """Without BatchNorm and without random draws."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        return nn.Dense(2)(nn.tanh(nn.Dense(8)(images.reshape(len(images), -1))))


def test_micro_batches_give_the_update_of_the_whole_batch():
    model = Straight()
    loss_fn = objective.make_loss(model, 2, 0.1, None)
    optimizer = optax.sgd(0.5)
    fresh = state.create(model, optimizer, SHAPE, jax.random.key(0), tiny.one_device())
    batch = {name: jnp.asarray(column) for name, column in tiny.first_batch().items()}
    options = {"loss_fn": loss_fn, "optimizer": optimizer, "ema_decay": 0.9}
    expected, figures = steps.train_step(fresh, batch, tiny.KEY, **options)
    ours, found = steps.train_step(fresh, batch, tiny.KEY, accumulate=4, **options)
    assert tiny.differs(expected.params, fresh.params) and found.keys() == figures.keys()
    for a, b in zip(
        jax.tree.leaves((ours, found)), jax.tree.leaves((expected, figures)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_batch_that_cannot_be_cut_for_devices_and_micro_batches_is_refused():
    mesh = sharding.make_mesh()
    sharding.check_batch_size(64, mesh, 8)
    with pytest.raises(ValueError, match="64 is not .* 8 devices times config.accumulate=3"):
        sharding.check_batch_size(64, mesh, 3)


def test_a_stop_goes_from_one_process_s_part_of_the_batch_to_all():
    """`loop.fit` adds the column where there are several processes."""
    batch = {name: jnp.asarray(column) for name, column in tiny.first_batch().items()}
    batch["stop"] = jnp.array([0] * 7 + [15], jnp.int32)
    model, optimizer = Straight(), optax.sgd(0.5)
    fresh = state.create(model, optimizer, SHAPE, jax.random.key(0), tiny.one_device())
    loss_fn = objective.make_loss(model, 2, 0.1, None)
    _, figures = steps.train_step(
        fresh, batch, tiny.KEY, loss_fn=loss_fn, optimizer=optimizer, ema_decay=0.9
    )
    assert figures["stop"] == 15 and "stop" in batch
