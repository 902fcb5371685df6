"""ResNets have torchvision's shapes and counts, and its blocks' arithmetic."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax import models
from covidjax.models import resnet

# torchvision.models.resnetN().parameters(), summed.
TORCHVISION = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160}


def abstract(depth: int, channels: int, classes: int, side: int = 224):
    """Shapes of the variables, and of what every module returns."""
    model = models.create("resnet", num_classes=classes, depth=depth)
    images = jax.ShapeDtypeStruct((2, side, side, channels), jnp.float32)

    def run(images):
        variables = model.init(jax.random.key(0), images)
        _, seen = model.apply(variables, images, capture_intermediates=True, mutable=True)
        return variables, seen["intermediates"]

    return jax.eval_shape(run, images)


def count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("depth", TORCHVISION)
def test_parameters_and_stages_are_torchvisions(depth):
    variables, seen = abstract(depth, channels=3, classes=1000)
    assert count(variables["params"]) == TORCHVISION[depth]
    expansion = 1 if depth < 50 else 4
    assert seen["conv1"]["__call__"][0].shape == (2, 112, 112, 64)
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]
    for stage, (number, side) in enumerate(zip(blocks, (56, 28, 14, 7), strict=True), start=1):
        width = 64 * 2 ** (stage - 1) * expansion
        for index in range(number):
            block = seen[f"layer{stage}_{index}"]["__call__"][0]
            assert block.shape == (2, side, side, width)
        assert f"layer{stage}_{number}" not in seen
    assert seen["features"][0].shape == (2, 512 * expansion)
    assert seen["fc"]["__call__"][0].shape == (2, 1000)


def test_one_channel_and_two_classes_change_the_first_and_last_layer_alone():
    variables, _ = abstract(18, channels=1, classes=2, side=64)
    assert count(variables["params"]) == TORCHVISION[18] - 2 * 7 * 7 * 64 - 998 * 513
    means = [leaf.size for path, leaf in jax.tree.leaves_with_path(variables["batch_stats"])]
    assert sum(means) == 2 * 4_800  # torchvision's buffers without num_batches_tracked


def test_the_bottlenecks_stride_is_on_the_3_x_3_convolution():
    _, seen = abstract(50, channels=3, classes=10)
    block = seen["layer2_0"]
    assert block["conv1"]["__call__"][0].shape == (2, 56, 56, 128)
    assert block["conv2"]["__call__"][0].shape == (2, 28, 28, 128)
    assert "downsample_conv" in seen["layer1_0"] and "downsample_conv" not in seen["layer1_1"]


def test_a_basic_blocks_shortcut_is_projected_where_the_shape_changes_alone():
    variables, _ = abstract(18, channels=3, classes=10)
    projected = [name for name, block in variables["params"].items() if "downsample_conv" in block]
    assert projected == ["layer2_0", "layer3_0", "layer4_0"]


@pytest.fixture(scope="module")
def blocks():
    conv = partial(resnet.convolution, dtype=jnp.float32, kernels="auto")
    norm = partial(nn.BatchNorm, True, momentum=0.9, epsilon=1e-5)
    return {
        block: jax.jit(block(4, 2, conv, norm).init_with_output)(
            jax.random.key(0), jnp.ones((1, 8, 8, 6))
        )
        for block in (resnet.BasicBlock, resnet.Bottleneck)
    }


@pytest.mark.parametrize("block", [resnet.BasicBlock, resnet.Bottleneck])
def test_a_fresh_block_passes_its_shortcut_on(blocks, block):
    """The last BatchNorm's scale starts at 0."""
    output, variables = blocks[block]
    kernel = variables["params"]["downsample_conv"]["kernel"]
    expected = jax.nn.relu(jnp.ones((1, 4, 4, 6)) @ kernel[0, 0]) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(output, expected, rtol=1e-5)
    last = "bn2" if block is resnet.BasicBlock else "bn3"
    np.testing.assert_array_equal(variables["params"][last]["scale"], 0)


def test_kernels_are_drawn_with_variance_2_over_fan_out():
    layer = resnet.convolution(256, 3, 1, jnp.float32, "auto", "conv")
    kernel = layer.init(jax.random.key(0), jnp.ones((1, 8, 8, 16)))["params"]["kernel"]
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 256)), rtol=0.02)


def test_bfloat16_keeps_parameters_statistics_and_logits_in_float32():
    model = models.create("resnet", num_classes=2, depth=18, dtype="bfloat16")

    def run(images):
        variables = model.init(jax.random.key(0), images)
        rest = {"capture_intermediates": True, "mutable": True}
        return variables, model.apply(variables, images, train=True, **rest)

    images = jax.ShapeDtypeStruct((2, 16, 16, 1), jnp.float32)
    variables, (logits, seen) = jax.eval_shape(run, images)
    kept = [variables, seen["batch_stats"], logits, seen["intermediates"]["features"]]
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}
    assert seen["intermediates"]["layer4_1"]["__call__"][0].dtype == jnp.bfloat16
