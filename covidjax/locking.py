"""Files that several processes make and share: advisory locks and temporary names.

Every file is written under a temporary name in its own folder and renamed when complete, so that
a reader sees all of it or none. The lock only saves work (the second process waits for the first
one's result); where a file system knows no locks, both build and the later rename wins, which is
right too because the contents are the same.
"""

import contextlib
import errno
import glob
import hashlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import filelock

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

STALE_SECONDS = 24 * 3600.0  # for temporary files of other machines, whose owner we cannot ask


@contextlib.contextmanager
def exclusive(path: Path, waiting_for: str) -> Iterator[None]:
    """Holds the lock file `path`, which the kernel releases when its owner ends, however it ends.

    Args:
      path: the lock file; made where missing and left in place, empty.
      waiting_for: what another process is making, for the line printed to stderr on waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    with contextlib.ExitStack() as held:
        with contextlib.suppress(NotImplementedError):  # a file system without locks
            try:
                held.enter_context(lock.acquire(blocking=False))
            except filelock.Timeout:
                print(f"Waiting for another process that makes {waiting_for}.", file=sys.stderr)
                held.enter_context(lock.acquire())
        yield


@contextlib.contextmanager
def try_exclusive(path: Path) -> Iterator[bool]:
    """Holds the lock file `path` if nobody else does: yields False at once where somebody does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        free = True
        with contextlib.suppress(NotImplementedError):  # a file system without locks
            try:
                held.enter_context(filelock.FileLock(path).acquire(blocking=False))
            except filelock.Timeout:
                free = False
        yield free


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file beside `path` and renames it to `path` when the block succeeds.

    When the block fails the temporary file is removed. Files that a killed process left behind are
    removed on the way in; those of a living one are not. A link stays, and what it leads to is
    replaced.

    Raises:
      OSError: there is no room or permission, or `path` is a folder, a device or a pipe.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is there and is no file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(path)
    name = f".{_stem(path)}.{socket.gethostname()}.{os.getpid()}.{time.time_ns():x}.tmp"
    unfinished = path.with_name(name)
    try:
        with _create_locked(unfinished) as file:
            yield file
            file.flush()
            unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def being_written(path: Path) -> bool:
    """Whether another process of this machine is in `temporary` for the same file."""
    remove_stale(path)
    return any(path.parent.glob(f".{glob.escape(_stem(path))}.*.tmp"))


def remove_stale(path: Path) -> None:
    """Removes the temporary files for `path` whose owner is gone."""
    for file_path in path.parent.glob(f".{glob.escape(_stem(path))}.*.tmp"):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to remove
            ours = file_path.name.startswith(f".{_stem(path)}.{socket.gethostname()}.")
            age = time.time() - file_path.stat().st_mtime
            if not ours and age < STALE_SECONDS:
                continue
            with file_path.open("ab") as file:
                # One that is gone by now may have a successor of its name, with an owner.
                if _lock(file) and os.fstat(file.fileno()).st_nlink > 0:
                    file_path.unlink()


def _stem(path: Path) -> str:
    """The file's name, or a short stand-in for a long one, since more is added to it."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= 100 else hashlib.sha256(name).hexdigest()[:32]


def _create_locked(path: Path) -> BinaryIO:
    """A new file whose lock says, for as long as this process lives, that it has an owner."""
    while True:
        file = path.open("wb")
        # Between the two steps another process may have taken the file for a leftover.
        if _lock(file) is not False and os.fstat(file.fileno()).st_nlink > 0:
            return file
        file.close()


def _lock(file: BinaryIO) -> bool | None:
    """True: locked. False: another process holds it. None: no locks on this file system.

    By the kernel's call, for filelock empties the file that it locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
