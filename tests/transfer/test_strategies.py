"""Layers learn at the rate of their group and from their time on; frozen statistics stay."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from covidjax import models
from covidjax.training import optimizer
from covidjax.transfer import strategies

LAYERS = {
    "fc": 0,
    "layer4_1": 1,
    "layer3_0": 2,
    "layer2_0": 3,
    "layer1_22": 4,
    "bn1": 5,
    "conv1": 5,
}
PARAMS = {layer: {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)} for layer in LAYERS}


def moves(strategy: str, decay: float, updates: int, **options) -> dict[str, np.ndarray]:
    """How far each layer moves in each update of SGD with a gradient of ones at a rate of 1."""
    settings = {"momentum": 0.0, "warmup": 0.0, "learning_rate": 1.0} | options
    tx = optimizer.create(
        "sgd", steps=10**8, last=strategies.layer_rates(strategy, decay, updates), **settings
    )
    state, ones, found = tx.init(PARAMS), jax.tree.map(jnp.ones_like, PARAMS), []
    step = jax.jit(tx.update)
    for _ in range(updates):
        moved, state = step(ones, state, PARAMS)
        found.append({layer: -float(leaves["bias"][0]) for layer, leaves in moved.items()})
    return {layer: np.array([step[layer] for step in found]) for layer in LAYERS}


def test_every_layer_of_the_network_has_a_group() -> None:
    model = models.create("resnet", num_classes=2, depth=18)
    held = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    found = strategies.groups(held["params"])
    assert jax.tree.structure(found) == jax.tree.structure(held["params"])
    assert set(jax.tree.leaves(found)) == set(strategies.GROUPS)
    assert found["conv1"]["kernel"] == found["bn1"]["scale"] == "stem"


def test_the_rate_falls_by_the_decay_from_the_classifier_to_the_stem() -> None:
    found = moves("finetune", 0.5, 3)
    for layer, number in LAYERS.items():
        np.testing.assert_allclose(found[layer], 0.5**number, rtol=1e-5)


def test_gradual_unfreezing_goes_from_the_classifier_down_over_half_the_run() -> None:
    found = moves("gradual", 1.0, 20)
    for layer, number in LAYERS.items():
        np.testing.assert_allclose(found[layer][: 2 * number], 0)
        np.testing.assert_allclose(found[layer][2 * number :], 1, rtol=1e-5)


def test_weight_decay_follows_the_layers_rate() -> None:
    tx = optimizer.create(
        "adamw",
        learning_rate=0.1,
        steps=10,
        warmup=0.0,
        weight_decay=0.5,
        last=strategies.layer_rates("gradual", 0.5, 10),
    )
    ones, zeros = jax.tree.map(jnp.ones_like, PARAMS), jax.tree.map(jnp.zeros_like, PARAMS)
    moved, _ = tx.update(zeros, tx.init(ones), ones)
    np.testing.assert_allclose(moved["fc"]["kernel"], -0.05, rtol=1e-5)
    np.testing.assert_array_equal(moved["layer4_1"]["kernel"], 0)


def test_a_layer_that_thaws_takes_no_larger_steps_than_the_others() -> None:
    tx = optimizer.create(
        "adamw",
        learning_rate=1.0,
        steps=10**8,
        warmup=0.0,
        last=strategies.layer_rates("gradual", 1.0, 40),
    )
    state, ones = tx.init(PARAMS), jax.tree.map(jnp.ones_like, PARAMS)
    step = jax.jit(tx.update)
    for _ in range(40):
        moved, state = step(ones, state, PARAMS)
        sizes = jax.tree.leaves(jax.tree.map(lambda leaf: jnp.abs(leaf).max(), moved))
        assert max(sizes) < 1.01
    np.testing.assert_allclose(sizes, 1, rtol=1e-2)


@pytest.mark.parametrize(
    ("strategy", "decay", "told"),
    [("probe", 0.5, "strategy='probe'"), ("finetune", 0.0, "got 0.0"), ("gradual", 1.1, "got 1.1")],
)
def test_wrong_settings_are_refused(strategy: str, decay: float, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        strategies.layer_rates(strategy, decay, 10)


class Small(nn.Module):
    """Ends as our networks do."""

    dropout: float = 0.5

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        x = nn.relu(nn.Dense(16, name="conv1")(images.reshape(len(images), -1)))
        x = nn.BatchNorm(not train, name="bn1")(x)
        self.sow("intermediates", "features", x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(3, name="fc")(x)


def test_frozen_statistics_give_the_eval_modes_logits_but_for_dropout() -> None:
    images = jax.random.normal(jax.random.key(0), (64, 4, 4, 1)) + 3
    held = Small().init(jax.random.key(1), images)
    params, stats = held["params"], held["batch_stats"]

    @functools.partial(jax.jit, static_argnums=0)
    def logits(dropout: float) -> jax.Array:
        keys = jax.random.split(jax.random.key(0), 300)
        draw = functools.partial(
            strategies.frozen_statistics_logits, Small(dropout), params, stats, images
        )
        return jax.vmap(draw)(keys)

    expected = Small().apply(held, images)
    np.testing.assert_allclose(logits(0.0)[0], expected, rtol=1e-5, atol=1e-5)
    draws = logits(0.5)
    spread = np.abs(draws[0] - draws[1]).mean()
    assert spread > 0.1
    assert np.abs(draws.mean(axis=0) - expected).mean() < 0.2 * spread


def test_gradients_reach_every_layer_with_frozen_statistics() -> None:
    images = jax.random.normal(jax.random.key(0), (8, 4, 4, 1))
    held = Small().init(jax.random.key(1), images)

    def loss(params):
        logits = strategies.frozen_statistics_logits(
            Small(), params, held["batch_stats"], images, jax.random.key(2)
        )
        labels = jnp.zeros(8, jnp.int32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    gradients = jax.jit(jax.grad(loss))(held["params"])
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))
