"""The networks of Deep Image Prior: parameters, shapes, and equality with PyTorch's layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax.models import unet
from covidjax.models.unet import UNETS, SkipHourglass


def parameters(model, side: int = 64, channels: int = 32):
    inputs = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]


@pytest.mark.parametrize(("width", "count"), [(128, 2_217_573), (32, 152_133)])
def test_the_hourglass_has_the_references_parameters(width, count):
    found = parameters(SkipHourglass(width=width))
    assert sum(leaf.size for leaf in jax.tree.leaves(found)) == count


def test_the_deep_decoder_has_fewer_than_the_image_has_pixels():
    found = parameters(UNETS["deep_decoder"](width=64), side=256)
    assert sum(leaf.size for leaf in jax.tree.leaves(found)) < 256**2


@pytest.mark.parametrize("name", UNETS)
def test_every_network_keeps_the_size_and_stays_within_0_and_1(name):
    model = UNETS[name](width=4, scales=1)
    inputs = jax.random.uniform(jax.random.key(1), (2, 16, 24, 3))
    output, _ = jax.jit(model.init_with_output)(jax.random.key(0), inputs)
    assert output.shape == (2, 16, 24, 1)
    assert output.min() > 0 and output.max() < 1


@pytest.mark.parametrize("side", [48, 32])
def test_sides_that_do_not_fit_are_an_error_with_the_numbers(side):
    with pytest.raises(ValueError, match=f"multiples of 32, at least 64; not {side} pixels"):
        parameters(SkipHourglass(), side=side)


def test_kernels_and_biases_begin_as_pytorchs():
    """Uniform within 1 / sqrt(fan_in): the bound and the variance of it."""
    kernel = unet.torch_uniform(9 * 32)(jax.random.key(0), (3, 3, 32, 128))
    bound = (9 * 32) ** -0.5
    assert 0.99 * bound < jnp.abs(kernel).max() <= bound
    np.testing.assert_allclose(kernel.std(), bound / 3**0.5, rtol=0.02)


def test_the_hourglass_equals_a_plain_one_in_pytorch():
    torch = pytest.importorskip("torch")
    from benchmarks.torch_hourglass import create

    theirs = create(8, inputs=5, skip=3, scales=2).double().train()
    inputs = np.random.default_rng(0).normal(size=(1, 16, 24, 5)).astype(np.float32)
    model = SkipHourglass(width=8, skip=3, scales=2)
    ours = from_torch(theirs, 2)
    expected_shapes = jax.tree.map(jnp.shape, parameters(model, 16, 5))
    assert jax.tree.map(jnp.shape, ours) == expected_shapes

    def loss(params, x):
        y = model.apply({"params": params}, x)
        return (y * jnp.linspace(0, 1, y.size).reshape(y.shape)).mean(), y

    gradient, found = jax.jit(jax.grad(loss, has_aux=True))(ours, inputs)
    output = theirs(torch.tensor(inputs).permute(0, 3, 1, 2).double())
    weights = torch.linspace(0, 1, output.numel(), dtype=torch.float64).reshape(output.shape)
    (output * weights).mean().backward()
    np.testing.assert_allclose(found[..., 0], output.detach()[:, 0], atol=1e-5)
    for weight in theirs.parameters():
        weight.data = weight.grad  # so that the same walk gathers the gradients
    expected = from_torch(theirs, 2)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, atol=1e-4 * largest),
        gradient,
        expected,
    )


def from_torch(network, scales: int):
    """Our parameters of a network of `torch_hourglass.create`."""

    def conv(layer):
        kernel = layer.weight.detach().numpy().transpose(2, 3, 1, 0)
        return {"kernel": jnp.float32(kernel), "bias": jnp.float32(layer.bias.detach().numpy())}

    def norm(layer):
        scale, bias = (jnp.float32(part.detach().numpy()) for part in (layer.weight, layer.bias))
        return {"scale": scale, "bias": bias}

    scale, found = network[0], {"out": conv(network[1])}
    for level in range(scales):
        for name in ("skip", "down", "same", "up", "mix"):
            layer = getattr(scale, name)
            found[f"{name}{level}"] = {"conv": conv(layer[0]), "norm": norm(layer[1])}
        found[f"merge{level}"] = norm(scale.merge)
        scale = scale.below
    return found
