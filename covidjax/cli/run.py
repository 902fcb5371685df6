"""What `launch.py` does: its flags, the dispatch on the experiment, and the exit status."""

import errno
import importlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from covidjax.cli import supervise
from covidjax.cli.command_line import config_name
from covidjax.data.source import cache_root
from covidjax.runs import devices
from covidjax.training import compiled, hosts
from covidjax.training.figures import NonFiniteError
from covidjax.training.signals import StoppedError
from tfds_coronahack.paths import expanded

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "Experiment: a file of configs/, with `:key=value,...` for its arguments."
)
flags.DEFINE_string("workdir", "", "Folder of the run; default runs/NAME-TIMESTAMP.")
flags.DEFINE_string("sweep", None, "Sweeps of the config, comma between; --sweep: its first one.")
flags.DEFINE_string("shard", "", "I/N: of a sweep every N-th point from the I-th on, from 0 on.")
flags.DEFINE_bool("dry", False, "Lists the points of a sweep.")
flags.DEFINE_bool("merge", False, "Makes one cross-validation of a sweep over folds.")
flags.DEFINE_string("coordinator", "", "HOST:PORT of process 0, where JAX finds no cluster.")
flags.DEFINE_integer("processes", 0, "How many; 1: this one alone, whatever the cluster.")
flags.DEFINE_integer("process", -1, "Number of this one, from 0 on.")
flags.DEFINE_float("peer_timeout", 50.0, "Seconds until another process counts as lost.")
AS_TYPED = tuple(sys.argv)  # parsing takes some of it out


def run(experiments: Mapping[str, str]) -> None:
    """Dispatches on config.experiment; what a person can mend is one message and exit status 2.

    Args:
      experiments: name -> module, imported when it is asked for.
    """
    logging.set_verbosity(logging.WARNING)  # orbax tells every step of a save
    config = FLAGS.config.lock()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if FLAGS.sweep is not None or FLAGS.shard or FLAGS.dry or FLAGS.merge:
        from covidjax.cli import sweep

        flag: Any = FLAGS["config"]
        sys.exit(sweep.command(config, flag.override_values, AS_TYPED, FLAGS))
    hint = "nothing has been written"
    try:
        compiled.keep(cache_root() / "xla")
        stamp = time.strftime("%Y%m%d-%H%M%S")
        with hosts.crashes_told():
            workdir = join(config, FLAGS.workdir or f"runs/{config_name(sys.argv)}-{stamp}")
            hint = f"the same command with --workdir={workdir} resumes"
            importlib.import_module(experiments[config.experiment]).run(config, workdir)
            hosts.finish()
    except StoppedError as error:
        hosts.end(f"{error}; {hint}", 128 + error.signal, together=error.everywhere)
    except (ValueError, OSError, NonFiniteError) as error:
        hosts.end(explained(error, hint), 2, together=getattr(error, "everywhere", False))


def join(config: Any, own: str) -> Path:
    """The workdir, after the other processes of the run have come, if it has any."""
    if supervise.wanted(AS_TYPED, os.environ):
        from covidjax.cli import processes

        place = hosts.Place(FLAGS.coordinator, FLAGS.processes, FLAGS.process)
        own = processes.join(config, place, FLAGS.workdir, own, FLAGS.peer_timeout)
    elif config.experiment != "report":  # which computes nothing
        devices.prepare()
    return expanded(own)


def stop(number: int, _: Any) -> None:
    """For signals outside of training, where there is nothing to save."""
    raise StoppedError("stopped", number)


def explained(error: BaseException, hint: str) -> str:
    """The message of an error; of a full disk with what to do, for Python does not say which."""
    if getattr(error, "errno", None) in FULL:
        return f"cannot write, the disk is full: {error}. Make room; {hint}"
    return str(error)
