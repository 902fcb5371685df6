"""From an archive's path to a prepared dataset's, and back to what was prepared."""

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import tqdm_utils

from tfds_coronahack.archive import ArchiveError
from tfds_coronahack.paths import encodable, expanded, readable
from tfds_coronahack.report import REPORT, format_report, read_report
from tfds_coronahack.sources import parse_sources, sources_key
from tfds_coronahack.tfds_coronahack_dataset_builder import FILE_FORMAT, Coronahack


def prepare(
    archive: Path | str,
    data_dir: Path | str,
    *,
    progress: bool = True,
    beam_options: Sequence[str] = (),
) -> Path:
    """Builds the dataset from a zip or folder, unless that was done before.

    `archive` may name several, `NAME=PATH` with a comma between: they become one dataset. With
    `beam_options` (as `--runner=DirectRunner`) Apache Beam writes the examples.

    Returns `data_dir/coronahack/VERSION`. The folder appears when all is done, by a rename: a build
    that is killed leaves nothing that looks complete, and of several processes one builds while
    the others wait. Memory stays under 1 GiB for images at 224 px; with `progress` bars and the
    build report are printed.

    Raises ArchiveError where the archive is not the CoronaHack archive, or `data_dir` holds the
    data of another one, or what lies there is damaged.
    """
    sources = parse_sources(archive)
    key = sources_key(sources)
    data_dir = expanded(data_dir)
    if encodable(str(data_dir)) != str(data_dir):
        raise ArchiveError(
            f"{readable(data_dir)}: data cannot be kept in a folder of no UTF-8 name"
        )
    if prepared := prepared_dir(data_dir):
        return _check_same(prepared, str(archive), key)
    folder = _version_dir(data_dir)
    if folder.exists():
        raise ArchiveError(
            f"{folder} is damaged, or was not built as {FILE_FORMAT}.\n"
            "Delete it, or prepare the data in another data_dir."
        )
    builder = Coronahack(
        data_dir=data_dir, archive=str(archive), file_format=FILE_FORMAT, progress=progress
    )
    config = tfds.download.DownloadConfig(
        compute_stats=tfds.download.ComputeStatsMode.SKIP,
        try_download_gcs=False,
        beam_options=_pipeline_options(beam_options),
    )
    with _quiet():
        builder.download_and_prepare(download_config=config)
    prepared = prepared_dir(data_dir)
    if prepared is None:
        raise ArchiveError(f"{folder} is damaged; delete it and build again.")
    if progress:
        print(format_report(read_report(prepared)))
    return _check_same(prepared, str(archive), key)  # another process may have been there first


def prepared_dir(data_dir: Path | str) -> Path | None:
    """The complete dataset in array_record under `data_dir`, or None."""
    folder = _version_dir(expanded(data_dir))
    try:
        info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    shards = sum(len(split.get("shardLengths", ())) for split in info.get("splits", ()))
    complete = (
        info.get("fileFormat") == FILE_FORMAT
        and shards > 0
        and len(list(folder.glob(f"*.{FILE_FORMAT}-*"))) == shards
        and (folder / "features.json").is_file()
        and (folder / REPORT).is_file()
    )
    return folder if complete else None


def outdated_dirs(data_dir: Path | str) -> list[Path]:
    """What other versions of the builder prepared under `data_dir`; this one does not read it."""
    folder = _version_dir(expanded(data_dir))
    found = folder.parent.glob(f"[0-9]*.[0-9]*.[0-9]*/{REPORT}")
    return sorted(path.parent for path in found if path.parent != folder)


def _pipeline_options(options: Sequence[str]) -> Any:
    """Beam's, or None without any. Raises ArchiveError where Beam is not installed."""
    if not options:
        return None
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ArchiveError(
            "Apache Beam is not installed; in an environment of its own, in the project's folder:\n"
            'pip install ".[tfds-cli]"'
        ) from error
    return PipelineOptions(list(options))


def _version_dir(data_dir: Path) -> Path:
    return data_dir / Coronahack.name / str(Coronahack.VERSION)


def _check_same(prepared: Path, archive: str, key: str) -> Path:
    report = read_report(prepared)
    if report["archive_key"] != key:
        raise ArchiveError(
            f"{prepared} was prepared from another archive, {report['archive']} "
            f"(key {report['archive_key']}), not from {archive} (key {key}).\n"
            "Pass another data_dir, or delete that folder."
        )
    return prepared


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and the lines that TFDS prints; the builder's own bar goes to stderr."""
    shown = getattr(tqdm_utils, "_active", True)  # there is no public way to ask
    tfds.display_progress_bar(enable=False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(enable=shown)
