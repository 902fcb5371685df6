"""What the command line asks of every benchmark, and what the machine has."""

import dataclasses
import importlib.util
import tempfile
from pathlib import Path

from benchmarks.compare import progress


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the command line asks of every benchmark.

    Attributes:
      pairs: turns of each side.
      scratch: a folder that is removed at the end.
      archive: CoronaHack's zip or folder, for the input and the build; None: synthetic radiographs.
    """

    pairs: int
    scratch: Path
    archive: Path | None = None

    def say(self, text: str) -> None:
        """A line of progress below the benchmark's own."""
        progress(f"  {text}")


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A context manager: a temporary folder's name."""
    return tempfile.TemporaryDirectory(prefix="covidjax-benchmarks-", ignore_cleanup_errors=True)


def torch_installed() -> bool:
    """Whether PyTorch is there; does not import it."""
    return importlib.util.find_spec("torch") is not None
