"""A trace of some training steps, for xprof or TensorBoard's profile plugin.

python launch.py --config=configs/cnn.py --config.profile=10:15 --workdir=runs/cnn
pip install xprof && xprof runs/cnn/profile
"""

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import jax

FORM = re.compile(r"(\d+):(\d+)")


def parse(text: str) -> tuple[int, int] | None:
    """First and last step of "FIRST:LAST", both traced, of which the run's first one is 1.

    None of "".

    Raises:
      ValueError: it is neither.
    """
    if not text:
        return None
    match = FORM.fullmatch(text)
    if match and 1 <= int(match[1]) <= int(match[2]):
        return int(match[1]), int(match[2])
    raise ValueError(f"config.profile={text!r}: write FIRST:LAST, two steps from 1 on, as in 10:15")


def check(text: str, total: int) -> None:
    """Raises ValueError where `text` is no range of steps, or a run of `total` steps has none."""
    steps = parse(text)
    if steps and steps[1] > total:
        raise ValueError(f"config.profile={text}: the run has {total} steps")


class Trace(AbstractContextManager):
    """Traces the steps of `config.profile` into a folder; stops at the latest with its block.

    A folder that is there already is left as it is: of a run's networks the first is traced, and
    none again when the run is resumed.
    """

    def __init__(self, folder: Path | None = None, steps: str = "") -> None:
        """`folder` is made when the trace is written; without steps nothing is traced."""
        self.folder = folder
        self.range = parse(steps)
        self.running = False

    def step(self, first: int, number: int) -> AbstractContextManager:
        """For the block that sends `number` steps from `first` on."""
        if self.range is None:
            return nullcontext()
        if not self.running and first <= self.range[1] and first + number > self.range[0]:
            self._start()
        if not self.running:
            return nullcontext()
        return jax.profiler.StepTraceAnnotation("train", step_num=first)

    def sent(self, step: int, metrics: Any) -> None:
        """All steps up to `step` are sent, and have `metrics`; ends the trace after the last."""
        if self.running and self.range is not None and step >= self.range[1]:
            jax.block_until_ready(metrics)
            self._stop()

    def __exit__(self, *_: object) -> None:
        if self.running:
            self._stop()

    def _start(self) -> None:
        if self.folder is None or self.folder.exists():
            self.range = None
            return
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # every Python call: as slow as the steps themselves
        jax.profiler.start_trace(str(self.folder), profiler_options=options)
        self.running = True

    def _stop(self) -> None:
        self.running, self.range = False, None
        jax.profiler.stop_trace()
