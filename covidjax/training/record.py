"""What a run says while it runs: `metrics.jsonl`, TensorBoard events, a progress line."""

import errno
import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

from covidjax.training import hosts

if TYPE_CHECKING:
    import tensorboardX


class Record:
    """Appends figures to `metrics.jsonl` and, beside it, to TensorBoard events.

    Of several processes only the coordinator writes.

    A resumed run repeats the lines since its last checkpoint; of two lines with the same step,
    split and fold the later one counts. Use it as a context manager.
    """

    def __init__(self, workdir: Path, note: str = "") -> None:
        """`note` stands as `data` in every line; for what no reader may overlook."""
        self.note = note
        self.folder = workdir / "tensorboard"
        self.file: TextIO | None = None
        if not hosts.is_coordinator():
            return
        self.file = (workdir / "metrics.jsonl").open("a", encoding="utf-8")
        if self.file.tell() and not _ends_in_newline(workdir / "metrics.jsonl"):
            self.file.write("\n")  # a kill cut the last line off

    @cached_property
    def events(self) -> "tensorboardX.SummaryWriter":
        """Made with the first line: the import brings all of PyTorch along where that is there."""
        import tensorboardX

        return tensorboardX.SummaryWriter(str(self.folder), flush_secs=10)

    def write(self, step: int, split: str, figures: Mapping[str, float], fold: str = "") -> None:
        """One line; figures that are not finite are written as null."""
        if self.file is None:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        marks = {name: text for name, text in (("fold", fold), ("data", self.note)) if text}
        line = {"step": step, "split": split, **marks, **finite}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        self._check_events()
        for name, value in figures.items():
            tag = "/".join(part for part in (fold, split, name) if part)
            self.events.add_scalar(tag, value, step)

    def _check_events(self) -> None:
        """Raises OSError where TensorBoard's thread has ended, as on a full disk.

        Else the next events would fill its queue, and then wait for it for ever.
        """
        writer = getattr(self.events.file_writer, "event_writer", None)
        worker = getattr(writer, "_worker", None)
        if worker is not None and not worker.is_alive():
            del self.__dict__["events"]  # closing it would wait too
            raise OSError(errno.ENOSPC, "TensorBoard's events cannot be written", str(self.folder))

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.file is not None:
            self.file.close()
        if "events" in self.__dict__:
            self.events.close()


def progress_bar(total: int, done: int, label: str, quiet: bool) -> tqdm:
    """Images a second and the time left; `total` and `done` in images."""
    return tqdm(
        total=total,
        initial=done,
        desc=label,
        unit=" images",
        disable=quiet,
        mininterval=0.5,
        smoothing=0.1,
        dynamic_ncols=True,
    )


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
