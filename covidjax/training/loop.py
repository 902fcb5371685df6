"""The one train loop. It knows a step function, batches and a figure to watch, and no task."""

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import grain
import jax
import numpy as np
from jax.sharding import Mesh

from covidjax.training import allocator, distributed, profile, sharding, speed
from covidjax.training.checkpoint import Checkpoints, Progress
from covidjax.training.record import Record, progress_bar
from covidjax.training.state import TrainState

SETTLE_SECONDS = 0.0002


class NonFiniteError(FloatingPointError):
    """A training figure became NaN or infinite; the message names it and the step."""

    everywhere = True  # all processes have the same figures


class StoppedError(BaseException):
    """SIGTERM or SIGINT came; the state is saved and the same command goes on.

    Attributes:
      signal: the number of the one that came.
      everywhere: all processes of the run have agreed on it, and raise it.
    """

    def __init__(self, message: str, number: int, *, everywhere: bool = False) -> None:
        super().__init__(message)
        self.signal, self.everywhere = number, everywhere


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


def fit(
    state: TrainState,
    batches: grain.DatasetIterator,
    *,
    step_fn: Callable[..., Any],
    several_fn: Callable[..., Any] | None = None,
    evaluate: Callable[[TrainState], Mapping[str, float]],
    monitor: str,
    schedule: Schedule,
    key: jax.Array,
    mesh: Mesh,
    checkpoints: Checkpoints,
    record: Record,
    label: str = "",
    quiet: bool = False,
    report: Callable[[int, float], None] | None = None,
    flops_per_step: float = 0.0,
    trace: profile.Trace | None = None,
) -> tuple[TrainState, Progress]:
    """Trains until the last step or until the monitored figure stops rising.

    Goes on from the last checkpoint where there is one. Saves after each evaluation, before the
    next batch is pulled, so that N + M steps with a stop between them equal N + M without.

    Args:
      state: a fresh state.
      batches: endless training batches, this process's part.
      step_fn: (state, batch, key) -> (state, metrics), compiled.
      several_fn: the same for `schedule.steps_per_dispatch` stacked batches, giving the metrics of
        each; needed where that is more than 1.
      evaluate: state -> validation figures, among them `monitor`, of which more is better.
      label: written as `fold` into the record, and before the progress line.
      report: called with the step and the monitored figure after each evaluation; what it raises
        ends the training.
      flops_per_step: of the global batch, for the figures of speed; 0: not known.
      trace: of some steps, for a profiler.

    Returns:
      The state after the last step, and the progress, which names the best step.

    Raises:
      NonFiniteError: the last good checkpoint stays.
      StoppedError: after saving.
    """
    if several_fn is None:
        if schedule.steps_per_dispatch > 1:
            raise ValueError(f"steps_per_dispatch={schedule.steps_per_dispatch} needs several_fn")
        several_fn = step_fn
    state, progress = checkpoints.restore_last(state, batches)
    step = int(state.step)
    pending: _Pending | None = None
    ahead: dict[str, jax.Array] | None = None
    size = schedule.batch_size
    compiled = False
    on_cpu = sharding.on_cpu(mesh)
    meter = speed.Meter(size, flops_per_step, mesh)
    trace = trace or profile.Trace()

    def read(sent: _Pending | None, last: bool = False) -> list[int]:
        if sent is None:
            return []
        asked_by_any = _report(sent, schedule, record, label)
        meter.finished(sent.first + sent.number - 1)
        if (figures := meter.figures(now=last)) is not None:
            record.write(sent.first + sent.number - 1, "speed", figures, label)
        return asked_by_any

    several = jax.process_count() > 1

    def take() -> dict[str, Any]:
        batch = next(batches)
        if several:  # so that all processes learn of a signal at the same step
            signal_number = asked[0] if asked else 0
            batch["stop"] = np.full(len(batch["labels"]), signal_number, np.int32)
        return batch

    def pull() -> dict[str, jax.Array]:
        count = schedule.next_dispatch(step)
        if count == 1:
            return sharding.to_device(take(), mesh)
        return sharding.several_to_device([take() for _ in range(count)], mesh)

    with (
        _stop_requests() as asked,
        checkpoints.completed(),
        trace,
        progress_bar(schedule.steps * size, step * size, label or "Training", quiet) as bar,
    ):
        stop = [] if several else asked
        while not progress.finished:
            checkpoints.check()
            count = schedule.next_dispatch(step)
            run = step_fn if count == 1 else several_fn
            if on_cpu:
                settle(state)
            with trace.step(step + 1, count):
                state, metrics = run(state, ahead or pull(), key)
            if not compiled:
                allocator.give_back()
                compiled = True
            sent = _Pending(step + 1, count, metrics)
            step += count
            trace.sent(step, metrics)
            due = schedule.evaluates(step)
            # The next batch travels while the devices work. Before a save it must stay where it
            # is: the iterator's position is saved with the state.
            ahead = None if due or stop else pull()
            # Read the step before while this one runs: never wait for what was just dispatched.
            stop += read(pending)
            pending = sent
            bar.update(count * size)
            if due:
                stop += read(pending, last=True)
                pending = None
                meter.pause()
                # Processes on unlike machines may differ in the last digit.
                figures = distributed.share({n: float(v) for n, v in evaluate(state).items()})
                record.write(step, "validation", figures, label)
                if report is not None:
                    report(step, figures[monitor])
                bar.set_postfix({monitor: f"{figures[monitor]:.4f}"})
                _judge(progress, step, figures[monitor], schedule)
                if progress.best_step == step:
                    checkpoints.save_best(state)
                checkpoints.save_last(state, batches, progress)
            if stop and ahead is None:  # else the batch that is there is trained on first
                if pending is not None:  # else this step has been evaluated, and saved with it
                    _report(pending, schedule, record, label)
                    checkpoints.save_last(state, batches, progress)
                where = f" of {label}" if label else ""
                raise StoppedError(
                    f"stopped at step {step}/{schedule.steps}{where}, saved",
                    stop[0],
                    everywhere=several,
                )
    return state, progress


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


class _Pending(NamedTuple):
    """Figures of `number` steps from `first` on, sent but not read: scalars, or [number] each."""

    first: int
    number: int
    metrics: dict[str, jax.Array]


def _report(pending: _Pending, schedule: Schedule, record: Record, label: str) -> list[int]:
    """Checks the figures of steps, and writes them when it is their turn.

    Returns:
      The signal that a process has got by then, the same in all of them; none without.
    """
    columns = {name: np.ravel(value) for name, value in jax.device_get(pending.metrics).items()}
    stops = columns.pop("stop", np.zeros(1, np.int32))
    for row in range(pending.number):
        step = pending.first + row
        figures = {name: float(column[row]) for name, column in columns.items()}
        _check_finite(figures, step, label)
        if step % schedule.log_every == 0 or step == schedule.steps:
            record.write(step, "train", figures, label)
    return [int(stops.max())] if stops.any() else []


def _check_finite(figures: Mapping[str, float], step: int, label: str) -> None:
    for name, value in figures.items():
        if not math.isfinite(value):
            raise NonFiniteError(
                f"{name} is {value} at step {step}{f' of {label}' if label else ''}; the last "
                "checkpoint is from before. Try a smaller --config.optimizer.learning_rate."
            )


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collects the first SIGTERM or SIGINT; the second one ends the process as ever."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}

    def receive(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
