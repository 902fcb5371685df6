"""Every network's outputs and gradients on this device, against float64 on the CPU."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covidjax import models
from covidjax.models.unet import SkipHourglass

BATCH, SIZE = 8, 64
RESNETS = {f"resnet{depth}": ("resnet", {"depth": depth}) for depth in (18, 34, 50, 101)}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn": ("cnn", {}),
    "unet": ("unet", {}),
    "bottleneck": ("bottleneck", {}),
    "dncnn": ("dncnn", {"norm": "batch", "depth": 8}),
    "hourglass": ("", {"width": 32}),
    **RESNETS,
}
# The largest errors of outputs and gradients, as shares of their norm. On a CPU they are at most
# 4e-6 and 4e-3 at the highest precision, and 0.03 and 0.31 in bfloat16 (ResNet-101 the worst).
HIGHEST = (5e-4, 5e-2)
# TensorFloat-32 has the 10 bits of float16, and is what GPUs take for float32 by default.
DEFAULT = (1e-2, 0.2)
# bfloat16 has 8 bits.
HALF = (6e-2, 0.5)


def make(name: str, dtype: str = "float32") -> Any:
    """The network without dropout and with XLA's own kernels, as accelerators have it."""
    kind, fields = NETWORKS[name]
    if not kind:
        return SkipHourglass(**fields)
    if kind in models.CLASSIFIERS:
        fields = {"num_classes": 2, "dropout": 0.0, **fields}
    return models.create(kind, dtype=dtype, kernels="plain", **fields)


def images(name: str) -> np.ndarray:
    """Normal noise; the hourglass takes one image of many channels."""
    shape = (1, SIZE, SIZE, 32) if name == "hourglass" else (BATCH, SIZE, SIZE, 1)
    return np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)


@functools.cache
def variables(name: str) -> Any:
    """Parameters and statistics; no zeros, for the scales of residual blocks would hide them."""
    found = make(name).init(jax.random.key(0), images(name))
    return jax.device_get(jax.tree.map(lambda leaf: jnp.where(leaf == 0, 0.2, leaf), found))


def outputs_and_gradients(model: Any, parts: Any, inputs: Any) -> tuple[Any, Any]:
    """What the network gives in training, and the gradient of a weighted sum of it."""
    options = {} if isinstance(model, SkipHourglass) else {"train": True}

    def loss_of(params: Any) -> tuple[Any, Any]:
        given = {**parts, "params": params}
        outputs, _ = model.apply(given, inputs, mutable=["batch_stats"], **options)
        weights = jnp.cos(jnp.arange(outputs.size, dtype=outputs.dtype)).reshape(outputs.shape)
        return jnp.sum(outputs * weights), outputs

    (_, outputs), gradients = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(parts["params"])
    return jax.device_get(outputs), jax.device_get(gradients)


def in_float64(name: str) -> tuple[Any, Any]:
    """On the CPU; what networks keep in float32 by themselves stays so."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        model = make(name)
        if not isinstance(model, SkipHourglass):
            model = model.clone(dtype=jnp.float64)
        double = jax.tree.map(lambda leaf: leaf.astype(np.float64), variables(name))
        return outputs_and_gradients(model, double, images(name).astype(np.float64))


def error(measured: Any, expected: Any) -> float:
    """Norm of the difference over the norm, of all numbers of a tree together."""
    left, right = (
        np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in jax.tree.leaves(tree)])
        for tree in (measured, expected)
    )
    return float(np.linalg.norm(left - right) / np.linalg.norm(right))


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_are_those_of_float64_to_the_rounding_of_each_type(name):
    expected = in_float64(name)
    measured = {}
    # A TPU takes bfloat16 for float32 by default.
    default = HALF if jax.default_backend() == "tpu" else DEFAULT
    for dtype, precision, most in (
        ("float32", "highest", HIGHEST),
        ("float32", "default", default),
        ("bfloat16", "default", HALF),
    ):
        if dtype == "bfloat16" and name == "hourglass":
            continue  # it has no such type
        with jax.default_matmul_precision(precision):
            found = outputs_and_gradients(make(name, dtype), variables(name), images(name))
        errors = tuple(map(error, found, expected))
        measured[f"{dtype}, {precision}"] = errors, most
    print(name, measured)
    for errors, most in measured.values():
        assert errors[0] <= most[0] and errors[1] <= most[1], measured
