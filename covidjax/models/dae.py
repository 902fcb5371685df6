"""Denoising networks: a textbook autoencoder, a residual U-Net without biases, and DnCNN.

All take images of any size (they pad by reflection and crop), and either give the clean image or,
with `residual`, what to subtract from the noisy one.
"""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from covidjax.kernels.convolution import convolution_of
from covidjax.models.normalization import batch_norm
from covidjax.models.pooling import max_pool

HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
# Of convolutions that no ReLU follows.
LINEAR = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
# Of those whose output is added to what came before: a residual network starts near the identity.
SMALL = nn.initializers.variance_scaling(0.01, "fan_in", "normal")

NORMS = ("none", "batch")  # after each convolution but the first and the last

Images = Float[Array, "batch height width channels"]
Levels = Float[Array, " batch"]


class Bottleneck(nn.Module):
    """The textbook's convolutional autoencoder: convolutions and max pools down to a small code.

    What does not fit through the code is lost, noise and fine detail alike: Masci et al. 2011,
    doi:10.1007/978-3-642-21735-7_7; for denoising Vincent et al. 2008,
    doi:10.1145/1390156.1390294.

    Attributes:
      widths: channels of the stages, each of which halves the image.
      code: channels of the code, which has 1 / 2 ** len(widths) of the image's height and width.
      residual: the output is subtracted from the input.
      norm: of NORMS, before each ReLU.
      dtype: of the activations; parameters and the result stay float32.
      kernels: "auto" takes what is fastest on the device at hand, "plain" XLA's own everywhere.
    """

    widths: Sequence[int] = (32, 64, 64)
    code: int = 32
    residual: bool = False
    norm: str = "none"
    dtype: jnp.dtype = jnp.float32
    kernels: str = "auto"

    @nn.compact
    def __call__(self, images: Images, train: bool = False, levels: Levels | None = None) -> Images:
        """Denoised float32 images; `levels` are unused. With a norm, training moves statistics."""
        del levels
        norm = _normalization(self.norm, train, self.dtype, self.kernels)
        conv = _convolution(self.dtype, self.kernels, use_bias=True)
        x = pad_to_multiple(images.astype(self.dtype), 2 ** len(self.widths))
        for width in self.widths:
            x = max_pool(nn.relu(norm(conv(width, (3, 3))(x))), kernels=self.kernels)
        x = nn.relu(norm(conv(self.code, (3, 3))(x)))
        for width in reversed(self.widths):
            x = nn.relu(norm(conv(width, (3, 3))(repeat(x))))
        x = conv(images.shape[-1], (3, 3))(x)
        return _finished(images, x, self.residual)


class UNet(nn.Module):
    """A residual U-Net without biases, on images folded to half their size.

    Without any additive constant the network is homogeneous, f(a x) = a f(x), and so denoises
    levels it was not trained on: Mohan et al. 2020, "Robust and interpretable blind image denoising
    via bias-free convolutional neural networks", arXiv:1906.05478. Blocks and skips that add as in
    Zhang et al. 2021 (DRUNet), doi:10.1109/TPAMI.2021.3088914. 2 x 2 pixels are folded into
    channels first, as in FFDNet (Zhang et al. 2018, doi:10.1109/TIP.2018.2839891): a quarter of the
    places to compute at.

    Attributes:
      width: channels at the first level; the second has twice, the third three times as many.
      blocks: residual blocks at each level, on the way down and again on the way up; the last
        number is of the bottom, which is passed once.
      residual: the output is subtracted from the input.
      noise_map: the level is a further input channel; f is then homogeneous in both together.
      norm: of NORMS, in the blocks, before each ReLU; any but "none" ends the homogeneity.
      dtype: of the activations; parameters and the result stay float32.
      kernels: "auto" takes what is fastest on the device at hand, "plain" XLA's own everywhere.
    """

    width: int = 32
    blocks: Sequence[int] = (2, 1, 1)
    residual: bool = True
    noise_map: bool = False
    norm: str = "none"
    dtype: jnp.dtype = jnp.float32
    kernels: str = "auto"

    @nn.compact
    def __call__(self, images: Images, train: bool = False, levels: Levels | None = None) -> Images:
        """Denoised float32 images.

        Args:
          images: noisy.
          train: with a norm, use the batch's statistics and move the running ones.
          levels: of each image, in [0, 1] or so; for `noise_map`, else unused.
        """
        norm = _normalization(self.norm, train, self.dtype, self.kernels)
        conv = _convolution(self.dtype, self.kernels, use_bias=False)
        widths = [self.width * (level + 1) for level in range(len(self.blocks))]
        x = fold(pad_to_multiple(images.astype(self.dtype), 2 ** len(self.blocks)))
        if self.noise_map:
            given = jnp.zeros(len(images)) if levels is None else levels
            plane = jnp.broadcast_to(given[:, None, None, None], (*x.shape[:3], 1))
            x = jnp.concatenate([x, plane.astype(self.dtype)], axis=-1)
        linear = partial(conv, kernel_init=LINEAR)
        x = linear(widths[0], (3, 3))(x)
        skips = []
        for width, below, count in zip(widths, widths[1:], self.blocks, strict=False):
            x = _blocks(x, conv, norm, width, count)
            skips.append(x)
            x = linear(below, (2, 2), strides=(2, 2))(x)
        x = _blocks(x, conv, norm, widths[-1], self.blocks[-1])
        for width, count, skip in zip(
            widths[-2::-1], self.blocks[-2::-1], reversed(skips), strict=True
        ):
            x = unfold(linear(4 * width, (1, 1))(x)) + skip
            x = _blocks(x, conv, norm, width, count)
        x = unfold(conv(4 * images.shape[-1], (3, 3), kernel_init=SMALL)(x))
        return _finished(images, x, self.residual)


