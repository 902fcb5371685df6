"""Denoising networks: any size, their parameters, what being without biases means."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax import models
from covidjax.models import dae

TINY = {
    "unet": {"width": 4, "blocks": (1, 1)},
    "dncnn": {"width": 4, "depth": 3},
    "bottleneck": {"widths": (4, 8), "code": 4},
}
IMAGES = np.random.default_rng(0).uniform(size=(2, 13, 18, 1)).astype(np.float32)


def drawn(model, images=IMAGES, seed=0):
    """Variables from numpy's generator: compiling JAX's takes longer than all else here."""
    draw = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images))
    return jax.tree.map(lambda leaf: draw.normal(0, 0.3, leaf.shape).astype(leaf.dtype), shapes)


def positive_statistics(variables):
    """Variances must not be negative."""
    stats = jax.tree.map(np.abs, variables.get("batch_stats", {}))
    return {**variables, "batch_stats": stats}


@pytest.mark.parametrize(
    ("name", "fields", "count"),
    [
        ("unet", {"width": 16}, 114_304),
        ("unet", {}, 454_912),
        ("unet", {"width": 48}, 1_021_824),
        ("dncnn", {}, 556_096),
        ("bottleneck", {}, 148_385),
    ],
)
def test_the_shipped_sizes_have_their_parameters(name, fields, count):
    model = models.create(name, **fields)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGES))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize("name", list(TINY))
@pytest.mark.parametrize("shape", [(1, 16, 16, 1), (2, 13, 18, 1), (1, 3, 5, 1), (1, 9, 9, 3)])
def test_any_size_comes_back_as_it_was(name, shape):
    model = models.create(name, **TINY[name])
    images = jnp.zeros(shape)
    output = jax.eval_shape(lambda: model.apply(model.init(jax.random.key(0), images), images))
    assert output.shape == shape and output.dtype == jnp.float32


@pytest.mark.parametrize("name", list(TINY))
def test_residual_and_direct_outputs_differ_by_the_input(name):
    direct = models.create(name, **TINY[name], residual=False)
    residual = models.create(name, **TINY[name], residual=True)
    variables = positive_statistics(drawn(direct))
    outputs = jax.jit(lambda v, x: (direct.apply(v, x), residual.apply(v, x)))(variables, IMAGES)
    np.testing.assert_allclose(outputs[1], IMAGES - outputs[0], atol=1e-5)


def test_the_padding_reflects_and_the_result_is_of_the_padded_image():
    model = models.create("unet", **TINY["unet"])
    variables = drawn(model)
    padded = np.pad(IMAGES, ((0, 0), (0, 3), (0, 2), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(dae.pad_to_multiple(jnp.asarray(IMAGES), 4), padded)
    whole = model.apply(variables, padded)
    np.testing.assert_allclose(model.apply(variables, IMAGES), whole[:, :13, :18], atol=1e-5)


def test_the_unet_is_homogeneous_for_it_has_no_biases():
    model = models.create("unet", **TINY["unet"])
    variables = drawn(model)
    names = {path[-1].key for path, _ in jax.tree.leaves_with_path(variables["params"])}
    assert names == {"kernel"}
    apply = jax.jit(model.apply)
    np.testing.assert_allclose(
        apply(variables, 3 * IMAGES), 3 * apply(variables, IMAGES), rtol=1e-4, atol=1e-3
    )


def test_a_noise_map_matters_where_there_is_one():
    model = models.create("unet", **TINY["unet"], noise_map=True)
    variables = drawn(model)
    apply = jax.jit(lambda levels: model.apply(variables, IMAGES, levels=levels))
    low, high = apply(jnp.array([0.1, 0.1])), apply(jnp.array([0.1, 0.9]))
    np.testing.assert_array_equal(low[0], high[0])
    assert not np.allclose(low[1], high[1])


def test_the_residual_unet_starts_near_the_identity():
    model = models.create("unet", **TINY["unet"])
    output = jax.jit(lambda x: model.apply(model.init(jax.random.key(0), x), x))(IMAGES)
    error = np.sqrt(np.mean((output - IMAGES) ** 2))
    assert 0 < error < 0.5 * np.sqrt(np.mean(IMAGES**2))


def test_folding_keeps_what_is_next_to_each_other_together():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    folded = dae.fold(x)
    assert folded.shape == (1, 2, 2, 4)
    assert folded[0, 0, 1].tolist() == [2, 3, 6, 7]
    np.testing.assert_array_equal(dae.unfold(folded), x)
    colored = jnp.arange(96.0).reshape(2, 4, 4, 3)
    np.testing.assert_array_equal(dae.unfold(dae.fold(colored)), colored)
    assert dae.repeat(x)[0, :2, :4, 0].tolist() == [[0, 0, 1, 1]] * 2


@pytest.mark.parametrize("name", list(TINY))
def test_a_norm_is_a_choice_of_every_network(name):
    shapes = {
        norm: jax.eval_shape(
            lambda norm=norm: models.create(name, **TINY[name], norm=norm).init(
                jax.random.key(0), IMAGES
            )
        )
        for norm in dae.NORMS
    }
    assert "batch_stats" not in shapes["none"] and "batch_stats" in shapes["batch"]


@pytest.mark.parametrize("name", ["dncnn", "unet"])
def test_training_with_a_norm_moves_its_statistics_and_inference_does_not(name):
    model = models.create(name, **TINY[name], norm="batch")
    variables = positive_statistics(drawn(model))

    @partial(jax.jit, static_argnums=0)
    def after(train):
        return model.apply(variables, IMAGES, train=train, mutable=["batch_stats"])[1]

    moved, same = after(True)["batch_stats"], after(False)["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, same, variables["batch_stats"])
    assert not np.allclose(moved["BatchNorm_0"]["mean"], same["BatchNorm_0"]["mean"])


def test_bfloat16_keeps_parameters_and_result_in_float32():
    model, full = (
        models.create("unet", **TINY["unet"], dtype=dtype) for dtype in ("bfloat16", "float32")
    )
    variables = drawn(model)
    output, exact = model.apply(variables, IMAGES), full.apply(variables, IMAGES)
    assert output.dtype == jnp.float32
    assert 0 < np.abs(output - exact).max() < 0.05 * np.abs(exact).max()
