"""Orbax checkpoints: state, data iterator and the loop's own progress, saved together.

Two folders: `last`, to go on from, and `best`, whose averages were best on validation. A
checkpoint is complete or not there: orbax writes under a temporary name and renames.
"""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp

from covidjax.training.state import TrainState


@dataclasses.dataclass
class Progress:
    """What the loop must know to go on as if it had not stopped.

    Attributes:
      best_step, best_value: of the monitored figure, so far; step -1 before the first evaluation.
      evaluations_since_best: without a better figure, for early stopping.
      finished: the run needs no more steps.
    """

    best_step: int = -1
    best_value: float = float("-inf")
    evaluations_since_best: int = 0
    finished: bool = False


class Checkpoints:
    """The checkpoints of one training run, below `folder`."""

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        one = ocp.CheckpointManagerOptions(max_to_keep=1, create=True)
        # Two: a kill between saving a new best and the progress that names it needs the old one.
        two = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
        self.last = ocp.CheckpointManager(folder / "last", options=one)
        self.best = ocp.CheckpointManager(folder / "best", options=two)

    def save_last(
        self, state: TrainState, batches: grain.DatasetIterator, progress: Progress
    ) -> None:
        """Saves all that training needs to go on; call it before the next batch is pulled."""
        # JSON has no infinity.
        record = dataclasses.asdict(progress)
        if progress.best_step < 0:
            record["best_value"] = None
        self.last.save(
            int(state.step),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                batches=grain.checkpoint.CheckpointSave(batches),
                progress=ocp.args.JsonSave(record),
            ),
            force=True,
        )

    def save_best(self, state: TrainState) -> None:
        """Saves the averages alone: they are what is evaluated."""
        step = int(state.step)
        if step in self.best.all_steps():  # a killed run got this far before
            self.best.delete(step)
        self.best.save(step, args=ocp.args.StandardSave(evaluated_part(state)), force=True)

    def restore_last(
        self, state: TrainState, batches: grain.DatasetIterator
    ) -> tuple[TrainState, Progress]:
        """The state and progress of the newest checkpoint; sets `batches` to its position.

        Where there is none, the state as given and fresh progress.
        """
        step = self.last.latest_step()
        if step is None:
            return state, Progress()
        restored = self.last.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(_abstract(state)),
                batches=grain.checkpoint.CheckpointRestore(batches),
                progress=ocp.args.JsonRestore(),
            ),
        )
        record: dict[str, Any] = dict(restored["progress"])
        if record["best_value"] is None:
            record["best_value"] = float("-inf")
        return restored["state"], Progress(**record)

    def restore_best(self, state: TrainState, step: int) -> dict[str, Any]:
        """`params` and `batch_stats` of the best evaluation, laid out as those of `state`."""
        self.best.wait_until_finished()
        abstract = _abstract(evaluated_part(state))
        return self.best.restore(step, args=ocp.args.StandardRestore(abstract))

    def chosen(self, state: TrainState, progress: Progress, select: str) -> dict[str, Any]:
        """`params` and `batch_stats` of the "best" evaluation, or of `state`, the "last" one."""
        if select == "best":
            return self.restore_best(state, progress.best_step)
        return evaluated_part(state)

    @contextmanager
    def completed(self) -> Iterator[None]:
        """Waits, however the block ends, for what is being written.

        An interpreter that shuts down on an error would break a save under way off.
        """
        try:
            yield
        finally:
            self.last.wait_until_finished()
            self.best.wait_until_finished()

    def close(self) -> None:
        """Waits for what is being written."""
        self.last.close()
        self.best.close()


def evaluated_part(state: TrainState) -> dict[str, Any]:
    """The averaged `params` and `batch_stats`."""
    return {"params": state.ema_params, "batch_stats": state.ema_batch_stats}


def network_names(folder: Path) -> list[str]:
    """The networks of a run whose `checkpoints` folder this is, folds and members in order.

    "" where there is one without a name, none where there are no checkpoints.
    """
    if (folder / "best").is_dir():
        return [""]
    names = (path.parent.name for path in folder.glob("*/best"))
    return sorted(names, key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])


def read_evaluated(folder: Path, select: str) -> dict[str, Any]:
    """The `params` and `batch_stats` that a finished run evaluated, as NumPy arrays.

    Needs no train state, writes nothing, and does not ask what devices they were saved from.

    Args:
      folder: of one network, which `Checkpoints` was given.
      select: "best" or "last", the run's `config.select`.

    Raises:
      OSError, KeyError, ValueError: missing or damaged.
    """
    folder = folder.absolute()
    last = folder / "last" / str(max(ocp.utils.checkpoint_steps(folder / "last")))
    if select == "last":
        held = _as_numpy(last / "state")
        return {"params": held["ema_params"], "batch_stats": held["ema_batch_stats"]}
    step = ocp.JsonCheckpointHandler().restore(last / "progress")["best_step"]
    return _as_numpy(folder / "best" / str(step) / "default")


def _as_numpy(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, whatever devices it was saved from."""
    handler = ocp.StandardCheckpointHandler()
    found = handler.metadata(path).tree
    arrays = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), found)
    return handler.restore(path, args=ocp.args.StandardRestore(arrays))


def _abstract(tree: Any) -> Any:
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