class DnCNN(nn.Module):
    """Convolutions, BatchNorm and ReLU at full size, which predict the noise.

    Zhang et al. 2017, "Beyond a Gaussian denoiser", doi:10.1109/TIP.2017.2662206.

    Attributes:
      width: channels.
      depth: convolutions, at least 2; 17 for one level of noise in the paper, 20 for blind ones.
      residual: the output is subtracted from the input.
      norm: of NORMS; the paper has "batch".
      dtype: of the activations; parameters, BatchNorm statistics and the result stay float32.
      kernels: "auto" takes what is fastest on the device at hand, "plain" XLA's own everywhere.
    """

    width: int = 64
    depth: int = 17
    residual: bool = True
    norm: str = "batch"
    dtype: jnp.dtype = jnp.float32
    kernels: str = "auto"

    @nn.compact
    def __call__(self, images: Images, train: bool = False, levels: Levels | None = None) -> Images:
        """Denoised float32 images; needs mutable `batch_stats` to train. `levels` are unused."""
        del levels
        norm = _normalization(self.norm, train, self.dtype, self.kernels)
        conv = _convolution(self.dtype, self.kernels, use_bias=False)
        x = nn.relu(conv(self.width, (3, 3), use_bias=True)(images.astype(self.dtype)))
        for _ in range(self.depth - 2):
            x = nn.relu(norm(conv(self.width, (3, 3))(x)))
        x = conv(images.shape[-1], (3, 3), kernel_init=SMALL)(x)
        return _finished(images, x, self.residual)


def pad_to_multiple(images: Images, multiple: int) -> Images:
    """Reflected at the lower and right edge until both sides are multiples; the edge not twice."""
    more = [-side % multiple for side in images.shape[1:3]]
    if not any(more):
        return images
    return jnp.pad(images, ((0, 0), (0, more[0]), (0, more[1]), (0, 0)), mode="reflect")


def fold(x: Images) -> Images:
    """2 x 2 pixels into channels: [batch, height / 2, width / 2, 4 channels]."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, 4 * channels)


def unfold(x: Images) -> Images:
    """The inverse of `fold`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, 2, 2, channels // 4)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, channels // 4)


def repeat(x: Images) -> Images:
    """Twice as high and wide, each value in 2 x 2 places."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return x.reshape(batch, 2 * height, 2 * width, channels)


def _blocks(
    x: Images,
    conv: Callable[..., nn.Module],
    norm: Callable[[Images], Images],
    width: int,
    count: int,
) -> Images:
    """Residual blocks: two 3 x 3 convolutions with a ReLU between them, and the input added."""
    for _ in range(count):
        y = nn.relu(norm(conv(width, (3, 3))(x)))
        x = x + conv(width, (3, 3), kernel_init=SMALL)(y)
    return x


def _normalization(
    name: str, train: bool, dtype: jnp.dtype, kernels: str
) -> Callable[[Images], Images]:
    """A new layer for each call; called in the module's own `__call__`."""
    if name == "none":
        return lambda x: x
    return lambda x: batch_norm(train, dtype, kernels)()(x)


def _convolution(dtype: jnp.dtype, kernels: str, *, use_bias: bool) -> Callable[..., nn.Module]:
    return partial(
        nn.Conv,
        use_bias=use_bias,
        kernel_init=HE_NORMAL,
        dtype=dtype,
        conv_general_dilated_cls=convolution_of(kernels),
    )


def _finished(images: Images, output: jax.Array, residual: bool) -> Images:
    """Cropped to the images' size, float32, and subtracted from them where `residual`."""
    output = output[:, : images.shape[1], : images.shape[2]].astype(jnp.float32)
    return images - output if residual else output
