"""What every section of the look gets, and the tables it writes."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.data.source import Prepared
from covidjax.eda.archive_facts import ArchiveFacts
from covidjax.eda.charts.figures import Album
from covidjax.eda.classes import CLASSES, sources_of
from covidjax.report import page

Facts = dict[str, Any]  # for the first page


@dataclasses.dataclass(frozen=True)
class Data:
    """The prepared data and where to write.

    Attributes:
      prepared: the dataset.
      table: one row an image, of `covidjax.data.table.read_table`.
      codes: int64 [n], indices into CLASSES.
      archive: what only the archive tells, None where it is not at hand.
      album: the figures' folder.
      tables: the tables' folder.
      seed: of everything drawn.
      progress: show bars.
      tell: says on stderr what is being done.
    """

    prepared: Prepared
    table: pd.DataFrame
    codes: NDArray[np.int64]
    archive: ArchiveFacts | None
    album: Album
    tables: Path
    seed: int
    progress: bool
    tell: Callable[[str], None]

    @property
    def phantom(self) -> bool:
        """Whether the images are synthetic."""
        return self.prepared.kind == "phantom"

    @property
    def classes(self) -> list[str]:
        """The name of each row's class."""
        return [CLASSES[code] for code in self.codes]

    @property
    def sources(self) -> list[str]:
        """Each row's source, by its file name."""
        return sources_of(self.table)

    def write(self, name: str, frame: pd.DataFrame, caption: str) -> page.Table:
        """Writes a table as CSV."""
        return page.write_table(self.tables, name, frame, caption, self.phantom)
