"""Winograd's convolution: any size, close to exact, on several devices, and lean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from covidjax.kernels import winograd
from covidjax.training import sharding

LAYOUT = ("NHWC", "HWIO", "NHWC")


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def direct(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """In float64, by the definition."""
    padded = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = images.shape[1:3]
    return sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j].astype(np.float64)
        for i in range(3)
        for j in range(3)
    )


def test_the_transforms_are_exact_on_one_row():
    """F(4, 3) in float64: A^T [(G w) * (B^T x)] is the sliding product."""
    x, w = np.random.default_rng(0).normal(size=6), np.random.default_rng(1).normal(size=3)
    found = winograd.A.T @ ((winograd.G @ w) * (winograd.B.T @ x))
    np.testing.assert_allclose(found, [x[i : i + 3] @ w for i in range(4)], rtol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (4, 4), (7, 9), (16, 13)])
def test_any_size_of_image_is_convolved_as_by_the_definition(height, width):
    images, kernel = draw(2, height, width, 5), draw(3, 3, 5, 7, seed=1)
    found, expected = winograd.conv3x3(images, kernel), direct(images, kernel)
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) < 2e-6 * np.linalg.norm(expected)


def gradients(convolution, images, kernel, weights):
    return jax.jit(jax.grad(lambda x, w: jnp.vdot(convolution(x, w), weights), argnums=(0, 1)))(
        images, kernel
    )


def xlas(images, kernel):
    return lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


@pytest.mark.parametrize(("height", "width"), [(3, 6), (8, 8), (10, 5)])
def test_gradients_equal_xlas_at_sizes_that_are_no_multiple_of_a_tile(height, width):
    images, kernel, weights = draw(2, height, width, 6), draw(3, 3, 6, 4), draw(2, height, width, 4)
    pairs = zip(
        gradients(winograd.conv3x3, images, kernel, weights),
        gradients(xlas, images, kernel, weights),
        strict=True,
    )
    for found, expected in pairs:
        assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


def test_devices_work_on_their_own_images_and_share_the_kernels_gradient_alone():
    mesh = sharding.make_mesh()
    images, kernel, weights = draw(2 * mesh.size, 9, 9, 8), draw(3, 3, 8, 8), draw(16, 9, 9, 8)
    parts, whole = sharding.by_example(mesh), sharding.replicated(mesh)

    def run(images, kernel, weights):
        y, pull = jax.vjp(winograd.conv3x3, images, kernel)
        return y, *pull(weights)

    compiled = (
        jax.jit(run, in_shardings=(parts, whole, parts), out_shardings=(parts, parts, whole))
        .lower(images, kernel, weights)
        .compile()
    )
    text = compiled.as_text()
    assert "all-reduce" in text
    for moved in ("all-gather", "all-to-all", "collective-permute"):
        assert moved not in text
    for found, expected in zip(
        compiled(images, kernel, weights), jax.jit(run)(images, kernel, weights), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_tiles_are_not_kept_for_the_backward_pass():
    images, kernels = draw(8, 32, 32, 32), draw(6, 3, 3, 32, 32)

    def temporary(convolution) -> int:
        def loss(kernels):
            x = images
            for kernel in kernels:
                x = jnp.tanh(convolution(x, kernel))
            return x.sum()

        compiled = jax.jit(jax.grad(loss)).lower(kernels).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # Kept, the tiles of six layers would be 13 times the images more.
    assert temporary(winograd.conv3x3) < temporary(xlas) + 10 * images.nbytes
