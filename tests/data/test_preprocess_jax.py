"""The traced preprocessing makes of an image what OpenCV does, give or take a gray level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax.data.preprocess import EQUALIZE, prepare_image
from covidjax.data.preprocess_jax import prepare_images

SHRINKING = {
    "square": (224, 224),
    "whole multiple": (192, 256),
    "half": (128, 128),
    "odd": (301, 227),
    "wide": (150, 333),
    "as large": (64, 64),
}
GROWING = {"both": (50, 41), "one side": (52, 190), "sliver": (640, 60)}


prepared = jax.jit(prepare_images, static_argnums=(1, 2, 3))


def film(height: int, width: int) -> np.ndarray:
    """Smooth waves, sharp ribs and noise; as dark and narrow in range as a poor radiograph."""
    draw = np.random.default_rng(height * width)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    waves = 90 + 60 * np.cos(4 * x) * np.exp(-(y**2)) + 20 * (np.sin(20 * y + 5 * x) > 0.6)
    return (waves + draw.normal(0, 6, (height, width))).clip(0, 255).astype(np.uint8)


def differences(shape: tuple[int, int], size: int, equalize: str, resize: str) -> np.ndarray:
    gray = film(*shape)
    expected = prepare_image(gray, size, equalize, resize).astype(int)
    found = prepared(jnp.asarray(gray[None]), size, equalize, resize)
    assert found.dtype == jnp.uint8 and found.shape == (1, size, size)
    return np.abs(np.asarray(found[0]).astype(int) - expected)


@pytest.mark.parametrize(
    ("size", "equalize", "resize"),
    [
        (64, "none", "pad"),
        (64, "histogram", "squash"),
        (64, "clahe", "squash"),
        (36, "clahe", "pad"),
    ],
)
def test_it_equals_opencvs(size: int, equalize: str, resize: str) -> None:
    for name, shape in SHRINKING.items():
        found = differences(shape, size, equalize, resize)
        share = 0.01 if name != "whole multiple" else 0.2  # for there sums end in a half
        assert (found > 0).mean() < share, name
        assert found.max() <= (1 if equalize == "none" else 10), name
    for name, shape in GROWING.items():
        found = differences(shape, size, equalize, resize)
        assert found.max() <= 1 or equalize != "none", name
        assert found.mean() < {"none": 0.3, "histogram": 1, "clahe": 3}[equalize], name


@pytest.mark.parametrize("equalize", EQUALIZE)
def test_an_even_image_stays_what_opencv_makes_of_it(equalize: str) -> None:
    for level in (0, 7, 255):
        gray = np.full((80, 100), level, np.uint8)
        expected = prepare_image(gray, 64, equalize, "squash")
        found = prepare_images(jnp.asarray(gray[None]), 64, equalize, "squash")
        np.testing.assert_array_equal(found[0], expected)


def test_one_program_serves_every_size() -> None:
    b, h, w = jax.export.symbolic_shape("b, h, w")

    def prepare(images: jax.Array) -> jax.Array:
        return prepare_images(images, 64, "clahe", "pad")

    shape = jax.ShapeDtypeStruct((b, h, w), jnp.uint8)
    program = jax.export.export(jax.jit(prepare), platforms=("cpu", "cuda", "tpu"))(shape)
    for height, width in ((64, 64), (301, 227)):
        batch = np.stack([film(height, width), film(height, width)[::-1]])
        found = np.asarray(program.call(batch)).astype(int)
        # The same but for what a fused multiplication rounds otherwise.
        difference = np.abs(found - np.asarray(prepare(batch)))
        assert difference.max() <= 2 and (difference > 0).mean() < 0.01


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="size must be from 28"):
        prepare_images(jnp.zeros((1, 64, 64), jnp.uint8), 8, "clahe", "squash")
