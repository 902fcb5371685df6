"""The compiled convolutions: values and gradients in any shape, on any number of cores."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from covidjax.kernels import build, native

pytestmark = pytest.mark.usefixtures("compiled")
ROOT = Path(__file__).parents[2]


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def exact(images, kernel, gradient, strides, pads):
    """Result and both gradients in float64, by the definition."""
    x, w, dy = (np.asarray(part, np.float64) for part in (images, kernel, gradient))
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    y, d_padded, dw = np.zeros(dy.shape), np.zeros(padded.shape), np.zeros(w.shape)
    high, wide = ((side - 1) * step + 1 for side, step in zip(dy.shape[1:3], strides, strict=True))
    for i, j in np.ndindex(*w.shape[:2]):
        met = np.s_[:, i : i + high : strides[0], j : j + wide : strides[1]]
        y += padded[met] @ w[i, j]
        dw[i, j] = np.einsum("bhwc,bhwd->cd", padded[met], dy)
        d_padded[met] += dy @ w[i, j].T
    (top, _), (left, _) = pads
    return y, d_padded[:, top : top + x.shape[1], left : left + x.shape[2]], dw


def assert_close(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)


@pytest.mark.parametrize(
    ("batch", "height", "width", "inputs", "outputs"),
    [
        (1, 1, 1, 16, 16),
        (2, 2, 5, 16, 32),
        (3, 4, 4, 48, 16),  # half a panel of columns
        (1, 7, 9, 32, 48),
        (5, 16, 13, 16, 16),  # tiles no multiple of a block
        (2, 7, 7, 256, 512),
        (2, 65, 64, 16, 16),
        (3, 56, 56, 64, 64),  # kernel's gradient in several parts
    ],
)
def test_winograd_is_exact_at_any_size(batch, height, width, inputs, outputs):
    images, kernel = draw(batch, height, width, inputs), draw(3, 3, inputs, outputs, seed=1)
    gradient = draw(batch, height, width, outputs, seed=2)
    y, pull = jax.vjp(jax.jit(native.conv3x3), images, kernel)
    expected = exact(images, kernel, gradient, (1, 1), ((1, 1), (1, 1)))
    assert_close((y, *pull(gradient)), expected)


# images [batch, height, width, inputs], kernel [rows, columns], outputs, strides, padding
PATCHES = [
    ((2, 9, 8, 1), (7, 7), 64, (2, 2), ((3, 3), (3, 3))),  # ResNet's stem
    ((2, 9, 9, 16), (3, 3), 32, (2, 2), ((1, 1), (1, 1))),
    ((2, 40, 41, 16), (3, 3), 32, (2, 2), ((1, 1), (1, 1))),  # rows read as they lie
    ((1, 9, 30, 32), (5, 3), 16, (2, 1), ((4, 6), (0, 2))),
    ((1, 6, 5, 3), (3, 2), 16, (3, 2), ((0, 1), (2, 0))),  # nothing symmetric
    ((2, 2, 2, 16), (5, 5), 16, (1, 1), ((2, 2), (2, 2))),  # larger than its image
    ((2, 7, 7, 32), (1, 1), 48, (1, 1), ((0, 0), (0, 0))),
    ((2, 7, 8, 32), (1, 1), 48, (2, 2), ((0, 0), (0, 0))),
    ((1, 8, 8, 256), (1, 1), 512, (1, 1), ((0, 0), (0, 0))),  # columns are packed
    ((2, 8, 8, 256), (3, 3), 256, (2, 2), ((1, 1), (1, 1))),
    ((3, 64, 64, 1), (3, 3), 16, (1, 1), ((1, 1), (1, 1))),  # the CNN's first, in several parts
]


@pytest.mark.parametrize(("shape", "taps", "outputs", "strides", "pads"), PATCHES)
def test_patches_are_exact_for_any_kernel_stride_and_padding(shape, taps, outputs, strides, pads):
    images, kernel = draw(*shape), draw(*taps, shape[-1], outputs, seed=1)
    run = jax.jit(partial(native.conv_patches, window=(*strides, *pads[0], *pads[1])))
    y, pull = jax.vjp(run, images, kernel)
    gradient = draw(*y.shape, seed=2)
    assert_close((y, *pull(gradient)), exact(images, kernel, gradient, strides, pads))


def test_under_vmap_each_kernel_meets_its_own_images():
    images, kernels = draw(3, 2, 6, 6, 16), draw(3, 3, 3, 16, 16, seed=1)
    for convolution in (native.conv3x3, partial(native.conv_patches, window=(1, 1, 0, 1, 1, 0))):
        found = jax.vmap(convolution)(images, kernels)
        for i in range(3):
            np.testing.assert_array_equal(found[i], convolution(images[i], kernels[i]))


def test_only_float32_with_whole_vectors_of_outputs_is_taken(monkeypatch):
    pads = ((1, 1), (1, 1))
    assert native.conv(draw(1, 4, 4, 16), draw(3, 3, 16, 16), (1, 1), pads) is None  # 8 devices
    monkeypatch.setattr(build, "in_use", lambda: True)
    assert native.conv(draw(1, 4, 4, 16), draw(3, 3, 16, 16), (1, 1), pads) is not None
    assert native.conv(draw(1, 4, 4, 16), draw(3, 3, 16, 8), (1, 1), pads) is None
    half = draw(1, 4, 4, 16).astype(jnp.bfloat16)
    assert native.conv(half, draw(3, 3, 16, 16).astype(jnp.bfloat16), (1, 1), pads) is None


ONE_DEVICE = """
import os, pathlib, sys
if sys.argv[3] == "1":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp, numpy as np
from covidjax import models
from covidjax.kernels import build, native

