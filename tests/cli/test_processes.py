"""What several processes are told before they wait for each other."""

import ml_collections
import pytest

from covidjax.cli import processes
from covidjax.training.hosts import Place


@pytest.mark.parametrize("experiment", ["eda", "dip", "tune"])
def test_an_experiment_for_one_process_says_so_before_it_waits(experiment):
    config = ml_collections.ConfigDict({"experiment": experiment})
    with pytest.raises(ValueError, match=f"experiment={experiment} runs in one process: .*=1"):
        processes.join(config, Place("localhost:1", 2, 0), "", "", 1)


@pytest.mark.parametrize(
    "place",
    [("", 2, 0), ("host:1", 0, -1), ("host:1", 2, 2), ("host", 2, 0), (":1", 2, 0), ("h:x", 2, 0)],
)
def test_some_of_the_flags_without_the_others_are_refused(place):
    with pytest.raises(ValueError, match="several processes need --coordinator=HOST:PORT"):
        processes.check(Place(*place))
