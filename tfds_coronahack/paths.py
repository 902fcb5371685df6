"""Paths as people type them, and names as they can be printed."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

# What would move a terminal's cursor or end a line.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class NoHomeError(OSError):
    """A path that begins with ~ where nobody knows whose folder that is."""


def expanded(path: Path | str) -> Path:
    """The path with ~ or ~NAME as that user's home folder.

    Raises:
      NoHomeError: there is no such user, or the one that runs this has no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise NoHomeError(
            f"{path}: no home folder is known for it, write the whole path"
        ) from error


def readable(path: Path | str) -> str:
    r"""A path as text of one line that any encoding of Unicode holds.

    Bytes of a name that are no UTF-8 become `\xe9`, and so do control characters.
    """
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", encodable(os.fspath(path)))


def encodable(text: str) -> str:
    r"""The text, in which bytes of a name that are no UTF-8 have become `\xe9` and their like."""
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()


def files_below(folder: Path, left_out: Sequence[Path] = ()) -> Iterator[Path]:
    """All files in a folder and below it in order, hidden ones and those below `left_out` not.

    Linked folders are followed; a folder that several links lead to, or a circle of them, is read
    once. A folder that cannot be opened stands for its files, so that it is not left out silently.
    """
    seen = {os.path.realpath(path) for path in left_out}
    waiting = [folder]
    while waiting:
        parent = waiting.pop()
        real = os.path.realpath(parent)
        if real in seen:
            continue
        seen.add(real)
        try:
            names = sorted(name for name in os.listdir(parent) if not name.startswith("."))
        except OSError:
            yield parent
            continue
        paths = [parent / name for name in names]
        yield from (path for path in paths if not os.path.isdir(path))
        waiting += [path for path in reversed(paths) if os.path.isdir(path)]
