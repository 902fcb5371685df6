"""Orbax checkpoints: state, the data's position and the loop's own progress, saved together.

Two folders: `last`, to go on from, and `best`, whose averages were best on validation. A
checkpoint is complete or not there: orbax writes under a temporary name and renames. Each process
writes the part of the arrays that it holds, in the background; the coordinator writes the rest.
The folder may be a path of a cloud's store (gs://BUCKET/FOLDER). A checkpoint can be read on any
number of devices and processes, whatever number wrote it.
"""

import dataclasses
import itertools
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from etils import epath

from covidjax.training import hosts, saved
from covidjax.training.state import TrainState

Folder = os.PathLike[str]
# The processes of a run make their Checkpoints in the same order: so these agree. Orbax's barriers
# have names, and those of two folders that are saved at once must not be the same.
_numbers = itertools.count()
BARRIER_SECONDS = 600


class CheckpointError(OSError):
    """Checkpoints cannot be written, or none can be read; the message says what to do."""


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
    """The checkpoints of one training run, below `folder`; `keep` of them, and the best ones."""

    def __init__(self, folder: Folder, keep: int = 2) -> None:
        self.folder = saved.absolute(folder)
        logging.getLogger("absl").addFilter(_failed_write)  # adds it once
        self.last = _manager(self.folder / "last", keep)
        # One more: a kill between saving a new best and the progress that names it needs the old
        # one, and so does a broken checkpoint.
        self.best = _manager(self.folder / "best", keep + 1)

    def save_last(
        self, state: TrainState, batches: grain.DatasetIterator, progress: Progress
    ) -> None:
        """Saves all that training needs to go on; call it before the next batch is pulled.

        Raises:
          CheckpointError: this one, or the one before, which was still being written.
        """
        # JSON has no infinity.
        record = dataclasses.asdict(progress)
        if progress.best_step < 0:
            record["best_value"] = None
        with self._writing():
            self.last.save(
                int(state.step),
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    # The same in all processes, of however many: batches are counted.
                    position=ocp.args.JsonSave(batches.get_state()),
                    progress=ocp.args.JsonSave(record),
                ),
                force=True,
            )

    def save_best(self, state: TrainState) -> None:
        """Saves the averages alone: they are what is evaluated. Raises CheckpointError."""
        step = int(state.step)
        with self._writing():
            if step in self.best.all_steps():  # a killed run got this far before
                self.best.delete(step)
            self.best.save(step, args=ocp.args.StandardSave(evaluated_part(state)), force=True)

    def restore_last(
        self, state: TrainState, batches: grain.DatasetIterator
    ) -> tuple[TrainState, Progress]:
        """The state and progress of the newest whole checkpoint; sets `batches` to its position.

        Where there is none, the state as given and fresh progress. One that is broken is set aside
        with a warning, and the one before it is used.

        Raises:
          CheckpointError: all that are there are broken.
        """
        found = self._newest_whole() if hosts.is_coordinator() else None
        step, best_is_there = hosts.share(found)
        if step is None:
            return state, Progress()
        if step < 0:
            raise CheckpointError(
                f"no checkpoint in {self.folder / 'last'} can be read; put a copy back, or begin "
                "anew with another --workdir"
            )
        self.last.reload()  # the coordinator may have set some aside
        restored = self.last.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(_abstract(state)), progress=ocp.args.JsonRestore()
            ),
        )
        record: dict[str, Any] = dict(restored["progress"])
        if record["best_value"] is None:
            record["best_value"] = float("-inf")
        batches.set_state(saved.position(self.folder / "last" / str(step)))
        if not best_is_there:  # a kill came first: it is this state's
            self.save_best(restored["state"])
        return restored["state"], Progress(**record)

    def _newest_whole(self) -> tuple[int | None, bool]:
        """The newest step that can be read in full; None without any, -1 where all are broken.

        And whether the best one that it names is there, or must be made of it.
        """
        steps = sorted(self.last.all_steps(), reverse=True)
        for step in steps:
            path = self.folder / "last" / str(step)
            try:
                return step, saved.read_whole(path, step, self.folder / "best")
            except Exception as error:  # whatever orbax and tensorstore raise for damaged files
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # tells it of each array again
            aside = path.with_name(f"broken-{step}")
            print(
                f"WARNING: the checkpoint {path} is broken ({reason}); it is set aside as "
                f"{aside.name}, and the one before it is used",
                file=sys.stderr,
                flush=True,
            )
            if aside.exists():
                aside.rmtree()
            path.rename(aside)
        return (-1 if steps else None), False

    def restore_best(self, state: TrainState, step: int) -> dict[str, Any]:
        """`params` and `batch_stats` of the best evaluation, laid out as those of `state`."""
        with self._writing():
            self.best.wait_until_finished()
        abstract = _abstract(evaluated_part(state))
        return self.best.restore(step, args=ocp.args.StandardRestore(abstract))

    def check(self) -> None:
        """Raises CheckpointError where what is written in the background has failed."""
        with self._writing():
            self.last.check_for_errors()
            self.best.check_for_errors()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except CheckpointError:
            raise
        except Exception as error:  # tensorstore's are ValueErrors, barriers' of other kinds
            if _of_another(error):
                hosts.wait_for_service()
            raise CheckpointError(_cannot_write(f"to {self.folder}", error)) from error

    def chosen(self, state: TrainState, progress: Progress, select: str) -> dict[str, Any]:
        """`params` and `batch_stats` of the "best" evaluation, or of `state`, the "last" one."""
        if select == "best":
            return self.restore_best(state, progress.best_step)
        return evaluated_part(state)

    @contextmanager
    def completed(self) -> Iterator[None]:
        """Waits, however the block ends, for what is being written.

        An interpreter that shuts down on an error would break a save under way off. Where only one
        of several processes ends, the others' parts would not come.
        """
        try:
            yield
        except BaseException as error:
            if hosts.is_everywhere(error):
                self._wait()
            raise
        self._wait()

    def _wait(self) -> None:
        with self._writing():
            self.last.wait_until_finished()
            self.best.wait_until_finished()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: Any, value: BaseException | None, traceback: Any) -> None:
        if value is None or hosts.is_everywhere(value):
            self.close()

    def close(self) -> None:
        """Waits for what is being written, and for the other processes."""
        self.last.close()
        self.best.close()


