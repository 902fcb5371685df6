"""A small prepared dataset for the tests of this room, and folders that are nobody's."""

from pathlib import Path

import pytest

import tfds_coronahack
from tfds_coronahack import phantom

IMAGES = 72


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch) -> None:
    """No test sees or touches the caches and datasets of the person who runs it."""
    monkeypatch.setenv("COVIDJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tensorflow_datasets"))


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """A phantom's zip of 72 images."""
    destination = tmp_path_factory.mktemp("archive") / "phantom.zip"
    return phantom.write_archive(destination, images=IMAGES, seed=1, size=64)


@pytest.fixture(scope="session")
def prepared(archive, tmp_path_factory) -> Path:
    """The dataset prepared from `archive`; to be read only."""
    return tfds_coronahack.prepare(archive, tmp_path_factory.mktemp("data"))
