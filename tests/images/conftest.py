"""Folders that are nobody's."""

import pytest


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch) -> None:
    """No test sees or touches the caches and datasets of the person who runs it."""
    monkeypatch.setenv("COVIDJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tensorflow_datasets"))
