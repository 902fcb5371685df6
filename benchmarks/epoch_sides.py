"""The two sides of `benchmarks.epoch`: a real epoch, and as many steps on one batch.

What the real one does more: the batches are shuffled, cut out of the pixel cache and put on the
device, and figures are checked and written. All of that shall hide behind the steps.
"""

import importlib
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tensorboardX  # noqa: F401  which a run imports once, with its first line

from covidjax.classify import experiment as classify
from covidjax.classify import loss
from covidjax.classify import train as classify_train
from covidjax.data import cache, source
from covidjax.data.table import read_table, task_labels
from covidjax.training import figures, fitting, loop, record, sharding, state, steps
from covidjax.training.checkpoint import Checkpoints

FEWEST_STEPS = 64  # of a turn: a small data set's epoch is repeated


class Epoch:
    """The training part of the first fold, and its network, compiled."""

    def __init__(
        self,
        arguments: str,
        archive: Path | None,
        folder: Path,
        changes: Mapping[str, Any] | None = None,
        name: str = "cnn",
    ) -> None:
        """`name` is that of a file of configs/, or NAME:ARGUMENTS; a run writes into `folder`."""
        name, _, more = name.partition(":")
        both = ",".join(filter(None, (arguments, more)))
        config = importlib.import_module(f"configs.{name}").get_config(both)
        config.update_from_flattened_dict(changes or {})
        config.data.archive = str(archive or "")
        shape = source.phantom_parameters(config.phantom)
        prepared = source.resolve(config.data.source, "", config.data.archive, shape)
        self.config = config = classify.resolved(config, prepared.kind)
        table = read_table(prepared.path)
        self.labels = task_labels(table, config.task)
        self.rows = classify.make_folds(config, table, self.labels)[0].train
        options = (config.data.size, config.data.equalize, config.data.resize)
        self.images = cache.load_cache(prepared.path, prepared.fingerprint, *options)
        self.folder = folder
        mesh = sharding.make_mesh()
        per_dispatch = steps.steps_per_dispatch(config.steps_per_dispatch, mesh)
        an_epoch = len(self.rows) // config.batch_size
        self.steps = an_epoch * -(-FEWEST_STEPS // an_epoch)
        self.steps -= self.steps % per_dispatch
        self.schedule = loop.Schedule(
            steps=self.steps,
            batch_size=config.batch_size,
            eval_every=self.steps,
            log_every=config.log_every,
            steps_per_dispatch=per_dispatch,
        )
        self.network = classify_train.build(config, mesh, self.schedule)
        self.state = fitting.fresh_state(config, self.network, jax.random.key(0))
        batch = next(self._batches())
        if per_dispatch > 1:
            self.step = self.network.compiled.step_for(per_dispatch)
            self.batch = sharding.several_to_device([batch] * per_dispatch, mesh)
        else:
            self.step = self.network.compiled.one
            self.batch = sharding.to_device(batch, mesh)
        self.resident()  # compiles
        self.real()  # and this opens what a run opens once

    def real(
        self, begin: Callable[[], None] = lambda: None, end: Callable[[], None] = lambda: None
    ) -> float:
        """Images a second of `loop.fit`, from the first step sent to the last one done.

        `begin` and `end` are called at these two moments.
        """
        times: list[float] = []

        def step(*arguments: Any) -> Any:
            if not times:
                begin()
                times.append(time.perf_counter())
            return self.step(*arguments)

        def evaluate(current: state.TrainState) -> dict[str, float]:
            jax.block_until_ready(current)
            times.append(time.perf_counter())
            end()
            return {"auroc": 0.0}

        with (
            tempfile.TemporaryDirectory(dir=self.folder) as folder,
            record.Record(Path(folder)) as log,
        ):
            kept = Checkpoints(Path(folder) / "checkpoints")
            loop.fit(
                jax.tree.map(jnp.copy, self.state),
                self._batches(),
                jax.random.key(1),
                compiled=loop.Compiled(self.network.mesh, step, step),
                schedule=self.schedule,
                watch=loop.Watch(evaluate, "auroc"),
                checkpoints=kept,
                log=figures.Log(log, quiet=True),
            )
            kept.close()
        return self._images() / (times[1] - times[0])

    def resident(self) -> float:
        """Images a second of as many steps on the one batch."""
        current, key = jax.tree.map(jnp.copy, self.state), jax.random.key(1)
        start = time.perf_counter()
        for _ in range(self.steps // self.schedule.steps_per_dispatch):
            current, _ = self.step(current, self.batch, key)
        jax.block_until_ready(current)
        return self._images() / (time.perf_counter() - start)

    def _images(self) -> int:
        return self.steps * self.config.batch_size

    def _batches(self) -> Any:
        labels = self.labels[self.rows]
        return fitting.training_batches(
            self.config,
            self.images,
            self.rows,
            labels=labels,
            weights=loss.example_weights(labels, self.config.balance),
            seed=0,
        )
