"""The kernels, compiled once for all tests."""

import pytest

from covidjax.kernels import build


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Registers the kernels; the tests call them by themselves, for they have eight devices."""
    assert build.load(tmp_path_factory.mktemp("kernels"))
