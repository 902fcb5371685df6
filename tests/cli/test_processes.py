"""What several processes are told before they wait for each other."""

import errno

import ml_collections
import pytest

from covidjax.cli import processes
from covidjax.training.channel import Place


@pytest.mark.parametrize("experiment", ["eda", "dip", "tune"])
def test_an_experiment_for_one_process_says_so_before_it_waits(experiment):
    config = ml_collections.ConfigDict({"experiment": experiment})
    with pytest.raises(ValueError, match=f"experiment={experiment} runs in one process: .*=1"):
        processes.join(config, Place("localhost:1", 2, 0), "", "", 1)


def test_of_a_full_disk_the_message_says_what_to_do():
    full = OSError(errno.ENOSPC, "No space left on device")
    assert processes.explained(full, "do it again").endswith("on device. Make room; do it again")
    assert processes.explained(OSError(errno.EACCES, "Permission denied"), "x").endswith("denied")
    assert processes.explained(ValueError("what"), "x") == "what"
