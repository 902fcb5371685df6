"""From an archive's path to a prepared dataset's, and back to what was prepared."""

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import tqdm_utils

from tfds_coronahack.archive import ArchiveError, archive_key, locate
from tfds_coronahack.report import REPORT, format_report, read_report
from tfds_coronahack.tfds_coronahack_dataset_builder import FILE_FORMAT, Coronahack


def prepare(archive: Path | str, data_dir: Path | str, *, progress: bool = True) -> Path:
    """Builds the dataset from a zip or folder, unless that was done before.

    Returns `data_dir/coronahack/1.0.0`. The folder appears when all is done, by a rename: a build
    that is killed leaves nothing that looks complete, and of several processes one builds while
    the others wait. Memory stays under 1 GiB for images at 224 px; with `progress` bars and the
    build report are printed.

    Raises ArchiveError where the archive is not the CoronaHack archive, or `data_dir` holds the
    data of another one, or what lies there is damaged.
    """
    archive = locate(archive)
    key = archive_key(archive)
    data_dir = Path(data_dir).expanduser()
    if prepared := prepared_dir(data_dir):
        return _check_same(prepared, archive, key)
    folder = _version_dir(data_dir)
    if folder.exists():
        raise ArchiveError(
            f"{folder} is damaged, or was not built as {FILE_FORMAT}.\n"
            "Delete it, or prepare the data in another data_dir."
        )
    builder = Coronahack(
        data_dir=data_dir, archive=archive, file_format=FILE_FORMAT, progress=progress
    )
    config = tfds.download.DownloadConfig(
        compute_stats=tfds.download.ComputeStatsMode.SKIP, try_download_gcs=False
    )
    with _quiet():
        builder.download_and_prepare(download_config=config)
    prepared = prepared_dir(data_dir)
    if prepared is None:
        raise ArchiveError(f"{folder} is damaged; delete it and build again.")
    if progress:
        print(format_report(read_report(prepared)))
    return _check_same(prepared, archive, key)  # another process may have been there first


def prepared_dir(data_dir: Path | str) -> Path | None:
    """The complete dataset in array_record under `data_dir`, or None."""
    folder = _version_dir(Path(data_dir).expanduser())
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


def _version_dir(data_dir: Path) -> Path:
    return data_dir / Coronahack.name / str(Coronahack.VERSION)


def _check_same(prepared: Path, archive: Path, key: str) -> Path:
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
