"""What all tests share: eight virtual devices, compiled programs, and which tests are fast."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Before JAX starts, so before pytest has read its arguments. `pytest -m accelerator` runs on what
# there is, all else on eight virtual devices of the CPU. xdist's workers have the variable alone.
if "accelerator" in sys.argv:
    os.environ["COVIDJAX_TEST_ACCELERATOR"] = "1"
if "COVIDJAX_TEST_ACCELERATOR" in os.environ and "cpu" not in os.environ.get(
    "JAX_PLATFORMS", "cpu"
):
    os.environ["JAX_PLATFORMS"] += ",cpu"  # what the device is compared with
if "COVIDJAX_TEST_ACCELERATOR" not in os.environ:
    flags = os.environ.get("XLA_FLAGS", "")
    # Most of the time goes into compiling, and with little optimization half as much.
    flags = f"--xla_backend_optimization_level=1 {flags}"
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    os.environ["JAX_PLATFORMS"] = "cpu"

HERE = Path(__file__).parent
# What is run on every Python and with the oldest requirements, in a good minute: what reads files
# and calls the libraries whose versions differ.
FAST = (
    "configs",
    "data",
    "images",
    "tfds_coronahack",
    "models/test_cnn.py",
    "models/test_create.py",
)
FAST += ("evidence/test_metrics.py", "runs/test_results.py", "classify/test_curves.py")
FAST += ("training/test_checkpoint.py", "cli/test_commands.py")
FAST += ("cli/test_command_line.py", "runs/test_workdir.py")
NOT_FAST = ("data/test_preprocess_jax.py", "tfds_coronahack/test_phantom.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(HERE).as_posix()
        if path.startswith("accelerator/"):
            item.add_marker(pytest.mark.accelerator)
        if path.startswith(FAST) and path not in NOT_FAST:
            item.add_marker(pytest.mark.fast)


@pytest.fixture(scope="session")
def cache_in() -> Callable[[Path], Path]:
    """Makes a cache below a folder, of its own but for what takes long to compile."""
    from covidjax.data.source import cache_root

    shared = cache_root()

    def make(home: Path) -> Path:
        cache = home / "cache"
        cache.mkdir()
        for name in ("kernels", "xla"):
            (shared / name).mkdir(parents=True, exist_ok=True)
            (cache / name).symlink_to(shared / name)
        return cache

    return make


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """A phantom's zip of 72 images."""
    from tfds_coronahack import phantom

    destination = tmp_path_factory.mktemp("archive") / "phantom.zip"
    return phantom.write_archive(destination, images=72, seed=1, size=64)


@pytest.fixture(scope="session")
def prepared(archive, tmp_path_factory) -> Path:
    """The dataset prepared from `archive`; to be read only."""
    import tfds_coronahack

    return tfds_coronahack.prepare(archive, tmp_path_factory.mktemp("data"))


@pytest.fixture
def own_folders(tmp_path, monkeypatch) -> None:
    """No test sees or touches the caches and datasets of the person who runs it."""
    monkeypatch.setenv("COVIDJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tensorflow_datasets"))
