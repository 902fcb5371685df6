"""What the commands `python -m covidjax.NAME` share: how they are called, and how they end."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tfds_coronahack.paths import NoHomeError, expanded
from tfds_coronahack.terminal import keep_printing


def documented(module: str, docstring: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m MODULE` whose --help is the module's docstring."""
    keep_printing()
    summary, _, details = (docstring or "").partition("\n\n")
    return argparse.ArgumentParser(
        f"python -m {module}",
        description=summary.partition(":")[0] + ".",
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def path_argument(text: str) -> Path:
    """The type of an argument that names a path: ~ is somebody's home folder."""
    try:
        return expanded(text)
    except NoHomeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run_command(name: str, work: Callable[[], int], *, on_device: bool = True) -> int:
    """Does a command's work; what a person can mend is one line on stderr, and exit status 2.

    SIGTERM stops it as Ctrl-C does.

    Args:
      name: of the command, before the line.
      work: returns the exit status.
      on_device: it computes with JAX: its compiled programs are kept, and where JAX finds no device
        that is said before anything else.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if on_device:
            prepare_device()
        return work()
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130


def prepare_device() -> None:
    """Has JAX keep its compiled programs, and finds its devices.

    Raises:
      ValueError, OSError: no folder for the programs, or no device; in one line.
    """
    from absl import logging

    from covidjax.data.source import cache_root
    from covidjax.runs import devices
    from covidjax.training import compiled

    logging.set_verbosity(logging.ERROR)  # orbax warns of what read-only checkpoints are
    compiled.keep(cache_root() / "xla")
    devices.prepare()


def make_folder(path: Path) -> None:
    """Makes a folder to write to. Raises ValueError where that cannot be, in one line."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {path}: {error.strerror or error}") from error
    if not os.access(path, os.W_OK):
        raise ValueError(f"cannot write into the folder {path}")
