"""Our side's networks and steps, made as `launch.py` makes them."""

import importlib
from typing import Any

from covidjax.training import allocator

allocator.keep_blocks()  # before anything below imports JAX

# ruff: noqa: E402, I001
import jax
import numpy as np

from covidjax.data.source import cache_root
from covidjax.experiments import classify_check, objective
from covidjax.kernels import build
from covidjax.training import loop, optimizer, sharding, state, steps

STEPS = 100_000  # of the schedule; more than are measured


def start() -> None:
    """What launch.py does before anything is computed, besides `keep_blocks`."""
    steps.keep_compiled(cache_root() / "xla")
    build.load(cache_root() / "kernels")


def config_of(network: str) -> Any:
    """The shipped config of "cnn", "resnet18" or "resnet50", with its defaults."""
    name, depth = ("resnet", network[6:]) if network.startswith("resnet") else (network, "")
    module = importlib.import_module(f"configs.{name}")
    return module.get_config(f"depth={depth}" if depth else None)


def random_batch(batch: int, size: int) -> dict[str, Any]:
    """uint8 images [batch, size, size, 1] with labels and weights, as `data.batches` yields."""
    random = np.random.default_rng(0)
    return {
        "images": random.integers(0, 256, (batch, size, size, 1), np.uint8),
        "labels": random.integers(0, 2, batch).astype(np.int32),
        "weights": np.ones(batch, np.float32),
    }


def _fresh(network: str, size: int) -> tuple[Any, Any, Any, Any, Any]:
    """Config, module, mesh, optimiser and train state of a network for images of that size."""
    config = config_of(network)
    model = classify_check.create_model(config)
    mesh = sharding.make_mesh()
    tx = optimizer.create(steps=STEPS, **config.optimizer.to_dict())
    made = state.create(model, tx, (size, size, 1), jax.random.key(0), mesh)
    return config, model, mesh, tx, made


class Training:
    """A network in training on one batch that lies on the device; no augmentation."""

    def __init__(self, network: str, batch: int, size: int) -> None:
        config, model, mesh, tx, self.state = _fresh(network, size)
        loss_fn = objective.make_loss(model, model.num_classes, config.label_smoothing, None)
        self.batch = sharding.to_device(random_batch(batch, size), mesh)
        self.key, self.compiled = jax.random.key(1), False
        self.step = steps.compile_train_step(
            mesh, loss_fn=loss_fn, optimizer=tx, ema_decay=config.ema
        )

    def run(self, times: int) -> None:
        """Takes some steps and waits for the last one."""
        for _ in range(times):
            loop.settle(self.state)  # as `loop.fit` does
            self.state, _ = self.step(self.state, self.batch, self.key)
            if not self.compiled:
                allocator.give_back()
                self.compiled = True
        jax.block_until_ready(self.state)


class Inference:
    """A network that predicts one batch: uint8 images to probabilities, without the mirror."""

    def __init__(self, network: str, batch: int, size: int) -> None:
        _, model, mesh, _, made = _fresh(network, size)
        self.variables = made.ema_params, made.ema_batch_stats
        self.images = sharding.to_device(random_batch(batch, size), mesh)["images"]
        predict = objective.make_predict(model, mirror=False)
        self.predict = steps.compile_predict(mesh, predict)

    def run(self, times: int) -> None:
        """Predicts some times and waits for the last one."""
        for _ in range(times):
            last = self.predict(*self.variables, self.images)
        jax.block_until_ready(last)
