"""Where the images come from: a prepared dataset, Kaggle's archive, a download, or the phantom.

`resolve` turns the data part of a config into the folder of a prepared dataset, and prepares it
where that has not been done. What it makes on the way lies under `cache_root()`.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tfds_coronahack
from covidjax import locking
from tfds_coronahack import phantom as phantom_archive
from tfds_coronahack.paths import NoHomeError, expanded

SOURCES = ("auto", "coronahack", "phantom")
KAGGLE_PAGE = "https://www.kaggle.com/datasets/praveengovi/coronahack-chest-xraydataset"
PHANTOM_DEFAULTS: dict[str, Any] = {"images": 500, "seed": 0, "size": 128, "shortcuts": ()}
DOWNLOADED = "kaggle"  # the folder below cache_root() of what was downloaded and its dataset


class SourceError(FileNotFoundError):
    """There are no data where they were looked for; the message says what to put where."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prepared dataset.

    Attributes:
      path: its versioned folder.
      kind: "coronahack" or "phantom", as the build report says.
      fingerprint: hash over names, bytes and labels of all images, hex.
      report: the build report.
    """

    path: Path
    kind: str
    fingerprint: str
    report: dict[str, Any]

    @property
    def same_pictures(self) -> list[list[str]]:
        """Names of images that are identical, or nearly so; for `splits.check_leaks`."""
        return [*self.report["duplicates"], *self.report["near_duplicates"]]


def cache_root() -> Path:
    """The folder for everything that can be made again: $COVIDJAX_CACHE or ~/.cache/covidjax.

    Raises:
      NoHomeError: there is no COVIDJAX_CACHE and no home folder.
    """
    if root := os.environ.get("COVIDJAX_CACHE"):
        return expanded(root).absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache"
    except RuntimeError as error:
        raise NoHomeError(
            "this user has no home folder to keep data and compiled programs in: set "
            "COVIDJAX_CACHE to a folder"
        ) from error
    return base / "covidjax"


def default_data_dir() -> Path:
    """TFDS's folder for prepared datasets: $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    return expanded(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def phantom_parameters(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The phantom's parameters for `resolve`, of a config's `phantom` (a saved one's too)."""
    shortcuts = tuple(part for part in fields["shortcuts"].split(",") if part)
    return {**fields, "shortcuts": shortcuts}


def resolve(
    source: str,
    data_dir: str,
    archive: str,
    phantom: Mapping[str, Any] | None = None,
    *,
    progress: bool = True,
) -> Prepared:
    """Finds or makes the prepared dataset that a config asks for.

    Args:
      source: "coronahack": the dataset prepared in `data_dir`; else made of `archive`; else made
        of a download from Kaggle. "phantom": synthetic radiographs. "auto": "coronahack" without
        the download, else "phantom".
      data_dir: TFDS data folder. "": looks in TFDS's own default, prepares below `cache_root()`.
      archive: Kaggle's zip, or the folder it was unpacked to; several as `NAME=PATH,...`, which
        become one dataset; "" for none.
      phantom: images, seed, size and shortcuts of the phantom, where they differ from
        `PHANTOM_DEFAULTS`.
      progress: show the builder's progress bars and its report where something is prepared.

    Returns:
      The prepared dataset. Its kind comes from the build report, so a phantom's archive given as
      `archive` is still a phantom.

    Raises:
      SourceError: no data (says what to put where), `archive` does not exist, or what is to be
        prepared cannot be written.
      ValueError: an unknown source or phantom parameter, or `archive` given for a phantom.
      tfds_coronahack.ArchiveError: the archive is not the one that is expected.
    """
    if source not in SOURCES:
        raise ValueError(f"data.source must be one of {', '.join(SOURCES)}, got {source!r}")
    if source == "phantom" and archive:
        raise ValueError(
            f"data.source=phantom makes its own images, but data.archive={archive} was given; "
            "leave one of the two out"
        )
    try:
        found = None if source == "phantom" else _find(data_dir, archive, progress)
        if found is None and source == "auto" and data_dir:
            text = f"data.data_dir={data_dir}: there is no prepared dataset.\n{_instructions()}"
            raise SourceError(text)
        if found is None and source == "coronahack":
            found = _download(data_dir, progress)
        return _load(found or _phantom(phantom or {}, progress))
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(
            f"cannot read or write the data: {error}\n"
            f"What is prepared goes to data.data_dir, or to {cache_root()} (or COVIDJAX_CACHE)."
        ) from error


def phantom_banner() -> str:
    """The text to print before a run on the phantom."""
    lines = [
        "PHANTOM - THESE ARE NOT PATIENTS",
        "",
        "Every image of this run is synthetic. Its scores, figures and reports",
        "show that the program works. For patients they mean NOTHING.",
        "",
        "To use the real CoronaHack archive, one of:",
        "  --config.data.archive=FILE       the zip from Kaggle, or the unpacked folder",
        "  --config.data.data_dir=FOLDER    a dataset prepared by tfds_coronahack",
        "  --config.data.source=coronahack  downloads it from Kaggle (1.2 GB)",
        KAGGLE_PAGE,
    ]
    width = max(map(len, lines))
    edge = "#" * (width + 8)
    return "\n".join([edge, edge, *(f"##  {line:<{width}}  ##" for line in lines), edge, edge])


def _find(data_dir: str, archive: str, progress: bool) -> Path | None:
    """The prepared real dataset, without a download; None where there is none to be had."""
    if archive:
        # What was prepared in data_dir serves without its archive.
        missing = _missing(archive)
        there = expanded(data_dir) if missing and data_dir else None
        if there and (found := tfds_coronahack.prepared_dir(there)):
            return found
        if missing:
            raise SourceError(
                f"data.archive={missing}: there is no such file or folder.\n" + _instructions()
            )
        if data_dir:
            folder = expanded(data_dir)
            return tfds_coronahack.prepare(archive, folder, progress=progress)
        key = tfds_coronahack.sources_key(tfds_coronahack.parse_sources(archive))
        return _prepared_in_cache(archive, cache_root() / "prepared" / key, progress)
    folders = [expanded(data_dir)] if data_dir else []
    for folder in folders or (default_data_dir(), cache_root() / DOWNLOADED / "prepared"):
        if (found := tfds_coronahack.prepared_dir(folder)) is not None:
            return found
        if outdated := tfds_coronahack.outdated_dirs(folder):
            raise SourceError(
                f"{outdated[-1]} was prepared by another version of the builder. Prepare it again, "
                "with the archive as --config.data.archive=FILE,\nor by `python -m tfds_coronahack "
                f"--archive=FILE --data_dir={folder}`; or remove that folder."
            )
    return None


def _missing(archive: str) -> str:
    """The first of the archives that is not there, as it was given; "" where all are."""
    if expanded(archive).exists():
        return ""
    for part in map(str.strip, archive.split(",")):
        _, path = tfds_coronahack.split_source(part)
        if not tfds_coronahack.is_url(path) and not expanded(path).exists():
            return part
    return ""


def _prepared_in_cache(archive: str | Path, folder: Path, progress: bool) -> Path:
    """Prepares it in a folder of ours, and removes there what older versions prepared."""
    found = tfds_coronahack.prepare(archive, folder, progress=progress)
    for outdated in tfds_coronahack.outdated_dirs(folder):
        shutil.rmtree(outdated, ignore_errors=True)
    return found


def _download(data_dir: str, progress: bool) -> Path:
    """Downloads the archive from Kaggle and prepares it. Raises SourceError where that fails."""
    home = cache_root() / DOWNLOADED
    try:
        archive = tfds_coronahack.download(home / "archive", progress=progress)
    except tfds_coronahack.DownloadError as error:
        where = f"data.data_dir={data_dir}" if data_dir else str(default_data_dir())
        reason = str(error).split("\n")[0]  # the rest is instructions for the builder alone
        raise SourceError(
            f"No CoronaHack data: none prepared in {where}, and no data.archive given.\n"
            f"{reason}\n{_instructions()}"
        ) from error
    folder = expanded(data_dir) if data_dir else home / "prepared"
    return tfds_coronahack.prepare(archive, folder, progress=progress)


def _instructions() -> str:
    return (
        f"Get the archive (1.2 GB, free account) at {KAGGLE_PAGE}\nand give one of:\n"
        "  --config.data.archive=FILE       the zip as downloaded, or the unpacked folder\n"
        "  --config.data.data_dir=FOLDER    where `python -m tfds_coronahack` prepared it\n"
        "  --config.data.source=coronahack  downloads it; where Kaggle asks for a key, put it in\n"
        "                                   KAGGLE_API_TOKEN or ~/.kaggle/kaggle.json"
    )


def _phantom(parameters: Mapping[str, Any], progress: bool) -> Path:
    """The phantom with these parameters, made once and kept below cache_root()."""
    if unknown := sorted(set(parameters) - set(PHANTOM_DEFAULTS)):
        raise ValueError(
            f"the phantom has no parameter {', '.join(unknown)}; "
            f"it has {', '.join(PHANTOM_DEFAULTS)}"
        )
    settings = {**PHANTOM_DEFAULTS, **parameters}
    settings["shortcuts"] = sorted(settings["shortcuts"])
    text = json.dumps([phantom_archive.VERSION, settings], sort_keys=True)
    home = cache_root() / "phantom" / hashlib.sha256(text.encode()).hexdigest()[:16]
    with locking.exclusive(home / "lock", "the phantom"):
        if (found := tfds_coronahack.prepared_dir(home)) is not None:
            return found
        archive = phantom_archive.write_archive(home / "archive.zip", **settings)
        return _prepared_in_cache(archive, home, progress)


def _load(path: Path) -> Prepared:
    report = tfds_coronahack.read_report(path)
    kind = "phantom" if report["phantom"] else "coronahack"
    return Prepared(path, kind, report["fingerprint"], report)
