"""An exported network on this device."""

from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import ours
from covidjax import export
from covidjax.classify import check as classify_check
from covidjax.classify import trained


@pytest.mark.parametrize("network", ["cnn", "resnet18"])
def test_an_exported_network_gives_the_cpus_probabilities(network):
    config = ours.config_of(network)
    config.data.size = 32
    model = classify_check.create_model(config)
    variables = jax.device_get(model.init(jax.random.key(0), np.zeros((1, 32, 32, 1))))
    classes = ("Normal", "COVID-19")
    run = trained.Trained(
        Path("run"), config, classes, True, (1.5,), 0.5, "not audited", {"": variables}
    )
    program = jax.export.deserialize(bytearray(export.export(run)))
    draw = np.random.default_rng(0)
    for sides in ((64, 48), (40, 90)):
        images = draw.integers(0, 256, (3, *sides), np.uint8)
        here = np.asarray(program.call(images))
        with jax.default_device(jax.devices("cpu")[0]):
            expected = np.asarray(jax.jit(program.call)(images))
        assert here.shape == (3, 2) and here.dtype == np.float32
        np.testing.assert_allclose(here, expected, atol=5e-3)
