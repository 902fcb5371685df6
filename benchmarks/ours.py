"""Our side's networks and steps, made as `launch.py` makes them."""

import importlib
from typing import Any

from covidjax.training import allocator

allocator.keep_blocks()  # before anything below imports JAX

# ruff: noqa: E402, I001
import jax
import numpy as np

from covidjax import models
from covidjax.data.source import cache_root
from covidjax.classify import check as classify_check, loss as objective
from covidjax.denoise import check as denoise_check, loss as denoise_objective
from covidjax.kernels import build
from covidjax.training import compiled, loop, optimizer, sharding, state, steps

STEPS = 100_000  # of the schedule; more than are measured


def start() -> None:
    """What launch.py does before anything is computed, besides `keep_blocks`."""
    compiled.keep(cache_root() / "xla")
    build.load(cache_root() / "kernels")


def config_of(network: str) -> Any:
    """The shipped config of a network, with its defaults.

    Args:
      network: "cnn", "resnet" and its depth, or a denoiser: "unet", "dncnn", "bottleneck".
    """
    if network in models.DENOISERS:
        return importlib.import_module("configs.dae").get_config(f"net={network}")
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


def task_of(network: str, dtype: str = "float32") -> tuple[Any, Any, Any]:
    """Config, module and loss of a network; a classifier's without augmentation."""
    config = config_of(network)
    config.dtype = dtype
    if config.experiment == "denoise":
        model = denoise_check.create_model(config)
        return (
            config,
            model,
            denoise_objective.make_loss(model, denoise_check.create_objective(config)),
        )
    model = classify_check.create_model(config)
    return (
        config,
        model,
        objective.make_loss(model, model.num_classes, config.label_smoothing, None),
    )


def _fresh(config: Any, model: Any, size: int, mesh: Any) -> tuple[Any, Any]:
    """The config's optimizer, and a train state for images of that size."""
    tx = optimizer.create(steps=STEPS, **config.optimizer.to_dict())
    return tx, state.create(model, tx, (size, size, 1), jax.random.key(0), mesh)


class Training:
    """A network in training on batches that lie on the device.

    Attributes:
      step: the compiled step, or `per_dispatch` of them in one call.
      model: the module.
    """

    def __init__(
        self,
        network: str,
        batch: int,
        size: int,
        dtype: str = "float32",
        per_dispatch: int = 1,
        devices: int | None = None,
    ) -> None:
        """`batch` is the global one, over all devices or the first few."""
        config, self.model, loss_fn = task_of(network, dtype)
        mesh = sharding.make_mesh(jax.devices()[:devices])
        tx, self.state = _fresh(config, self.model, size, mesh)
        one = random_batch(batch, size)
        several = per_dispatch > 1
        self.batch = (
            sharding.several_to_device([one] * per_dispatch, mesh)
            if several
            else sharding.to_device(one, mesh)
        )
        self.key, self.compiled, self.on_cpu = jax.random.key(1), False, sharding.on_cpu(mesh)
        options = {"loss_fn": loss_fn, "optimizer": tx, "ema_decay": config.ema}
        self.step: Any = steps.compile_train_step(mesh, several=several, **options)

    def run(self, times: int) -> None:
        """Takes some steps (or calls of several) and waits for the last one."""
        for _ in range(times):
            if self.on_cpu:
                loop.settle(self.state)  # as `loop.fit` does
            self.state, _ = self.step(self.state, self.batch, self.key)
            if not self.compiled:
                allocator.give_back()
                self.compiled = True
        jax.block_until_ready(self.state)


class Inference:
    """A network that predicts one batch: uint8 images to probabilities, without the mirror."""

    def __init__(self, network: str, batch: int, size: int) -> None:
        config, model, _ = task_of(network)
        mesh = sharding.make_mesh()
        _, made = _fresh(config, model, size, mesh)
        self.variables = made.ema_params, made.ema_batch_stats
        self.images = sharding.to_device(random_batch(batch, size), mesh)["images"]
        predict = objective.make_predict(model, mirror=False)
        self.predict = steps.compile_predict(mesh, predict)

    def run(self, times: int) -> None:
        """Predicts some times and waits for the last one."""
        for _ in range(times):
            last = self.predict(*self.variables, self.images)
        jax.block_until_ready(last)
