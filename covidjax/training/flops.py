"""Arithmetic of a network, counted from the shapes of its layers.

XLA's own count cannot be used while it trains: the compiled CPU kernels hide theirs, Winograd's
algorithm has fewer than the convolution that it computes, and asking takes as long as another
tracing. These are the operations of the plain algorithm, as model FLOPs are usually counted
(Chowdhery et al. 2022, PaLM, appendix B), of convolutions and dense layers alone.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Flops(NamedTuple):
    """Floating-point operations an image; a multiplication and an addition are two.

    Attributes:
      forward: of one pass.
      train: of a pass and its gradients: twice the forward ones for each layer, but once for the
        first one, whose input needs no gradient.
      parameters: number of trained scalars.
      outputs: numbers that the layers put out, which a memory must hold for the gradients.
    """

    forward: int
    train: int
    parameters: int
    outputs: int


@functools.lru_cache(maxsize=8)
def count(model: nn.Module, image_shape: tuple[int, int, int]) -> Flops:
    """The operations of `model(images, train=...)` for one image of [height, width, channels].

    Nothing is computed. What is asked for again costs nothing.

    Raises:
      TypeError, ZeroDivisionError: the model cannot be made for such images.
    """
    layers: list[int] = []
    outputs: list[int] = []

    def counted(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        output = call(*args, **kwargs)
        layer = context.module
        if context.method_name == "__call__" and isinstance(layer, nn.Conv | nn.Dense):
            inputs = args[0].shape[-1]
            taps, groups = 1, 1
            if isinstance(layer, nn.Conv):
                sides = layer.kernel_size
                taps = math.prod([sides] if isinstance(sides, int) else sides)
                groups = layer.feature_group_count
            outputs.append(math.prod(output.shape[1:]))
            layers.append(2 * taps * inputs // groups * outputs[-1])
        return output

    with nn.intercept_methods(counted):
        made = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *image_shape)))
    forward = sum(layers)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(made["params"]))
    train = 3 * forward - (layers[0] if layers else 0)
    return Flops(forward, train, parameters, sum(outputs))
