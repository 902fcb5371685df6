"""Networks that are fitted to one image: the skip hourglass of Deep Image Prior, and two rivals.

All map an input of the image's height and width to values in (0, 1). They have no running
statistics: BatchNorm normalizes every image by its own, while fitting as afterwards. Parameters are
initialized as PyTorch's defaults.

A convolution that BatchNorm follows has a bias (the reference has it, and it is counted), which is
never added: BatchNorm takes it away again, and its gradient is zero.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from covidjax.kernels import hourglass

Images = Float[Array, "batch height width channels"]


def torch_uniform(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default of kernels and biases: uniform within +-1 / sqrt(fan_in)."""

    def draw(key: Array, shape: Sequence[int], dtype: jnp.dtype = jnp.float32) -> Array:
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw


def weights_of(module: nn.Module, side: int, inputs: int, outputs: int) -> tuple[Array, Array]:
    """A convolution's parameters: kernel [side, side, inputs, outputs] and bias [outputs]."""
    init = torch_uniform(side**2 * inputs)
    kernel = module.param("kernel", init, (side, side, inputs, outputs))
    return kernel, module.param("bias", init, (outputs,))


class Conv(nn.Module):
    """A reflecting convolution with a bias; `bias_used=False` keeps it as a dead parameter."""

    features: int
    side: int = 3
    stride: int = 1
    bias_used: bool = True

    @nn.compact
    def __call__(self, x: Images) -> Images:
        kernel, bias = weights_of(self, self.side, x.shape[-1], self.features)
        y = hourglass.conv(x, kernel.astype(x.dtype), self.stride)
        return y + bias.astype(x.dtype) if self.bias_used else y


class Norm(nn.Module):
    """The scale and bias of one of `hourglass`'s normalizing layers, handed to it."""

    @nn.compact
    def __call__(self, channels: int) -> tuple[Array, Array]:
        scale = self.param("scale", nn.initializers.ones, (channels,))
        return scale, self.param("bias", nn.initializers.zeros, (channels,))


def act_dot(x: Images, terms: tuple[Array, Array], matrix: Array | None) -> Images:
    """BatchNorm of the given scale and bias, LeakyReLU, and the product with a matrix, if any."""
    if matrix is None:
        return hourglass.norm_act(x, *terms)
    return hourglass.norm_act_dot(x, *terms, matrix)


class Matrix(nn.Module):
    """Matrix [channels, outputs] and bias of a 1 x 1 convolution, handed to the layer before it."""

    outputs: int

    @nn.compact
    def __call__(self, channels: int) -> tuple[Array, Array]:
        kernel, bias = weights_of(self, 1, channels, self.outputs)
        return kernel[0, 0], bias


class Mix(nn.Module):
    """Matrix of a 1 x 1 convolution, scale and bias of its BatchNorm: all are handed on."""

    @nn.compact
    def __call__(self, channels: int) -> tuple[Array, tuple[Array, Array]]:
        matrix, _ = Matrix(channels, name="conv")(channels)
        return matrix, Norm(name="norm")(channels)


class ConvNorm(nn.Module):
    """Convolution, BatchNorm and LeakyReLU; then the product with a matrix, where one is given."""

    features: int
    side: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: Images, matrix: Array | None = None) -> Images:
        y = Conv(self.features, self.side, self.stride, bias_used=False, name="conv")(x)
        terms = Norm(name="norm")(self.features)
        return act_dot(y, terms, matrix)


