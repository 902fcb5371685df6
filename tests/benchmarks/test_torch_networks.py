"""The rival's networks are ours."""

from collections import Counter

import jax
import jax.numpy as jnp
import pytest

from benchmarks.ours import config_of
from covidjax.classify.check import create_model

torch = pytest.importorskip("torch")
torch_networks = pytest.importorskip("benchmarks.torch_networks")


@pytest.mark.parametrize("network", ["cnn", "resnet18", "resnet50"])
def test_every_layer_has_the_shape_of_ours(network):
    model = create_model(config_of(network))
    key = jax.random.key(0)
    ours = jax.eval_shape(model.init, key, jnp.zeros((1, 64, 64, 1)))["params"]
    theirs = torch_networks.create(network)
    # Ours are HWIO and IO where PyTorch's are OIHW and OI.
    turn = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    shapes = (leaf.shape for leaf in jax.tree.leaves(ours))
    expected = Counter(tuple(shape[i] for i in turn[len(shape)]) for shape in shapes)
    assert Counter(tuple(weight.shape) for weight in theirs.parameters()) == expected


@pytest.mark.parametrize("network", ["cnn", "resnet18", "resnet50"])
def test_activations_have_the_sizes_of_ours(network):
    """The inputs of every convolution, which say where strides and pools are."""
    model = create_model(config_of(network))
    key = jax.random.key(0)
    variables = jax.eval_shape(model.init, key, jnp.zeros((1, 64, 64, 1)))
    forward = jax.make_jaxpr(
        lambda v: model.clone(kernels="plain").apply(v, jnp.zeros((1, 64, 64, 1)))
    )
    ours = Counter(
        equation.outvars[0].aval.shape
        for equation in forward(variables).eqns
        if equation.primitive.name == "conv_general_dilated"
    )
    theirs: Counter = Counter()
    module = torch_networks.create(network).eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(
                lambda _, __, y: theirs.update([(1, *y.shape[2:], y.shape[1])])
            )
    module(torch.zeros(1, 1, 64, 64))
    assert theirs == ours
