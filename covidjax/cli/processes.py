"""A run by several processes, as the command line starts it."""

import os
import sys

import jax
import ml_collections

from covidjax.runs import devices
from covidjax.runs.workdir import decisive
from covidjax.training import hosts
from covidjax.training.hosts import Place

SPREAD = ("classify", "denoise")  # the experiments that several processes can share


def check(place: Place) -> None:
    """Raises PeerError for some of the three flags without the others."""
    host, _, port = place.coordinator.rpartition(":")
    whole = host and port.isdecimal() and 0 < int(port) < 2**16
    if place == ("", 0, -1) or (whole and 0 <= place.process < place.processes):
        return
    raise hosts.PeerError(
        "several processes need --coordinator=HOST:PORT --processes=N --process=I with I from 0 to "
        f"N-1; got --coordinator={place.coordinator} --processes={place.processes} "
        f"--process={place.process}"
    )


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
    check(place)
    if config.experiment not in SPREAD:
        raise ValueError(
            f"config.experiment={config.experiment} runs in one process: start it once, or give "
            "--processes=1"
        )
    hosts.start(place, wait)
    devices.prepare()
    if not hosts.is_coordinator():
        config.quiet = True
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    hosts.check_same({"jax": jax.__version__, "--workdir": given, **decisive(config)})
    return hosts.share(own)
