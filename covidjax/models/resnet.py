"""ResNet v1.5 in torchvision's shapes (He et al. 2016; stride on the bottleneck's 3 x 3).

With 3-channel images and 1,000 classes the parameter counts are torchvision's: 11,689,512 (18),
21,797,672 (34), 25,557,032 (50), 44,549,160 (101). Explicit paddings, BatchNorm epsilon and
momentum are theirs too, so that converted weights give the same activations.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from covidjax.kernels.convolution import convolution_of
from covidjax.models.normalization import batch_norm
from covidjax.models.pooling import max_pool

STAGE_WIDTHS = (64, 128, 256, 512)
# torchvision draws kernels from N(0, 2 / fan_out).
HE_FAN_OUT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (ResNet-18 and 34)."""

    width: int
    stride: int
    conv: Any
    norm: Any
    expansion = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.conv(self.width, 3, self.stride, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y))
        y = self.conv(self.width, 3, 1, name="conv2")(y)
        y = self.norm(name="bn2", scale_init=nn.initializers.zeros)(y)
        if x.shape != y.shape:
            x = self.conv(self.width, 1, self.stride, name="downsample_conv")(x)
            x = self.norm(name="downsample_bn")(x)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (strided), 1 x 1 to four times the width (ResNet-50 and 101)."""

    width: int
    stride: int
    conv: Any
    norm: Any
    expansion = 4

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = nn.relu(self.norm(name="bn1")(self.conv(self.width, 1, 1, name="conv1")(x)))
        y = self.conv(self.width, 3, self.stride, name="conv2")(y)
        y = nn.relu(self.norm(name="bn2")(y))
        y = self.conv(self.width * self.expansion, 1, 1, name="conv3")(y)
        y = self.norm(name="bn3", scale_init=nn.initializers.zeros)(y)
        if x.shape != y.shape:
            x = self.conv(self.width * self.expansion, 1, self.stride, name="downsample_conv")(x)
            x = self.norm(name="downsample_bn")(x)
        return nn.relu(x + y)


DEPTHS: dict[int, tuple[type[nn.Module], Sequence[int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


def convolution(
    width: int, size: int, stride: int, dtype: jnp.dtype, kernels: str, name: str
) -> nn.Conv:
    """A square convolution without bias, padded as torchvision's (by half its size)."""
    return nn.Conv(
        width,
        (size, size),
        (stride, stride),
        padding=size // 2,
        use_bias=False,
        kernel_init=HE_FAN_OUT,
        dtype=dtype,
        conv_general_dilated_cls=convolution_of(kernels),
        name=name,
    )


class ResNet(nn.Module):
    """Residual network of a known depth.

    Attributes:
      num_classes: number of logits.
      depth: 18, 34, 50 or 101.
      dropout: rate before the classifier (torchvision has none: 0).
      dtype: of the activations; parameters, BatchNorm statistics and logits stay float32.
      kernels: "auto" takes what is fastest on the device at hand, "plain" XLA's own everywhere.
    """

    num_classes: int
    depth: int = 18
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    kernels: str = "auto"

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Logits of normalized images; needs a `dropout` key and mutable `batch_stats` to train."""
        block, counts = DEPTHS[self.depth]
        conv = partial(convolution, dtype=self.dtype, kernels=self.kernels)
        norm = batch_norm(train, self.dtype, self.kernels)
        x = conv(STAGE_WIDTHS[0], 7, 2, name="conv1")(images.astype(self.dtype))
        x = nn.relu(norm(name="bn1")(x))
        x = max_pool(x, window=3, stride=2, padding=1, kernels=self.kernels)
        for stage, (width, count) in enumerate(zip(STAGE_WIDTHS, counts, strict=True), start=1):
            for index in range(count):
                stride = 2 if stage > 1 and index == 0 else 1
                x = block(width, stride, conv, norm, name=f"layer{stage}_{index}")(x)
        self.sow("intermediates", "maps", x)
        features = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        self.sow("intermediates", "features", features)
        features = nn.Dropout(self.dropout, deterministic=not train)(features)
        return nn.Dense(self.num_classes, name="fc")(features)