def evaluated_part(state: TrainState) -> dict[str, Any]:
    """The averaged `params` and `batch_stats`."""
    return {"params": state.ema_params, "batch_stats": state.ema_batch_stats}


def _manager(folder: epath.Path, keep: int) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        preservation_policy=ocp.checkpoint_managers.LatestN(n=keep),
        create=True,
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            barrier_sync_key_prefix=f"covidjax{next(_numbers)}"
        ),
        async_options=ocp.AsyncOptions(timeout_secs=BARRIER_SECONDS),
    )
    return ocp.CheckpointManager(folder, options=options)


def _failed_write(record: logging.LogRecord) -> bool:
    """A filter of orbax's log, which alone tells at once that a write in the background failed.

    To the caller it tells so only after waiting for the other processes, which wait for this one.
    """
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, Exception) or "orbax" not in record.pathname:
        return True
    if not _of_another(error):
        hosts.fail(_cannot_write("a checkpoint", error), 2)
    return False  # what is raised says it


def _cannot_write(what: str, error: BaseException) -> str:
    return (
        f"cannot write {what}: {' '.join(str(error).split())[:300]}. The last whole checkpoint "
        "stays. Make room or give permission there; the same command with its --workdir resumes"
    )


def _of_another(error: BaseException | None) -> bool:
    """Whether JAX's runtime raised it: what waits for other processes does."""
    while error is not None:
        if isinstance(error, jax.errors.JaxRuntimeError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _abstract(tree: Any) -> Any:
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
