"""A run by several processes, as the command line starts it."""

import errno
import os
import sys

import ml_collections

from covidjax.runs.workdir import decisive
from covidjax.training import distributed
from covidjax.training.channel import Place

SPREAD = ("classify", "denoise")  # the experiments that several processes can share
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def join(config: ml_collections.ConfigDict, place: Place, given: str, own: str, wait: float) -> str:
    """The coordinator's workdir, once all processes have come, with the same config.

    The others say nothing from then on unless something is wrong.

    Args:
      config: of the run; made quiet in all but the coordinator.
      place: of this process.
      given: workdir of the command line, "" where there was none.
      own: the same with the default, which has the time in it.
      wait: seconds for the others.

    Raises:
      ValueError: they did not come, do not run the same, or this experiment is for one process.
    """
    if config.experiment not in SPREAD:
        raise ValueError(
            f"config.experiment={config.experiment} runs in one process: start it once, or give "
            "--processes=1"
        )
    if place.process > 0:
        config.quiet = True
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return distributed.start(place, {"--workdir": given, **decisive(config)}, own, wait).word


def explained(error: BaseException, hint: str) -> str:
    """The message of an error; of a full disk with what to do, for Python does not say which."""
    if getattr(error, "errno", None) in FULL:
        return f"cannot write, the disk is full: {error}. Make room; {hint}"
    return str(error)
