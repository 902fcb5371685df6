"""Converted networks compute what PyTorch's do; networks that do not fit are refused by name."""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import plain_resnet
import pytest

from covidjax import models
from covidjax.transfer import convert
from covidjax.transfer.sources import Weights

STORED = Path(__file__).with_name("vectors.npz")
PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160}
HALF = (0.5, 0.5, 0.5)


@cache
def shapes(depth: int, channels: int, classes: int = plain_resnet.CLASSES):
    model = models.create("resnet", num_classes=classes, depth=depth)
    image = jnp.zeros((1, 64, 64, channels))
    return model, jax.eval_shape(model.init, jax.random.key(0), image)


@cache
def logits(depth: int, channels: int) -> np.ndarray:
    model, fresh = shapes(depth, channels)
    weights = Weights(plain_resnet.weights(depth), "weights.safetensors")
    variables, left = convert.from_torch(weights, fresh)
    assert left == []
    images = plain_resnet.images(channels)
    return np.asarray(jax.jit(model.apply)(variables, images))


def assert_equal(found: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-4 of the logits' size; and the two images' logits differ by far more than that."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale)
    assert np.abs(expected[0] - expected[1]).max() > 0.02 * scale


@pytest.mark.parametrize("depth", plain_resnet.DEPTHS)
def test_the_plain_network_has_torchvisions_names_in_number(depth: int) -> None:
    sizes = plain_resnet.shapes(depth, classes=1000)
    learned = [np.prod(shape) for name, shape in sizes.items() if len(shape) > 0]
    running = [np.prod(shape) for name, shape in sizes.items() if ".running_" in name]
    assert sum(learned) - sum(running) == PARAMETERS[depth]


@pytest.mark.parametrize("kind", ["rgb_18", "rgb_34", "rgb_50", "rgb_101", "gray_50"])
def test_logits_equal_the_stored_ones(kind: str) -> None:
    color, depth = kind.split("_")
    with np.load(STORED) as stored:
        assert_equal(logits(int(depth), 3 if color == "rgb" else 1), stored[kind])


@pytest.mark.parametrize("depth", plain_resnet.DEPTHS)
def test_logits_equal_pytorchs(depth: int) -> None:
    pytest.importorskip("torch")
    state = plain_resnet.weights(depth)
    assert_equal(logits(depth, 3), plain_resnet.torch_logits(state, plain_resnet.images()))


def test_a_gray_image_gives_what_its_three_copies_give_pytorch() -> None:
    pytest.importorskip("torch")
    gray = np.repeat(plain_resnet.images(channels=1), 3, axis=-1)
    assert_equal(logits(50, 1), plain_resnet.torch_logits(plain_resnet.weights(50), gray))


def stem(kernel: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The first convolution, [batch, rows, columns, out], of a kernel in PyTorch's layout."""
    layers = kernel.transpose(2, 3, 1, 0)
    return np.asarray(
        jax.lax.conv_general_dilated(
            images, layers, (2, 2), ((3, 3), (3, 3)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )


def rgb_inputs(gray: np.ndarray, mean: tuple, std: tuple) -> np.ndarray:
    """RGB, as far from ImageNet's mean in deviations as `gray` is from 0, normalized."""
    imagenet_mean, imagenet_std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    rgb = imagenet_mean + imagenet_std * gray
    return ((rgb - mean) / std).astype(np.float32)


def test_the_fold_is_exact_up_to_the_border_for_networks_normalized_as_imagenet() -> None:
    kernel, gray = plain_resnet.weights(18)["conv1.weight"], plain_resnet.images(channels=1)
    folded, constant = convert.gray_stem(kernel)
    np.testing.assert_array_equal(constant, 0)
    np.testing.assert_allclose(folded, kernel.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7)
    expected = stem(kernel, np.repeat(gray, 3, axis=-1))
    np.testing.assert_allclose(stem(folded, gray), expected, atol=1e-4)


def test_the_fold_is_exact_inside_the_border_for_networks_normalized_otherwise() -> None:
    kernel, gray = plain_resnet.weights(18)["conv1.weight"], plain_resnet.images(channels=1)
    folded, constant = convert.gray_stem(kernel, HALF, HALF)
    expected = stem(kernel, rgb_inputs(gray, HALF, HALF))
    error = np.abs(stem(folded, gray) + constant - expected).max(axis=(0, 3))
    assert error[2:-1, 2:-1].max() < 1e-4
    border = error.copy()
    border[2:-1, 2:-1] = 0
    assert 1e-3 < border.max() < 0.3 * np.abs(expected).max()


def test_another_normalization_goes_into_kernels_and_running_means() -> None:
    state = plain_resnet.weights(18)
    _, fresh = shapes(18, 1)
    plain, _ = convert.from_torch(Weights(state, "a"), fresh)
    other, _ = convert.from_torch(Weights(state, "a", HALF, HALF), fresh)
    folded, constant = convert.gray_stem(state["conv1.weight"], HALF, HALF)
    np.testing.assert_array_equal(
        other["params"]["conv1"]["kernel"][:, :, 0], folded[:, 0].transpose(1, 2, 0)
    )
    np.testing.assert_allclose(
        other["batch_stats"]["bn1"]["mean"], state["bn1.running_mean"] - constant
    )
    np.testing.assert_array_equal(plain["batch_stats"]["bn1"]["mean"], state["bn1.running_mean"])
    np.testing.assert_array_equal(
        plain["params"]["layer4_1"]["conv2"]["kernel"],
        other["params"]["layer4_1"]["conv2"]["kernel"],
    )


def as_transformers(name: str) -> str:
    """torchvision's name -> that of transformers' ResNetForImageClassification, by hand."""
    ends = {"conv": "convolution", "bn": "normalization"}
    if name.startswith("fc."):
        return name.replace("fc.", "classifier.1.")
    parts = name.split(".")
    if not name.startswith("layer"):
        return f"resnet.embedder.embedder.{ends[parts[0][:-1]]}.{parts[-1]}"
    block = f"resnet.encoder.stages.{int(parts[0][-1]) - 1}.layers.{parts[1]}"
    if parts[2] == "downsample":
        return f"{block}.shortcut.{('convolution', 'normalization')[int(parts[3])]}.{parts[-1]}"
    return f"{block}.layer.{int(parts[2][-1]) - 1}.{ends[parts[2][:-1]]}.{parts[-1]}"


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("rename", [as_transformers, lambda name: f"module.{name}"])
def test_other_libraries_names_give_the_same(depth: int, rename) -> None:
    state = plain_resnet.weights(depth)
    _, fresh = shapes(depth, 3)
    expected, _ = convert.from_torch(Weights(state, "a"), fresh)
    renamed = {rename(name): value for name, value in state.items()}
    found, _ = convert.from_torch(Weights(renamed, "a"), fresh)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_bare_transformers_backbone_has_no_prefix_and_no_classifier() -> None:
    state = plain_resnet.weights(18)
    bare = {as_transformers(name).removeprefix("resnet."): value for name, value in state.items()}
    bare = {name: value for name, value in bare.items() if not name.startswith("classifier")}
    _, fresh = shapes(18, 1)
    found, left = convert.from_torch(Weights(bare, "a"), fresh)
    assert left == ["fc"] and found["params"]["fc"] == fresh["params"]["fc"]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_classifier_of_other_classes_stays_fresh(channels: int) -> None:
    draw = np.random.default_rng(0)
    abstract = shapes(18, channels, classes=2)[1]
    fresh = jax.tree.map(lambda leaf: draw.random(leaf.shape, np.float32), abstract)
    found, left = convert.from_torch(Weights(plain_resnet.weights(18), "a"), fresh)
    assert left == ["fc"]
    jax.tree.map(np.testing.assert_array_equal, found["params"]["fc"], fresh["params"]["fc"])
    shapes_of = [
        jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (found, fresh)
    ]
    assert shapes_of[0] == shapes_of[1]


def refused(state: dict, depth: int = 18) -> str:
    with pytest.raises(convert.MismatchError) as caught:
        convert.from_torch(Weights(state, "old.pth"), shapes(depth, 1)[1])
    return str(caught.value)


def test_another_depth_is_named() -> None:
    message = refused(plain_resnet.weights(34))
    assert "old.pth" in message and "look like a ResNet-34" in message
    assert "unexpected: layer1.2.conv1.weight" in message and "missing" not in message
    assert "look like a ResNet-18" in refused(plain_resnet.weights(18), depth=50)


def test_what_is_missing_unexpected_or_misshapen_is_listed() -> None:
    state = plain_resnet.weights(18)
    del state["layer2.0.bn1.running_var"]
    state["layer5.weight"] = np.zeros(3, np.float32)
    state["layer4.1.conv2.weight"] = np.zeros((512, 512, 1, 1), np.float32)
    message = refused(state)
    assert "1 missing: layer2.0.bn1.running_var\n" in message
    assert "1 unexpected: layer5.weight\n" in message
    assert "layer4.1.conv2.weight [512, 512, 1, 1] instead of [512, 512, 3, 3]" in message
    assert "look like" not in message


@pytest.mark.parametrize("name", ["fc.weight", "fc.bias"])
def test_half_a_classifier_is_no_classifier(name: str) -> None:
    state = plain_resnet.weights(18)
    del state[name]
    assert f"1 missing: {name}" in refused(state)


def test_a_classifier_of_other_features_does_not_fit() -> None:
    state = plain_resnet.weights(18) | {"fc.weight": np.zeros((10, 2048), np.float32)}
    assert "fc.weight [10, 2048] instead of [10, 512]" in refused(state)
    state["fc.weight"], state["fc.bias"] = np.zeros((3, 2048)), np.zeros(3)
    assert "fc.weight [3, 2048] instead of [10, 512]" in refused(state)


def test_four_channel_stems_do_not_fit() -> None:
    message = refused(plain_resnet.weights(18, channels=4))
    assert "conv1.weight [64, 4, 7, 7] instead of [64, 1, 7, 7]" in message


def test_an_empty_file_lists_everything() -> None:
    assert "100 missing: " in refused({})
