"""Compiled programs on disk, so that the next run starts at once."""

import warnings
from pathlib import Path
from tempfile import TemporaryFile

import filelock
import jax

COMPILED_BYTES = 2 * 1024**3  # of all compiled programs that are kept


def keep(folder: Path) -> None:
    """From now on JAX keeps compiled programs in `folder`, of 2 GiB the most recently used.

    Small programs too, for a run's first step needs a dozen of them. Several runs may share the
    folder. Where JAX has been given a folder already (JAX_COMPILATION_CACHE_DIR) nothing changes;
    where `folder` cannot be written to there is a warning, and programs are not kept.
    """
    if jax.config.values["jax_compilation_cache_dir"]:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            _remove_unfinished(folder)
        Path.home()  # without one JAX's own cache fails at every program
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"compiled programs are not kept, so every start compiles anew: {error}. "
            "Set COVIDJAX_CACHE, and HOME, to folders that can be written to.",
            stacklevel=2,
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", COMPILED_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _remove_unfinished(folder: Path) -> None:
    """Removes the programs that a killed process was writing.

    JAX writes NAME-cache, then NAME-atime. Without the second it would keep nothing any more, and
    half of the first would never be replaced.
    """
    with filelock.FileLock(folder / ".lockfile", timeout=10):  # JAX's own lock
        for program in folder.glob("*-cache"):
            if not program.with_name(f"{program.name.removesuffix('-cache')}-atime").exists():
                program.unlink()
