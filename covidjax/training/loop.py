"""The one train loop. It knows a step function, batches and a figure to watch, and no task."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import grain
import jax
import numpy as np
from jax.sharding import Mesh

from covidjax.training import allocator, hosts, profile, sharding, signals, speed
from covidjax.training.checkpoint import Checkpoints, Progress
from covidjax.training.figures import Figures, Log, Sent
from covidjax.training.record import progress_bar
from covidjax.training.state import TrainState
from covidjax.training.steps import Batch, StepFn

SETTLE_SECONDS = 0.0002


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When the loop does what.

    Attributes:
      steps: batches of the whole run.
      batch_size: of the global batch, for the images a second.
      eval_every: steps between evaluations (which also save); the last step is always one.
      log_every: steps between lines of training figures.
      patience: evaluations without a better figure before it stops; 0: never.
      steps_per_dispatch: so many are sent to the devices at once, where they fit before the next
        evaluation.
    """

    steps: int
    batch_size: int
    eval_every: int
    log_every: int
    patience: int = 0
    steps_per_dispatch: int = 1

    def evaluates(self, step: int) -> bool:
        """True where an evaluation follows the step."""
        return step % self.eval_every == 0 or step >= self.steps

    def next_dispatch(self, step: int) -> int:
        """How many steps to send after `step`: all that may be sent at once, or 1."""
        left = min(self.eval_every - step % self.eval_every, self.steps - step)
        return self.steps_per_dispatch if self.steps_per_dispatch <= left else 1


class Compiled(NamedTuple):
    """The steps of one network.

    Attributes:
      mesh: the devices.
      one: the train step.
      several: for `Schedule.steps_per_dispatch` stacked batches, with the metrics of each; needed
        where that is more than 1.
      flops: of one step, for the figures of speed; 0 where they are not known.
    """

    mesh: Mesh
    one: StepFn
    several: StepFn | None = None
    flops: float = 0.0

    def step_for(self, count: int) -> StepFn:
        """What sends `count` batches. Raises ValueError where there is none for several."""
        chosen = self.one if count == 1 else self.several
        if chosen is None:
            raise ValueError(f"steps_per_dispatch={count} needs Compiled.several")
        return chosen


class Watch(NamedTuple):
    """What is looked at during training.

    Attributes:
      evaluate: state -> validation figures.
      monitor: the one of them that is to rise.
      report: called with the step and the monitored figure after each evaluation; an exception
        from it ends the training.
    """

    evaluate: Callable[[TrainState], Mapping[str, float]]
    monitor: str
    report: Callable[[int, float], None] | None = None


