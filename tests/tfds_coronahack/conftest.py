from collections.abc import Callable
from pathlib import Path

import pytest
from coronahack_archives import archive_files, write_folder, write_zip


@pytest.fixture
def make_zip(tmp_path: Path) -> Callable[..., Path]:
    """`make_zip(rows=..., root=..., changes=...)` writes an archive and returns its path."""

    def make(name: str = "archive.zip", **kwargs: object) -> Path:
        return write_zip(tmp_path / name, archive_files(**kwargs))

    return make


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "unpacked", **kwargs: object) -> Path:
        return write_folder(tmp_path / name, archive_files(**kwargs))

    return make
