"""The figures of training: read one dispatch late, checked, and written down."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from covidjax.training import profile, speed
from covidjax.training.record import Record
from covidjax.training.steps import Metrics


class NonFiniteError(FloatingPointError):
    """A training figure became NaN or infinite; the message names it and the step."""

    everywhere = True  # all processes have the same figures


class Log(NamedTuple):
    """Where figures go.

    Attributes:
      record: the run's.
      label: the network's name, `fold` in the record, and before the progress line.
      quiet: no progress line.
      trace: of some steps, for a profiler.
    """

    record: Record
    label: str = ""
    quiet: bool = False
    trace: profile.Trace | None = None

    @property
    def where(self) -> str:
        """The label for a message, such as " of fold0"."""
        return f" of {self.label}" if self.label else ""


class Sent(NamedTuple):
    """Figures of `number` steps from `first` on, sent but not read: scalars, or [number] each."""

    first: int
    number: int
    metrics: Metrics


class Figures:
    """Reads the figures of training one dispatch late, checks them and writes them down.

    Attributes:
      stop: the signal that some process of the run has received, the same in all of them.
    """

    def __init__(self, log: Log, meter: speed.Meter, log_every: int, last_step: int) -> None:
        """Every `log_every`-th step is written down, and the last one."""
        self.log, self.meter = log, meter
        self.log_every, self.last_step = log_every, last_step
        self.sent: Sent | None = None
        self.stop: list[int] = []

    def read_previous(self, sent: Sent) -> None:
        """Reads what was sent before `sent`, which it remembers."""
        self._read()
        self.sent = sent

    def read_last(self) -> None:
        """Waits for all that was sent; what follows is no training."""
        self._read(last=True)
        self.sent = None
        self.meter.pause()

    def _read(self, last: bool = False) -> None:
        if self.sent is None:
            return
        columns = {n: np.ravel(value) for n, value in jax.device_get(self.sent.metrics).items()}
        signals = columns.pop("stop", np.zeros(1, np.int32))
        for row in range(self.sent.number):
            step = self.sent.first + row
            figures = {name: float(column[row]) for name, column in columns.items()}
            _check_finite(figures, step, self.log)
            if step % self.log_every == 0 or step == self.last_step:
                self.log.record.write(step, "train", figures, self.log.label)
        if signals.any():
            self.stop.append(int(signals.max()))
        step = self.sent.first + self.sent.number - 1
        self.meter.finished(step)
        if (speeds := self.meter.figures(now=last)) is not None:
            self.log.record.write(step, "speed", speeds, self.log.label)


def _check_finite(figures: Mapping[str, float], step: int, log: Log) -> None:
    for name, value in figures.items():
        if not math.isfinite(value):
            raise NonFiniteError(
                f"{name} is {value} at step {step}{log.where}; the last "
                "checkpoint is from before. Try a smaller --config.optimizer.learning_rate."
            )
