"""The sequential network: its shapes, its parameters, and what training changes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax import models

IMAGES = np.random.default_rng(0).normal(size=(4, 16, 16, 1)).astype(np.float32)


def small(**fields):
    return models.create("cnn", **{"num_classes": 3, "widths": (4, 8), "convs": 1} | fields)


def init(model, images=IMAGES):
    return model.init(jax.random.key(0), images)


def drawn(model, images=IMAGES):
    """Variables from numpy's generator: compiling JAX's takes longer than all else here."""
    draw = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: init(model, images))
    return jax.tree.map(lambda leaf: draw.uniform(0.1, 1, leaf.shape).astype(leaf.dtype), shapes)


@pytest.mark.parametrize(("widths", "convs"), [((4, 8), 1), ((4, 8, 16), 2), ((5,), 3)])
def test_parameters_follow_widths_and_convolutions(widths, convs):
    model = small(widths=widths, convs=convs)
    params = jax.eval_shape(lambda: init(model))["params"]
    inputs, expected = 1, 0
    for width in widths:
        for _ in range(convs):
            expected += 9 * inputs * width + 2 * width  # no bias: BatchNorm has one
            inputs = width
    expected += 3 * widths[-1] + 3
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


def test_the_shipped_sizes_have_the_parameters_they_are_known_for():
    model = models.create("cnn", num_classes=2, widths=(16, 32, 64, 128), convs=1)
    params = jax.eval_shape(lambda: init(model))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 97_650


def test_every_stage_but_the_last_halves_the_image():
    model = small(widths=(4, 8, 16))
    _, seen = jax.eval_shape(
        lambda: model.apply(init(model), IMAGES, capture_intermediates=True, mutable=True)
    )
    convolutions = [seen["intermediates"][f"Conv_{i}"]["__call__"][0].shape for i in range(3)]
    assert convolutions == [(4, 16, 16, 4), (4, 8, 8, 8), (4, 4, 4, 16)]
    assert seen["intermediates"]["features"][0].shape == (4, 16)


@pytest.mark.parametrize(("side", "channels"), [(4, 1), (19, 3)])
def test_any_side_and_channels_from_the_documented_smallest_on_give_finite_logits(side, channels):
    images = np.random.default_rng(1).normal(size=(2, side, side + 2, channels))
    model = small(widths=(4, 8, 4))
    logits = jax.jit(model.apply)(drawn(model, images), images)
    assert logits.shape == (2, 3) and logits.dtype == jnp.float32
    assert np.isfinite(logits).all()


def test_training_moves_the_statistics_by_a_tenth_and_inference_does_not():
    model = small(widths=(4,))
    variables = drawn(model)
    run = {"rngs": {"dropout": jax.random.key(1)}, "mutable": ["batch_stats"]}
    _, updated = model.apply(variables, IMAGES, train=True, **run)
    _, same = model.apply(variables, IMAGES, mutable=["batch_stats"])
    old, new = (v["batch_stats"]["BatchNorm_0"] for v in (variables, updated))
    kernel = variables["params"]["Conv_0"]["kernel"]
    activations = jax.lax.conv_general_dilated(
        IMAGES, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    expected = 0.9 * old["mean"] + 0.1 * activations.mean((0, 1, 2))
    np.testing.assert_allclose(new["mean"], expected, atol=1e-5)
    expected = 0.9 * old["var"] + 0.1 * activations.var((0, 1, 2))
    np.testing.assert_allclose(new["var"], expected, rtol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, same["batch_stats"], variables["batch_stats"])


def test_dropout_acts_in_training_alone_and_follows_its_key():
    model = small(dropout=0.5)
    variables = drawn(model)

    @partial(jax.jit, static_argnums=1)
    def logits(seed: int, train: bool) -> jax.Array:
        run = {"rngs": {"dropout": jax.random.key(seed)}, "mutable": ["batch_stats"]}
        return model.apply(variables, IMAGES, train=train, **run)[0]

    assert not np.array_equal(logits(0, True), logits(1, True))
    np.testing.assert_array_equal(logits(0, True), logits(0, True))
    np.testing.assert_array_equal(logits(0, False), logits(1, False))


def test_bfloat16_keeps_parameters_statistics_and_logits_in_float32():
    model, full = small(dtype="bfloat16", widths=(4,)), small(widths=(4,))
    variables = drawn(model)  # of the types that the model gives
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    run = {"rngs": {"dropout": jax.random.key(0)}, "mutable": True, "capture_intermediates": True}
    logits, seen = model.apply(variables, IMAGES, train=True, **run)
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(seen["batch_stats"])} == {jnp.dtype("float32")}
    assert seen["intermediates"]["Conv_0"]["__call__"][0].dtype == jnp.bfloat16
    exact, _ = full.apply(variables, IMAGES, train=True, **run)
    assert 0 < np.abs(logits - exact).max() < 0.1
