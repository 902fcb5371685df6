"""A plain PyTorch-style ResNet for comparison: names, shapes and seeded weights with NumPy alone.

The network itself, written with torch's functions, needs PyTorch and is imported by name only.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
DEPTHS = tuple(BLOCKS)
CLASSES = 10
INPUT_SEED = 7


def shapes(depth: int, channels: int = 3, classes: int = CLASSES) -> dict[str, tuple[int, ...]]:
    """torchvision's names and shapes, in its order."""
    found: dict[str, tuple[int, ...]] = {}

    def conv(name: str, out: int, inputs: int, size: int) -> None:
        found[f"{name}.weight"] = (out, inputs, size, size)

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = (width,)
        found[f"{name}.num_batches_tracked"] = ()

    conv("conv1", 64, channels, 7)
    norm("bn1", 64)
    expansion = 4 if depth >= 50 else 1
    inputs = 64
    for stage, count in enumerate(BLOCKS[depth]):
        width = 64 * 2**stage
        for index in range(count):
            block = f"layer{stage + 1}.{index}"
            sizes = (1, 3, 1) if expansion == 4 else (3, 3)
            before = inputs
            for number, size in enumerate(sizes, start=1):
                out = width * expansion if number == len(sizes) else width
                conv(f"{block}.conv{number}", out, before, size)
                norm(f"{block}.bn{number}", out)
                before = out
            if index == 0 and (stage > 0 or expansion == 4):
                conv(f"{block}.downsample.0", width * expansion, inputs, 1)
                norm(f"{block}.downsample.1", width * expansion)
            inputs = width * expansion
    found["fc.weight"] = (classes, inputs)
    found["fc.bias"] = (classes,)
    return found


def weights(depth: int, channels: int = 3, classes: int = CLASSES) -> dict[str, NDArray[Any]]:
    """Seeded weights and running statistics that are neither 0 nor 1; activations stay moderate."""
    return dict(_weights(depth, channels, classes))


@lru_cache(maxsize=2)
def _weights(depth: int, channels: int, classes: int) -> dict[str, NDArray[Any]]:
    # RandomState's streams never change between NumPy's versions.
    draw = np.random.RandomState(depth)
    found: dict[str, NDArray[Any]] = {}
    for name, shape in shapes(depth, channels, classes).items():
        last = name.rsplit(".", 1)[-1]
        if last == "num_batches_tracked":
            found[name] = np.asarray(1000)
            continue
        uniform = draw.random_sample(shape)
        if len(shape) > 1:
            value = (2 * uniform - 1) * np.sqrt(6 / np.prod(shape[1:]))
        elif last == "running_var":
            value = 0.5 + uniform
        elif last == "weight":
            value = 0.2 + 0.6 * uniform
        else:
            value = 0.4 * uniform - 0.2
        found[name] = value.astype(np.float32)
    return found


def images(channels: int = 3, size: int = 64) -> NDArray[np.float32]:
    """Unlike random images [2, size, size, channels]: a coarse one, and a fine one on a ramp."""
    draw = np.random.RandomState(INPUT_SEED)
    coarse = 4 * draw.random_sample((size // 8, size // 8, channels)) - 2
    fine = draw.random_sample((size, size, channels)) - 0.5
    ramp = np.linspace(-2, 2, size)[:, None, None]
    return np.stack([np.kron(coarse, np.ones((8, 8, 1))), fine + ramp]).astype(np.float32)


def torch_features(state: Mapping[str, NDArray[Any]], pixels: NDArray[np.float32]) -> Any:
    """The pooled features, in eval mode, by torch's own convolutions and BatchNorm."""
    import torch
    from torch.nn import functional

    held = {name: torch.from_numpy(np.asarray(value)) for name, value in state.items()}

    def conv(x: Any, name: str, stride: int) -> Any:
        weight = held[f"{name}.weight"]
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(x: Any, name: str) -> Any:
        mean, variance, weight, bias = (
            held[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=1e-5)

    def block(x: Any, name: str, stride: int) -> Any:
        convs = 3 if f"{name}.conv3.weight" in held else 2
        strided = 2 if convs == 3 else 1  # v1.5: on the bottleneck's 3 x 3
        y = x
        for number in range(1, convs + 1):
            y = conv(y, f"{name}.conv{number}", stride if number == strided else 1)
            y = norm(y, f"{name}.bn{number}")
            if number < convs:
                y = functional.relu(y)
        if f"{name}.downsample.0.weight" in held:
            x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
        return functional.relu(x + y)

    with torch.no_grad():
        x = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
        x = functional.relu(norm(conv(x, "conv1", 2), "bn1"))
        x = functional.max_pool2d(x, 3, stride=2, padding=1)
        for stage in range(1, 5):
            index = 0
            while f"layer{stage}.{index}.conv1.weight" in held:
                x = block(x, f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1)
                index += 1
        return x.mean(dim=(2, 3))


def torch_logits(
    state: Mapping[str, NDArray[Any]], pixels: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Logits [batch, classes] of images [batch, height, width, channels], computed by PyTorch."""
    features = torch_features(state, pixels).numpy()
    return features @ np.asarray(state["fc.weight"]).T + np.asarray(state["fc.bias"])