def fit(
    state: TrainState,
    batches: grain.DatasetIterator,
    key: jax.Array,
    *,
    compiled: Compiled,
    schedule: Schedule,
    watch: Watch,
    checkpoints: Checkpoints,
    log: Log,
) -> tuple[TrainState, Progress]:
    """Trains until the last step or until the monitored figure stops rising.

    Resumes from the last checkpoint where there is one. Saves after each evaluation, before the
    next batch is pulled, so that N + M steps with a stop between them equal N + M without.

    Args:
      state: a fresh state.
      batches: endless training batches, this process's part.
      key: of the whole run; see `steps.train_step`.

    Returns:
      The state after the last step, and the progress, which names the best step.

    Raises:
      figures.NonFiniteError: the last good checkpoint stays.
      signals.StoppedError: after saving.
    """
    compiled.step_for(schedule.steps_per_dispatch)
    state, progress = checkpoints.restore_last(state, batches)
    step, size, mesh = int(state.step), schedule.batch_size, compiled.mesh
    on_cpu, first = sharding.on_cpu(mesh), True
    meter = speed.Meter(size, compiled.flops, mesh)
    figures = Figures(log, meter, schedule.log_every, schedule.steps)
    trace = log.trace or profile.Trace()
    with (
        signals.requests() as asked,
        checkpoints.completed(),
        trace,
        progress_bar(schedule.steps * size, step * size, log.label or "Training", log.quiet) as bar,
    ):
        feed = _Feed(batches, schedule, mesh, asked)
        ahead: Batch | None = None
        while not progress.finished:
            checkpoints.check()
            count = schedule.next_dispatch(step)
            run = compiled.step_for(count)
            if on_cpu:
                settle(state)
            with trace.step(step + 1, count):
                state, metrics = run(state, ahead or feed.pull(step), key)
            if first:
                allocator.give_back()
                first = False
            sent = Sent(step + 1, count, metrics)
            step += count
            trace.sent(step, metrics)
            due = schedule.evaluates(step)
            # The next batch travels while the devices work. Before a save it must stay where it
            # is: the iterator's position is saved with the state.
            ahead = None if due or feed.stop or figures.stop else feed.pull(step)
            # Read the step before while this one runs: never wait for what was just dispatched.
            figures.read_previous(sent)
            bar.update(count * size)
            if due:
                figures.read_last()
                value = _evaluate(state, step, watch, log)
                bar.set_postfix({watch.monitor: f"{value:.4f}"})
                _judge(progress, step, value, schedule)
                if progress.best_step == step:
                    checkpoints.save_best(state)
                checkpoints.save_last(state, batches, progress)
            stop = feed.stop or figures.stop
            if stop and ahead is None:  # else the batch that is there is trained on first
                if not due:  # else this step has been saved
                    figures.read_last()
                    checkpoints.save_last(state, batches, progress)
                raise signals.StoppedError(
                    f"stopped at step {step}/{schedule.steps}{log.where}, saved",
                    stop[0],
                    everywhere=feed.shared,
                )
    return state, progress


class _Feed:
    """Batches for the next dispatch, on the devices.

    Where processes share a run each batch carries the signal that its process has received, so
    that all of them learn of it at the same step; a process alone need not ask.
    """

    def __init__(
        self, batches: grain.DatasetIterator, schedule: Schedule, mesh: Mesh, asked: list[int]
    ) -> None:
        self.batches, self.schedule, self.mesh, self.asked = batches, schedule, mesh, asked
        self.shared = jax.process_count() > 1

    @property
    def stop(self) -> list[int]:
        """The signal that ends a run of one process."""
        return [] if self.shared else self.asked

    def pull(self, step: int) -> Batch:
        """The batches that are dispatched after `step`."""
        count = self.schedule.next_dispatch(step)
        if count == 1:
            return sharding.to_device(self._next(), self.mesh)
        return sharding.several_to_device([self._next() for _ in range(count)], self.mesh)

    def _next(self) -> dict[str, Any]:
        batch = next(self.batches)
        if self.shared:
            number = self.asked[0] if self.asked else 0
            batch["stop"] = np.full(len(batch["labels"]), number, np.int32)
        return batch


def _evaluate(state: TrainState, step: int, watch: Watch, log: Log) -> float:
    """Writes the validation figures down; returns the monitored one."""
    # Processes on unlike machines may differ in the last digit.
    figures = hosts.share({name: float(v) for name, v in watch.evaluate(state).items()})
    log.record.write(step, "validation", figures, log.label)
    if watch.report is not None:
        watch.report(step, figures[watch.monitor])
    return figures[watch.monitor]


def settle(state: TrainState) -> None:
    """Waits until a CPU is done with the state's step and has freed its temporary buffer.

    A queue gains nothing there, and each step in it has a buffer of its own: the largest part of
    the memory. The buffer goes a moment after the results are ready.
    """
    jax.block_until_ready(state.step)
    time.sleep(SETTLE_SECONDS)


def _judge(progress: Progress, step: int, value: float, schedule: Schedule) -> None:
    """Updates the progress after an evaluation."""
    first = progress.best_step < 0 or math.isnan(progress.best_value)
    better = first or value > progress.best_value
    # Of equal figures the later one is kept: small validation parts reach 1 long before training
    # has done its work. For patience it is no better.
    if better or value == progress.best_value:
        progress.best_step, progress.best_value = step, value
    progress.evaluations_since_best = 0 if better else progress.evaluations_since_best + 1
    patient = schedule.patience == 0 or progress.evaluations_since_best < schedule.patience
    progress.finished = step >= schedule.steps or not patient