assert build.load(pathlib.Path(sys.argv[1])) and build.in_use()
draw = lambda *shape: jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
"""
SAME_BITS = """
found = []
for window in (None, (2, 2, 1, 1, 1, 1)):
    run = native.conv3x3 if window is None else lambda x, w: native.conv_patches(x, w, window)
    y, pull = jax.vjp(run, draw(5, 33, 30, 32), draw(3, 3, 32, 48))
    found += [y, *pull(draw(*y.shape))]
np.savez(sys.argv[2], *found)
"""
SAME_NETWORK = """
images = abs(draw(4, 48, 48, 1))
for name in ("cnn", "resnet"):
    variables = models.create(name, num_classes=2).init(jax.random.key(0), images)

    def loss(params, kernels):
        model = models.create(name, num_classes=2, kernels=kernels, dropout=0.0)
        both = {**variables, "params": params}
        logits, _ = model.apply(both, images, train=True, mutable=["batch_stats"])
        return (logits**2).sum()

    text = str(jax.make_jaxpr(lambda p: loss(p, "auto"))(variables["params"]))
    assert "covidjax_winograd_forward" in text and "covidjax_patches_forward" in text
    assert " conv_general_dilated" not in text
    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    both = (gradient(variables["params"], kernels) for kernels in ("auto", "plain"))
    ours, plain = (jnp.concatenate([x.ravel() for x in jax.tree.leaves(g)]) for g in both)
    assert jnp.linalg.norm(ours - plain) < 1e-4 * jnp.linalg.norm(plain)
"""


def on_one_device(script: str, folder: Path, cores: str = "all") -> Path:
    """Runs it in a process without virtual devices; returns the file that it may write."""
    kept = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    written = folder / f"{cores}.npz"
    arguments = [str(folder / "kernels"), str(written), cores]
    command = [sys.executable, "-c", ONE_DEVICE + script, *arguments]
    subprocess.run(command, cwd=ROOT, env=kept, check=True, timeout=1800)
    return written


def test_networks_on_one_device_use_them_for_every_convolution(tmp_path):
    on_one_device(SAME_NETWORK, tmp_path)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken away")
def test_the_bits_do_not_depend_on_the_number_of_cores(tmp_path):
    several, one = (np.load(on_one_device(SAME_BITS, tmp_path, cores)) for cores in ("all", "1"))
    assert len(several.files) == 6
    for name in several.files:
        np.testing.assert_array_equal(several[name], one[name])


def test_the_plain_convolution_is_what_they_are_compared_with():
    """`exact` against XLA's, so that the two cannot be wrong alike."""
    images, kernel, gradient = draw(2, 7, 6, 3), draw(3, 2, 3, 4), draw(2, 3, 3, 4)
    strides, pads = (2, 2), ((0, 1), (1, 0))

    def run(x, w):
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=layout)

    y, pull = jax.vjp(run, images, kernel)
    assert_close((y, *pull(gradient)), exact(images, kernel, gradient, strides, pads))
