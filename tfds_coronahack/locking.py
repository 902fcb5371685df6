"""One build at a time in a data folder, and none that was killed left lying about."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tfds_coronahack.archive import is_url

_LOCK = ".build.lock"
_INCOMPLETE = "incomplete.*"  # TFDS's name for a folder that is being built


@contextmanager
def build_lock(dataset_dir: os.PathLike[str]) -> Iterator[None]:
    """Holds the lock of `DATA_DIR/coronahack`, and first clears what killed builds left there.

    Waits while another process builds. The system frees the lock of a process that dies, so that
    what lies there under the lock belongs to nobody. A folder in the cloud (gs://...) has no lock.
    """
    if is_url(dataset_dir):
        yield
        return
    dataset_dir = Path(dataset_dir)
    dataset_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(dataset_dir / _LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting for another build in {dataset_dir}", file=sys.stderr)
        lock.acquire()
    try:
        for left in dataset_dir.glob(_INCOMPLETE):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()
