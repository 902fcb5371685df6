"""Folders that are nobody's, for every test of this room."""

import pytest


@pytest.fixture(autouse=True)
def nobodys(own_folders) -> None:
    """See `own_folders`."""