class SkipHourglass(nn.Module):
    """The reference network of Ulyanov, Vedaldi and Lempitsky 2018 ("skip").

    A scale: a skip by 1 x 1; downwards 3 x 3 with stride 2, then 3 x 3; what comes back from the
    deeper scales is enlarged bilinearly, the skip set beside it, and normalized; then 3 x 3 and
    1 x 1. At the end 1 x 1 and a sigmoid.

    Attributes:
      width: channels down and up; 128 in the reference.
      skip: channels of the skips.
      scales: how often the side is halved.
      outputs: channels of the image.

    With 32 input channels, 5 scales and one output it has 2,217,573 parameters at width 128 and
    152,133 at width 32.
    """

    width: int = 32
    skip: int = 4
    scales: int = 5
    outputs: int = 1

    @nn.compact
    def __call__(self, inputs: Images) -> Images:
        """Values in (0, 1).

        Raises:
          ValueError: sides that the scales do not divide, or too small to be reflected below.
        """
        check_sides(inputs.shape[1:3], self.scales)
        matrix, bias = Matrix(self.outputs, name="out")(self.width)
        return nn.sigmoid(self._scale(inputs, 0, matrix) + bias)

    def _scale(self, x: Images, level: int, matrix: Array | None = None) -> Images:
        layer = partial(ConvNorm, self.width)
        beside = ConvNorm(self.skip, 1, name=f"skip{level}")(x)
        deeper = layer(3, 2, name=f"down{level}")(x)
        deeper = layer(name=f"same{level}")(deeper)
        if level + 1 < self.scales:
            deeper = self._scale(deeper, level + 1)
        both = Norm(name=f"merge{level}")(self.skip + self.width)
        x = hourglass.merge(deeper, beside, *both)
        mixing, terms = Mix(name=f"mix{level}")(self.width)
        return act_dot(layer(name=f"up{level}")(x, mixing), terms, matrix)


class UNet(nn.Module):
    """A U-Net (Ronneberger, Fischer and Brox 2015) with this module's layers, for comparison.

    Unlike the hourglass it carries all channels of a scale across, and doubles them at every scale.

    Attributes:
      width: channels of the first scale, doubled at each until `widest`.
      scales: how often the side is halved.
      outputs: channels of the image.
      widest: the most channels.
    """

    width: int = 32
    scales: int = 4
    outputs: int = 1
    widest: int = 128

    @nn.compact
    def __call__(self, inputs: Images) -> Images:
        """Values in (0, 1); raises ValueError as `SkipHourglass`."""
        check_sides(inputs.shape[1:3], self.scales)
        widths = [min(self.width * 2**level, self.widest) for level in range(self.scales + 1)]
        x, across = inputs, []
        for level, width in enumerate(widths):
            x = ConvNorm(width, stride=2 if level else 1, name=f"down{level}")(x)
            x = ConvNorm(width, name=f"same{level}")(x)
            across.append(x)
        for level in reversed(range(self.scales)):
            both = Norm(name=f"merge{level}")(x.shape[-1] + widths[level])
            x = hourglass.merge(x, across[level], *both)
            x = ConvNorm(widths[level], name=f"up{level}")(x)
            x = ConvNorm(widths[level], name=f"after{level}")(x)
        return nn.sigmoid(Conv(self.outputs, 1, name="out")(x))


class DeepDecoder(nn.Module):
    """A deep decoder (Heckel and Hand 2019) of this module's layers: 1 x 1, enlarged, normalized.

    Its input is the average of the given one over squares of `2 ** scales` pixels, so that all
    networks here take the same input.

    Attributes:
      width: channels of every layer.
      scales: how often the side is doubled.
      outputs: channels of the image.
    """

    width: int = 128
    scales: int = 5
    outputs: int = 1

    @nn.compact
    def __call__(self, inputs: Images) -> Images:
        """Values in (0, 1); raises ValueError for sides that the scales do not divide."""
        check_sides(inputs.shape[1:3], self.scales)
        side = 2**self.scales
        x = nn.avg_pool(inputs, (side, side), strides=(side, side))
        for level in range(self.scales):
            x = hourglass.enlarge(Conv(self.width, 1, bias_used=False, name=f"conv{level}")(x))
            x = hourglass.norm_act(x, *Norm(name=f"norm{level}")(self.width))
        return nn.sigmoid(Conv(self.outputs, 1, name="out")(x))


UNETS: dict[str, type[nn.Module]] = {
    "hourglass": SkipHourglass,
    "unet": UNet,
    "deep_decoder": DeepDecoder,
}


def check_sides(sides: Sequence[int], scales: int) -> None:
    """Raises ValueError where the smallest scale would not have two whole pixels a side."""
    step = 2**scales
    for side in sides:
        if side % step or side < 2 * step:
            raise ValueError(
                f"{scales} scales need sides that are multiples of {step}, at least {2 * step}; "
                f"not {side} pixels"
            )
