"""Download from Kaggle through kagglehub, and what to do where Kaggle refuses."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from tfds_coronahack.archive import KAGGLE_PAGE, ArchiveError, locate
from tfds_coronahack.paths import expanded

HANDLE = "praveengovi/coronahack-chest-xraydataset"

_INSTRUCTIONS = f"""\
Either download the archive by hand from {KAGGLE_PAGE}
and pass its path (python -m tfds_coronahack --archive=PATH), or let Kaggle know you:
on https://www.kaggle.com/settings choose "Create New Token" and save the file kaggle.json as
~/.kaggle/kaggle.json (or set KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY). Try again."""


class DownloadError(ArchiveError):
    """Kaggle could not be reached or refused; the message has the instructions for a key file."""


def download(destination: Path | str, *, progress: bool = True) -> Path:
    """Downloads the archive (about 1.2 GB) below `destination`, unless it is there already.

    Returns the unpacked archive's folder. A download that broke off is resumed from what is there
    and checked against Kaggle's checksum. No key is needed where Kaggle serves public data without
    one. Raises DownloadError, with instructions, where the download fails.
    """
    import kagglehub  # slow to import, and only needed here
    import requests
    from kagglehub import exceptions

    destination = expanded(destination)
    if there := _complete_download(destination):
        return there
    try:
        destination.mkdir(parents=True, exist_ok=True)
        with _cache_folder(destination), contextlib.ExitStack() as stack:
            if not progress:
                stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            return Path(locate(kagglehub.dataset_download(HANDLE)))
    except (
        requests.RequestException,
        exceptions.UnauthenticatedError,
        exceptions.CredentialError,
        exceptions.BackendError,
        exceptions.NotFoundError,
        exceptions.DataCorruptionError,
        exceptions.KaggleEnvironmentError,
        exceptions.ColabEnvironmentError,
        OSError,
        ValueError,  # a broken kaggle.json
    ) as error:
        reason = _reason(error)
        raise DownloadError(
            f"The download of {HANDLE} from Kaggle failed: {reason}\n{_INSTRUCTIONS}"
        ) from error


def _complete_download(destination: Path) -> Path | None:
    """The newest version that kagglehub finished below `destination`; it asks Kaggle first."""
    folder = destination / "datasets" / HANDLE
    markers = [m for m in folder.glob("*.complete") if m.stem.isdigit()]
    for marker in sorted(markers, key=lambda m: int(m.stem), reverse=True):
        with contextlib.suppress(ArchiveError):
            return Path(locate(folder / "versions" / marker.stem))
    return None


@contextlib.contextmanager
def _cache_folder(folder: Path) -> Iterator[None]:
    """kagglehub resumes downloads in its cache only, and takes its place from the environment."""
    before = os.environ.get("KAGGLEHUB_CACHE")
    os.environ["KAGGLEHUB_CACHE"] = str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ["KAGGLEHUB_CACHE"]
        else:
            os.environ["KAGGLEHUB_CACHE"] = before


def _reason(error: Exception) -> str:
    """A line for people; requests lists its inner objects instead."""
    import requests

    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off; run it again and it goes on from there."
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "Kaggle cannot be reached (no network?)."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) or type(error).__name__
    return text if len(text) < 200 else text[:200] + "..."
