"""What the tests of this room train: a tiny network on pictures that are bright above or below."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np

from covidjax import models
from covidjax.classify import loss
from covidjax.data import batches
from covidjax.data.augment import Augmentation
from covidjax.training import figures, loop, optimizer, profile, record, sharding, state, steps
from covidjax.training.checkpoint import Checkpoints, Progress

SIZE = 16
IMAGES = 40
BATCH_SIZE = 8
TOTAL = 12
KEY = jax.random.key(7)
MILD = Augmentation(rotation=5.0, scale=0.1, stretch=0.1, shift=0.05, gamma=0.1, contrast=0.1)


def make_data() -> tuple[np.ndarray, np.ndarray]:
    """uint8 [40, 16, 16] and labels: 1 where the upper half is the brighter one."""
    draw = np.random.default_rng(0)
    labels = np.arange(IMAGES, dtype=np.int32) % 2
    images = draw.integers(0, 60, (IMAGES, SIZE, SIZE))
    images[labels == 1, : SIZE // 2] += 160
    images[labels == 0, SIZE // 2 :] += 160
    return images.astype(np.uint8), labels


def make_batches(seed: int = 0) -> grain.DatasetIterator:
    images, labels = make_data()
    weights = np.where(labels == 1, 1.2, 0.8).astype(np.float32)
    return batches.train_batches(
        images,
        np.arange(IMAGES),
        labels,
        weights,
        batch_size=BATCH_SIZE,
        seed=seed,
        balanced=False,
        process_index=0,
        process_count=1,
    )


def first_batch() -> dict[str, np.ndarray]:
    return dict(next(make_batches()))


def make_model(dtype: str = "float32"):
    return models.create("cnn", num_classes=2, widths=(4, 8), convs=1, dropout=0.2, dtype=dtype)


def make_optimizer(**options: Any):
    settings = dict(learning_rate=0.02, steps=TOTAL, weight_decay=1e-3, clip=1.0)
    return optimizer.create("adamw", **settings | options)


def one_device() -> jax.sharding.Mesh:
    return sharding.make_mesh(jax.devices()[:1])


def fresh(mesh: jax.sharding.Mesh, seed: int = 0) -> state.TrainState:
    shape = (SIZE, SIZE, 1)
    return state.create(make_model(), make_optimizer(), shape, jax.random.key(seed), mesh)


def compiled_step(
    mesh: jax.sharding.Mesh,
    strength: Augmentation | None = MILD,
    ema_decay: float = 0.9,
    several: bool = False,
) -> Callable[..., Any]:
    loss_fn = loss.make_loss(make_model(), 2, 0.1, strength)
    return steps.compile_train_step(
        mesh, several=several, loss_fn=loss_fn, optimizer=make_optimizer(), ema_decay=ema_decay
    )


def fit(
    folder: Path,
    *,
    step_fn: Callable[..., Any],
    several_fn: Callable[..., Any] | None = None,
    evaluate: Callable[[state.TrainState], dict[str, float]] | None = None,
    checkpoints: Checkpoints | None = None,
    stream: Iterator[dict[str, np.ndarray]] | None = None,
    initial: state.TrainState | None = None,
    label: str = "",
    report: Callable[[int, float], None] | None = None,
    flops_per_step: float = 0.0,
    trace: profile.Trace | None = None,
    **options: Any,
) -> tuple[state.TrainState, Progress]:
    """`loop.fit` on one device, as a process would that is started anew on `folder`."""
    mesh = one_device()
    kept = checkpoints or Checkpoints(folder / "checkpoints")
    settings = dict(steps=TOTAL, batch_size=BATCH_SIZE, eval_every=4, log_every=1)
    try:
        with record.Record(folder) as log:
            return loop.fit(
                fresh(mesh) if initial is None else initial,
                stream or make_batches(),
                KEY,
                compiled=loop.Compiled(mesh, step_fn, several_fn, flops_per_step),
                schedule=loop.Schedule(**settings | options),
                watch=loop.Watch(evaluate or rising, "score", report),
                checkpoints=kept,
                log=figures.Log(log, label, True, trace),
            )
    finally:
        if checkpoints is None:
            kept.close()


def rising(current: state.TrainState) -> dict[str, float]:
    """A figure that rises with every step."""
    return {"score": float(current.step)}


def scripted(values: dict[int, float]) -> Callable[[state.TrainState], dict[str, float]]:
    """A figure that is what `values` say for the step."""
    return lambda current: {"score": values[int(current.step)]}


def assert_same(one: Any, other: Any) -> None:
    """Two trees of equal arrays, bit for bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path), strict=True)


def differs(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


def lines(folder: Path, split: str) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["split"] == split]


def last_line_of_each_step(folder: Path, split: str) -> dict[int, dict]:
    return {row["step"]: row for row in lines(folder, split)}


def assert_ends_as(straight, state, progress, folder) -> None:
    expected, expected_progress, expected_folder = straight
    assert_same(state, expected)
    assert progress == expected_progress
    for split in ("train", "validation"):
        expected_lines = last_line_of_each_step(expected_folder, split)
        assert last_line_of_each_step(folder, split) == expected_lines


def after(count: int, step_fn, action):
    """The step function, with `action` once it has been called `count` times."""
    calls = []

    def step(state, batch, key):
        calls.append(None)
        result = step_fn(state, batch, key)
        if len(calls) == count:
            action()
        return result

    return step
