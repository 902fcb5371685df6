"""Small convolutions as products give XLA's values and gradients, and only they are products."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from covidjax.kernels.convolution import SMALL_SIDE, conv_general_dilated, convolution_of

NHWC = ("NHWC", "HWIO", "NHWC")


def draw(shape: tuple[int, ...], seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def is_product(shape, kernel, strides=(1, 1), padding=((1, 1), (1, 1)), **options) -> bool:
    run = partial(
        conv_general_dilated,
        window_strides=strides,
        padding=padding,
        dimension_numbers=NHWC,
        **options,
    )
    text = str(jax.make_jaxpr(run)(jnp.zeros(shape), jnp.zeros(kernel)))
    assert ("conv_general_dilated" in text) != ("dot_general" in text)
    return "dot_general" in text


CASES = [
    # sides, kernel, strides, padding
    ((2, 2), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((1, 1), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((5, 5), (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((4, 4), (1, 1), (2, 2), ((0, 0), (0, 0))),
    ((5, 6), (7, 7), (2, 2), ((3, 3), (3, 3))),
    ((6, 4), (3, 2), (3, 2), ((0, 1), (2, 0))),  # nothing symmetric
]


@pytest.mark.parametrize(("sides", "kernel", "strides", "padding"), CASES)
def test_values_and_gradients_equal_xlas(sides, kernel, strides, padding):
    images, weights = draw((2, *sides, 3), 0), draw((*kernel, 3, 4), 1)
    assert is_product(images.shape, weights.shape, strides, padding)

    @partial(jax.jit, static_argnums=0)
    def run(function):
        y, pull = jax.vjp(
            lambda a, b: function(a, b, strides, padding, dimension_numbers=NHWC), images, weights
        )
        return y, *pull(draw(y.shape, 2))

    for found, expected in zip(
        run(conv_general_dilated), run(lax.conv_general_dilated), strict=True
    ):
        assert found.shape == expected.shape and found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


# Every kind of convolution of the shipped networks that is not left to XLA.
SHIPPED = [
    # height and width, kernel, inputs, outputs, stride, padding
    ((224, 224), 7, 1, 64, 2, 3),  # ResNet's first
    ((64, 64), 3, 1, 16, 1, 1),  # the CNN's first
    ((32, 32), 3, 16, 32, 1, 1),
    ((16, 16), 3, 64, 64, 1, 1),
    ((14, 14), 3, 256, 256, 1, 1),
    ((7, 7), 3, 512, 512, 1, 1),
    ((28, 28), 1, 64, 128, 2, 0),
    ((14, 14), 1, 256, 64, 1, 0),
    ((2, 2), 3, 512, 512, 1, 1),
]


@pytest.mark.parametrize(("sides", "taps", "inputs", "outputs", "stride", "padding"), SHIPPED)
def test_values_and_gradients_of_shipped_shapes_equal_xlas_to_1e_5_in_the_norm(
    sides, taps, inputs, outputs, stride, padding
):
    images, weights = draw((2, *sides, inputs), 0), draw((taps, taps, inputs, outputs), 1)
    arguments = ((stride, stride), ((padding, padding), (padding, padding)))
    text = str(jax.make_jaxpr(lambda x, w: conv_general_dilated(x, w, *arguments))(images, weights))
    assert "dot_general" in text

    @partial(jax.jit, static_argnums=0)
    def run(function):
        y, pull = jax.vjp(
            lambda a, b: function(a, b, *arguments, dimension_numbers=NHWC), images, weights
        )
        return y, *pull(draw(y.shape, 2))

    for found, expected in zip(
        run(conv_general_dilated), run(lax.conv_general_dilated), strict=True
    ):
        assert found.shape == expected.shape
        assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


def test_larger_grouped_and_dilated_convolutions_are_left_to_xla():
    kernel = (3, 3, 4, 4)
    assert is_product((1, SMALL_SIDE, SMALL_SIDE, 4), kernel)
    assert not is_product((1, SMALL_SIDE + 1, SMALL_SIDE, 4), kernel)
    assert not is_product((1, SMALL_SIDE, SMALL_SIDE + 1, 4), kernel)
    assert is_product((1, 2 * SMALL_SIDE, 2 * SMALL_SIDE, 4), kernel, (2, 2))
    assert not is_product((1, 3, 3, 8), kernel, feature_group_count=2)
    assert not is_product((1, 3, 3, 4), kernel, padding=((2, 2), (2, 2)), rhs_dilation=(2, 2))
    assert not is_product((1, 3, 3, 4), kernel, padding=((0, 0), (0, 0)), lhs_dilation=(2, 2))


@pytest.mark.parametrize("options", [{"strides": (2, 2)}, {"feature_group_count": 2}])
def test_linens_convolution_gives_the_same_with_it(options):
    x = draw((2, 3, 3, 4), 0)
    layers = [
        nn.Conv(6, (3, 3), padding=1, conv_general_dilated_cls=convolution_of(kernels), **options)
        for kernels in ("auto", "plain")
    ]
    groups = options.get("feature_group_count", 1)
    variables = {"params": {"kernel": draw((3, 3, 4 // groups, 6), 1), "bias": draw((6,), 2)}}
    found, expected = jax.jit(lambda x: [layer.apply(variables, x) for layer in layers])(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_stays_bfloat16():
    x, kernel = draw((1, 2, 2, 3), 0).astype(jnp.bfloat16), draw((3, 3, 3, 4), 1)
    y = conv_general_dilated(x, kernel.astype(jnp.bfloat16), (1, 1), ((1, 1), (1, 1)))
    assert y.dtype == jnp.bfloat16 and y.shape == (1, 2, 2, 4)
