"""A record of the catalog -> the example that is written, here or on a worker of Apache Beam."""

from contextlib import ExitStack
from typing import Any

from tfds_coronahack.archive import Archive, open_archive
from tfds_coronahack.catalog import Record
from tfds_coronahack.sources import Sources


class ReadExample:
    """Record -> (key, example), with the bytes as the archive has them.

    It opens an archive with the first record that it is given of it, so that it can be sent to
    another process as it is; that process must find the archives in the same places.
    """

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._held = ExitStack()
        self._opened: dict[str, Archive] = {}

    def __call__(self, record: Record) -> tuple[str, dict[str, Any]]:
        row = record.row
        return row.image, {
            "image": self._archive(record.source).read(record.entry),
            "image/name": row.image,
            "source": record.source,
            "label": row.label,
            "cause": row.cause,
            "group": record.group,
            "height": record.height,
            "width": record.width,
            "mode": record.mode,
            "sha256": record.sha256,
            "phash": record.phash,
            "kaggle_split": row.kaggle_split,
        }

    def _archive(self, source: str) -> Archive:
        if source not in self._opened:
            archive = self._held.enter_context(open_archive(self.sources[source]))
            self._opened[source] = archive
        return self._opened[source]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.sources,)
