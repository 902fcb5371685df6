"""Foreign names, layouts and stems -> our variables, checked name by name.

PyTorch keeps convolutions as [out, in, rows, columns] and linear layers as [out, in]; Flax as
[rows, columns, in, out] and [in, out].

**The stem.** Pretrained networks take RGB images, each channel normalized by a mean and a standard
deviation of the training images. Ours take one channel, normalized over each image. So our pixel z
is taken for the RGB pixel that is as far from ImageNet's mean, in standard deviations, in each of
the three channels: M_c + S_c z. The network's own normalization makes (S_c z + M_c - mean_c) /
std_c of it. For networks that were normalized by ImageNet's figures that is z, three times: the
folded kernel is the plain sum over the channels, and a gray image gives the same activations as the
same image replicated three times, also at the borders, where both are padded by zeros. For the
others (some of timm's have 0.5 and 0.5) the kernels are weighted by S_c / std_c, and the constant
that (M_c - mean_c) / std_c adds to each output goes into the running mean of the BatchNorm that
follows. That is exact wherever the 7 x 7 kernel lies inside the image; over the zero padding, the
outermost two rows and columns of outputs, it is not: there the true constant is that of a part of
the kernel, which no kernel of one channel can add.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from numpy.typing import NDArray

from covidjax.transfer.sources import IMAGENET_MEAN, IMAGENET_STD, Weights

Path = tuple[str, ...]
Array = NDArray[np.float32]

LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
# transformers' names -> torchvision's, in this order.
TRANSFORMERS_NAMES = (
    (r"^(resnet\.)?embedder\.embedder\.convolution\.", "conv1."),
    (r"^(resnet\.)?embedder\.embedder\.normalization\.", "bn1."),
    (r"^(resnet\.)?encoder\.stages\.0\.layers\.", "layer1."),
    (r"^(resnet\.)?encoder\.stages\.1\.layers\.", "layer2."),
    (r"^(resnet\.)?encoder\.stages\.2\.layers\.", "layer3."),
    (r"^(resnet\.)?encoder\.stages\.3\.layers\.", "layer4."),
    (r"\.layer\.0\.convolution\.", ".conv1."),
    (r"\.layer\.0\.normalization\.", ".bn1."),
    (r"\.layer\.1\.convolution\.", ".conv2."),
    (r"\.layer\.1\.normalization\.", ".bn2."),
    (r"\.layer\.2\.convolution\.", ".conv3."),
    (r"\.layer\.2\.normalization\.", ".bn3."),
    (r"\.shortcut\.convolution\.", ".downsample.0."),
    (r"\.shortcut\.normalization\.", ".downsample.1."),
    (r"^classifier\.1\.", "fc."),
)
# Blocks of the four stages, and whether they are bottlenecks -> depth.
BLOCKS = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}
SHOWN = 6  # names of each kind in an error


class MismatchError(ValueError):
    """The weights are of another network; lists what is missing, unexpected and misshapen."""


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """Where a tensor goes, and the shape it must have in the file."""

    path: Path
    shape: tuple[int, ...]


def from_torch(weights: Weights, variables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The variables of a ResNet with the weights of a torchvision, timm or transformers one.

    The classifier `fc` stays as it is in `variables` where the weights have none, or one for
    another number of classes.

    Args:
      weights: of `sources.read`. A stem for RGB is folded where ours has one channel.
      variables: `params` and `batch_stats` of our ResNet, as arrays; `jax.eval_shape`'s structs
        will do for a check.

    Returns:
      The variables (NumPy arrays), and the names of the layers that were left fresh.

    Raises:
      MismatchError: another depth or kind of network.
    """
    tensors = _torchvision_names(weights.tensors)
    flat = flatten_dict(dict(variables))
    wanted = {
        _torch_name(path): _Wanted(path, _torch_shape(leaf.shape)) for path, leaf in flat.items()
    }
    stem = flat.get(("params", "conv1", "kernel"))
    if stem is not None and stem.shape[2] == 1:
        tensors = _one_channel(tensors, weights.mean, weights.std)
    matched, fresh = _match(tensors, wanted, ("fc.weight", "fc.bias"), weights.origin)
    converted = {path: _flax_layout(tensor) for path, tensor in matched.items()}
    return unflatten_dict(flat | converted), fresh


def from_run(
    saved: Mapping[str, Any], variables: Mapping[str, Any], origin: str
) -> tuple[dict[str, Any], list[str]]:
    """The same for `saved`, the variables of an earlier run's network (`sources.read_run`).

    Raises:
      MismatchError: another network.
    """
    flat = flatten_dict(dict(variables))
    wanted = {"/".join(path): _Wanted(path, leaf.shape) for path, leaf in flat.items()}
    given = {"/".join(path): np.asarray(leaf) for path, leaf in flatten_dict(dict(saved)).items()}
    matched, fresh = _match(given, wanted, ("params/fc/kernel", "params/fc/bias"), origin)
    return unflatten_dict(flat | matched), fresh


