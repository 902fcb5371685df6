"""The rival's denoisers compute what ours do."""

import jax
import numpy as np
import pytest

from benchmarks.ours import config_of
from covidjax.denoise.check import create_model

torch = pytest.importorskip("torch")
torch_denoisers = pytest.importorskip("benchmarks.torch_denoisers")

IMAGES = np.random.default_rng(0).uniform(size=(2, 16, 24, 1)).astype(np.float32)


@pytest.mark.parametrize("network", ["unet", "dncnn"])
def test_with_our_weights_it_gives_our_result(network):
    model = create_model(config_of(network)).clone(kernels="plain")
    shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    draw = np.random.default_rng(0)
    params = jax.tree.map(lambda x: draw.normal(0, 0.04, x.shape).astype(x.dtype), shapes["params"])
    theirs = torch_denoisers.NETWORKS[network]().eval()
    copy(params, theirs)
    stats = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes.get("batch_stats", {}))
    stats = {name: {**part, "var": part["var"] + 1} for name, part in stats.items()}
    ours = jax.jit(model.apply)({"params": params, "batch_stats": stats}, IMAGES)
    with torch.no_grad():
        found = theirs(torch.from_numpy(IMAGES.transpose(0, 3, 1, 2))).numpy()
    assert np.abs(ours - IMAGES).max() > 0.01
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1), ours, atol=1e-4)


def copy(params, module):
    """Our kernels and BatchNorms, in the order in which the images meet them."""
    numbered = sorted(params, key=lambda name: int(name.rpartition("_")[2]))
    kernels = [params[name] for name in numbered if name.startswith("Conv")]
    norms = [params[name] for name in numbered if name.startswith("BatchNorm")]
    for layer, ours in zip(in_order(module), kernels, strict=True):
        kernel = ours["kernel"].transpose(3, 2, 0, 1)
        if layer in getattr(module, "enlarge", ()):
            # Ours has the place in the 2 x 2 pixels before the channel, PyTorch's behind it.
            width = len(kernel) // 4
            kernel = (
                kernel.reshape(4, width, *kernel.shape[1:]).swapaxes(0, 1).reshape(kernel.shape)
            )
        layer.weight.data = torch.from_numpy(np.array(kernel))
        if "bias" in ours:
            layer.bias.data = torch.from_numpy(np.array(ours["bias"]))
    layers = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for layer, ours in zip(layers, norms, strict=True):
        layer.weight.data = torch.from_numpy(np.array(ours["scale"]))
        layer.bias.data = torch.from_numpy(np.array(ours["bias"]))


def in_order(module):
    found = []
    hooks = [
        m.register_forward_hook(lambda layer, *_: found.append(layer))
        for m in module.modules()
        if isinstance(m, torch.nn.Conv2d)
    ]
    module(torch.zeros(1, 1, 16, 16))
    for hook in hooks:
        hook.remove()
    return found
