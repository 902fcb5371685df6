"""Maps show what decides: on networks whose decision is known, and on the real ones' own terms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from covidjax import models
from covidjax.classify.figures import saliency_sheets as saliency_plots
from covidjax.data.augment import normalize, to_float
from covidjax.evidence import saliency
from covidjax.images import thorax

SIZE = 32


class Brightness(nn.Module):
    """Class 1 is a bright image: the maps are the pixels, and their negative."""

    @nn.compact
    def __call__(self, images, train=False):
        maps = jnp.concatenate([images, -images], axis=-1)
        self.sow("intermediates", "maps", maps)
        return nn.Dense(2)(jnp.mean(maps, axis=(1, 2)))


BRIGHTNESS = {
    "params": {"Dense_0": {"kernel": jnp.array([[0.0, 1], [0, 0]]), "bias": jnp.zeros(2)}}
}


@pytest.fixture
def images() -> np.ndarray:
    """Black, with a white square in one corner of each, and one all black."""
    found = np.zeros((4, SIZE, SIZE), np.uint8)
    found[0, :8, :8] = found[1, :8, -8:] = found[2, 12:20, 12:20] = 255
    return found


def network(name: str):
    fields = {"widths": (4, 8), "convs": 1} if name == "cnn" else {}
    model = models.create(name, num_classes=3, **fields)
    return model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 1)))


def test_gradcam_of_a_known_network_is_what_decides(images):
    batch = jnp.asarray(images[..., None])
    inputs = np.asarray(normalize(to_float(batch)))[..., 0]
    for target, sign in ((1, 1), (0, -1)):
        found = saliency.gradcam(Brightness(), BRIGHTNESS, batch, jnp.full(4, target))
        expected = np.maximum(sign * inputs, 0) / SIZE**2
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_gradcam_of_the_networks_is_their_head_on_their_last_maps(name):
    model, variables = network(name)
    images = jax.random.randint(jax.random.key(1), (3, SIZE, SIZE, 1), 0, 256, jnp.uint8)
    targets = jnp.array([0, 1, 2])
    explain = saliency.compile_gradcam(model, mirror=False)
    found = np.asarray(explain(variables, images, targets))

    inputs = normalize(to_float(images))
    apply = jax.jit(lambda x: model.apply(variables, x, mutable=["intermediates"]))
    logits, kept = apply(inputs)
    maps, features = (np.asarray(kept["intermediates"][n][0]) for n in ("maps", "features"))
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), features, rtol=1e-5, atol=1e-6)
    kernel = np.asarray(variables["params"]["fc" if name == "resnet" else "Dense_0"]["kernel"])
    for row, target in enumerate(targets.tolist()):
        others = np.asarray(jax.nn.softmax(jnp.delete(logits[row], target)))
        weights = kernel[:, target] - np.delete(kernel, target, axis=1) @ others
        expected = np.maximum(maps[row] @ weights, 0) / (maps.shape[1] * maps.shape[2])
        np.testing.assert_allclose(found[row], expected, rtol=1e-3, atol=1e-6)
    assert found.max() > 0


def test_the_mirrored_map_of_a_mirrored_image_is_the_mirrored_map():
    model, variables = network("cnn")
    explain = saliency.compile_gradcam(model, mirror=True)
    images = jax.random.randint(jax.random.key(1), (2, SIZE, SIZE, 1), 0, 256, jnp.uint8)
    straight = explain(variables, images, jnp.array([0, 1]))
    turned = explain(variables, images[:, :, ::-1], jnp.array([0, 1]))
    np.testing.assert_allclose(straight, turned[:, :, ::-1], rtol=1e-4, atol=1e-6)


def test_occlusion_finds_the_square_that_decides(images):
    def predict(batch):
        share = batch.reshape(len(batch), -1).mean(axis=1) / 255
        return np.stack([1 - share, share], axis=1)

    found = saliency.occlusion(predict, images[0], 1, window=8, stride=4)
    assert found.shape == (SIZE, SIZE)
    assert np.unravel_index(found.argmax(), found.shape) < (8, 8)
    assert found[:8, :8].min() > 0 > found[16:, 16:].max()
    np.testing.assert_allclose(found[:4, :4], 64 / SIZE**2 * (1 - 16 / 255), rtol=0.01)
    other = saliency.occlusion(predict, images[0], 0, window=8, stride=4)
    np.testing.assert_allclose(found, -other, atol=1e-6)


@pytest.mark.parametrize("window, stride", [(0, 0), (8, 9), (33, 4)])
def test_occlusion_wants_squares_that_cover_the_image(images, window, stride):
    with pytest.raises(ValueError, match="need 0 < stride"):
        saliency.occlusion(lambda x: x, images[0], 0, window=window, stride=stride)


def test_the_share_outside_counts_what_lies_outside_the_ellipse(images):
    inside = thorax.ellipse(SIZE)
    maps = images.astype(np.float32) - 100  # what is below 0 counts for nothing
    found = saliency.share_outside(maps, inside)
    outside = (~inside[:8, :8]).mean()
    np.testing.assert_allclose(found[:3], [outside, outside, 0])
    assert np.isnan(found[3])
    even = saliency.share_outside(np.ones((1, 400, 400), np.float32), thorax.ellipse(400))
    assert even[0] == pytest.approx(1 - np.pi * 0.48**2, abs=0.002)


def test_rank_correlation_knows_order_and_not_scale():
    rng = np.random.default_rng(0)
    maps = rng.random((3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(saliency.rank_correlation(maps, 5 * maps**3), 1, rtol=1e-6)
    np.testing.assert_allclose(saliency.rank_correlation(maps, -maps), -1, rtol=1e-6)
    assert (saliency.rank_correlation(maps, np.ones_like(maps)) == 0).all()


class Edges(nn.Module):
    """Its maps are the image whatever the weights; its head is fixed."""

    @nn.compact
    def __call__(self, images, train=False):
        maps = nn.relu(images)
        self.sow("intermediates", "maps", maps)
        return nn.Dense(2, kernel_init=lambda *_: jnp.array([[0.0, 1.0]]))(maps.mean(axis=(1, 2)))


def test_the_randomization_check_tells_maps_of_the_image_from_maps_of_the_network(images):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (6, SIZE, SIZE)).astype(np.uint8)
    targets = np.ones(6, np.int32)
    edges = Edges()
    learned = edges.init(jax.random.key(9), jnp.zeros((1, SIZE, SIZE, 1)))
    assert saliency.randomization_check(edges, learned, noise, targets, seed=0) == pytest.approx(1)
    model, variables = network("cnn")
    found = saliency.randomization_check(model, variables, noise, targets, seed=0)
    assert found.shape == (6,) and np.abs(found).max() < 0.9


def test_telling_rows_are_the_extremes_and_none_is_shown_twice():
    scores = np.array([0.99, 0.7, 0.1, 0.55, 0.65, 0.4])
    labels = np.array([1, 1, 0, 0, 0, 1])
    p = np.stack([1 - scores, scores], axis=1)
    found = {k: v.tolist() for k, v in saliency_plots.telling_rows(labels, p, 0.6, 1).items()}
    assert found == {
        "right, most confident": [0],
        "right, least confident": [3],
        "wrong, most confident": [5],
        "wrong, least confident": [4],
    }
    few = saliency_plots.telling_rows(labels, p, 0.6, 5)
    assert [len(rows) for rows in few.values()] == [4, 0, 2, 0]
    three = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]])
    found = saliency_plots.telling_rows(np.array([0, 0, 1]), three, None, 1)
    assert [rows.tolist() for rows in found.values()] == [[0], [2], [1], []]


@pytest.mark.parametrize("phantom", [False, True])
def test_the_pictures_are_written(tmp_path, images, phantom):
    heat = np.random.default_rng(0).random((SIZE, SIZE))
    example = saliency_plots.Example(images[2], heat, "caption")
    dark = saliency_plots.Example(images[2], np.zeros((SIZE, SIZE)), "no map")
    rows = {"right, most confident": [example, dark], "wrong, most confident": []}
    saliency_plots.write_examples(tmp_path / "sheet.png", rows, title="title", phantom=phantom)
    saliency_plots.write_overlay(
        tmp_path / "one.png", example, title="title", note="word " * 60, phantom=phantom
    )
    for name in ("sheet.png", "one.png"):
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 200