def gray_stem(
    kernel: Array, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> tuple[Array, Array]:
    """A kernel for one channel in place of one for RGB (see the module's docstring).

    Args:
      kernel: [out, 3, rows, columns].
      mean, std: with which the network's images in [0, 1] were normalized, a channel each.

    Returns:
      The kernel [out, 1, rows, columns], and the constants [out] that the RGB one adds to each
      output inside the image: zeros for ImageNet's mean and std.
    """
    scale = np.divide(IMAGENET_STD, std)
    shift = np.subtract(IMAGENET_MEAN, mean) / np.asarray(std)
    wide = kernel.astype(np.float64)
    folded = np.einsum("ocij,c->oij", wide, scale)[:, None]
    constant = np.einsum("ocij,c->o", wide, shift)
    return folded.astype(np.float32), constant.astype(np.float32)


def _one_channel(
    tensors: Mapping[str, Array], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Array]:
    """The tensors with an RGB stem folded; others are left for the check."""
    stem, running = tensors.get("conv1.weight"), tensors.get("bn1.running_mean")
    changed = dict(tensors)
    if stem is not None and running is not None and stem.ndim == 4 and stem.shape[1] == 3:
        changed["conv1.weight"], constant = gray_stem(stem, mean, std)
        if running.shape == constant.shape:
            changed["bn1.running_mean"] = running - constant
    return changed


def _torchvision_names(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Without a wrapper's prefix and counters, transformers' names replaced."""
    prefix = "module." if all(name.startswith("module.") for name in tensors) else ""
    renamed = {}
    for name, tensor in tensors.items():
        name = name.removeprefix(prefix)
        if name.endswith("num_batches_tracked"):
            continue
        for pattern, replacement in TRANSFORMERS_NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def _torch_name(path: Path) -> str:
    """("params", "layer1_0", "downsample_bn", "scale") -> "layer1.0.downsample.1.weight"."""
    layers = ".".join(path[1:-1])
    layers = re.sub(r"^layer(\d)_(\d+)", r"layer\1.\2", layers)
    layers = layers.replace("downsample_conv", "downsample.0").replace(
        "downsample_bn", "downsample.1"
    )
    return f"{layers}.{LEAVES.get(path[-1], path[-1])}"


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) == 4:
        return (shape[3], shape[2], *shape[:2])
    return shape[::-1]


def _flax_layout(tensor: Array) -> Array:
    order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[tensor.ndim]
    return np.ascontiguousarray(tensor.transpose(order), dtype=np.float32)


def _match(
    given: Mapping[str, Array],
    wanted: Mapping[str, _Wanted],
    classifier: tuple[str, str],
    origin: str,
) -> tuple[dict[Path, Array], list[str]]:
    """The tensors by our paths, and which layers stay fresh; everything else must fit."""
    given = dict(given)
    weight, bias = classifier
    has_one = weight in wanted  # ours; a network that is no ResNet calls it otherwise
    absent = weight not in given and bias not in given
    renewed = has_one and (absent or _of_other_classes(given, wanted, classifier))
    fresh = set(classifier) if renewed else set()
    for name in fresh:
        given.pop(name, None)
    expected = {name: want for name, want in wanted.items() if name not in fresh}
    problems = {
        "missing": [name for name in expected if name not in given],
        "unexpected": [name for name in given if name not in expected],
        "of the wrong shape": [
            f"{name} {list(given[name].shape)} instead of {list(want.shape)}"
            for name, want in expected.items()
            if name in given and given[name].shape != want.shape
        ],
    }
    if any(problems.values()):
        lines = [
            f"{len(names)} {kind}: {', '.join(names[:SHOWN])}{', ...' if names[SHOWN:] else ''}"
            for kind, names in problems.items()
            if names
        ]
        depth = _depth(given)
        other = depth is not None and depth != _depth(wanted)
        hint = f" They look like a ResNet-{depth}'s: see config.model.depth." if other else ""
        raise MismatchError(f"{origin}: the weights do not fit.{hint}\n  " + "\n  ".join(lines))
    return {want.path: given[name] for name, want in expected.items()}, ["fc"] if fresh else []


def _of_other_classes(
    given: Mapping[str, Array], wanted: Mapping[str, _Wanted], classifier: tuple[str, str]
) -> bool:
    """Whether the classifier differs from ours in the number of classes and in nothing else."""
    if not all(name in given for name in classifier) or given[classifier[1]].ndim != 1:
        return False
    kernel, bias = (given[name].shape for name in classifier)
    our_kernel, our_bias = (wanted[name].shape for name in classifier)
    swap = {our_bias[0]: bias[0]}
    return bias != our_bias and kernel == tuple(swap.get(size, size) for size in our_kernel)


def _depth(names: Mapping[str, Any]) -> int | None:
    """The depth whose blocks the names are of."""
    blocks = {match.groups() for name in names if (match := re.search(r"layer(\d)[._](\d+)", name))}
    counts = tuple(sum(stage == str(number) for stage, _ in blocks) for number in range(1, 5))
    return BLOCKS.get((counts, any("conv3" in name for name in names)))
