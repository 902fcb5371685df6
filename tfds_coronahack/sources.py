"""The archives that a dataset is made of: one, or several under names of their own."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tfds_coronahack.archive import (
    Archive,
    ArchiveError,
    Place,
    archive_key,
    is_url,
    locate,
    open_archive,
)
from tfds_coronahack.paths import expanded

ONLY = "coronahack"  # the source of a dataset that has no other
LIST = "archives.txt"  # in a manual folder: a line `NAME=PATH` for each source
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# Name of a source -> the zip or folder that `locate` found.
Sources = Mapping[str, Place]


def parse_sources(archive: Path | str) -> dict[str, Place]:
    """The archives that a text, a path or a manual folder with `archives.txt` names.

    Args:
      archive: a path or a URL, or several with a comma between; each may have a name before it,
        `NAME=PATH`. Without one an archive among others is called as its file or folder.

    Raises:
      ArchiveError: an archive is not there, or two have one name.
    """
    text = str(archive)
    folder = expanded(text)
    if folder.is_dir() and (folder / LIST).is_file():
        try:
            lines = (folder / LIST).read_text("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ArchiveError(f"{folder / LIST} is no UTF-8 text: {error}") from error
        kept = (line.strip() for line in lines)
        parts = [line for line in kept if line and not line.startswith("#")]
        if not parts:
            raise ArchiveError(
                f"{folder / LIST} names no archive: write a line NAME=PATH for each."
            )
    elif folder.exists():  # also where its name has a comma
        return {ONLY: locate(folder)}
    else:
        folder, parts = Path(), [part.strip() for part in text.split(",") if part.strip()]
    found: dict[str, Place] = {}
    for part in parts or [text]:
        name, path = split_source(part)
        if not is_url(path):
            path = str(folder / expanded(path))
        place = locate(path)
        if not name:
            stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(str(place)).stem).strip("-.")
            name = ONLY if len(parts) < 2 else stem or "archive"
        if name in found:
            raise ArchiveError(
                f"Two archives are called {name}: {found[name]} and {place}.\n"
                f"Give each a name of its own: {name}={found[name]},other={place}"
            )
        found[name] = place
    return found


def split_source(part: str) -> tuple[str, str]:
    """Name and path of `NAME=PATH`; the name is "" where there is none."""
    name, equals, path = part.partition("=")
    return (name, path) if equals and _NAME.fullmatch(name) else ("", part)


def sources_key(sources: Sources) -> str:
    """16 hex digits that tell the contents apart; of a single archive `archive_key`'s."""
    keys = {name: archive_key(place) for name, place in sources.items()}
    if len(keys) == 1:
        return next(iter(keys.values()))
    lines = "\n".join(f"{name}\t{keys[name]}" for name in sorted(keys))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


@contextmanager
def open_sources(sources: Sources) -> Iterator[dict[str, Archive]]:
    """All of them, opened. Raises ArchiveError as `open_archive` does."""
    with ExitStack() as held:
        yield {name: held.enter_context(open_archive(place)) for name, place in sources.items()}
