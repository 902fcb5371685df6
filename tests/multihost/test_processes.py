"""Two processes with four devices each: the same run as one; killed, stopped, and gone on with."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import lines, until

SHORT = ["--config.epochs=6", "--config.evaluations=3"]
# Cut over all devices; long enough to be cut off, short enough to be finished.
LONG = ["--config.epochs=100", "--config.evaluations=25", "--peer_timeout=4"]
FSDP = ["--config.sharding=fsdp", "--config.shard_from=0"]
# Of losses, relative: what other orders of the same sums may change over some steps.
TOLERANCE = 2e-3


def saved(folder: Path) -> list[int]:
    """Steps of the whole checkpoints to go on from."""
    names = [path.name for path in (folder / "checkpoints/fold0/last").glob("*")]
    return sorted(int(name) for name in names if name.isdigit())


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def assert_same_losses(folder: Path, other: Path, steps: range) -> None:
    ours, theirs = lines(folder), lines(other)
    for step in steps:
        one, two = ours[step]["loss"], theirs[step]["loss"]
        np.testing.assert_allclose(one, two, rtol=TOLERANCE, err_msg=f"step {step}")


@pytest.fixture(scope="module")
def alone(begin_all, tmp_path_factory):
    """The undisturbed runs of one process with one device."""
    folder = tmp_path_factory.mktemp("alone")
    for name, length in (("short", SHORT), ("long", LONG)):
        (one,) = begin_all(*length, f"--workdir={folder / name}", processes=1, devices=1)
        assert one.wait(120) == 0, one.err
    return folder


def test_two_processes_give_the_losses_and_the_counts_of_one(begin, alone, tmp_path):
    both = begin(*SHORT, f"--workdir={tmp_path / 'run'}")
    assert [process.wait(120) for process in both] == [0, 0], both[0].err + both[1].err
    steps = lines(alone / "short")
    assert len(steps) >= 6 and lines(tmp_path / "run").keys() == steps.keys()
    assert_same_losses(tmp_path / "run", alone / "short", range(1, len(steps) + 1))
    found, expected = read(tmp_path / "run"), read(alone / "short")
    assert found["confusion_matrix"] == expected["confusion_matrix"]
    for split, figures in expected["splits"].items():
        for name in ("accuracy", "auroc", "sensitivity", "specificity"):
            assert found["splits"][split][name]["value"] == figures[name]["value"], (split, name)
    # Only the coordinator says and writes anything.
    assert "PHANTOM" in both[0].err and "PHANTOM" not in both[1].err and not both[1].out
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count('"step": 1,') == 1
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert len(written["devices"]) == 8


def test_whatever_ends_a_run_is_named_and_one_process_finishes_it(begin, alone, tmp_path):
    """kill -9 of a process and of the coordinator, a hung one, SIGTERM to one of them."""
    folder = tmp_path / "run"

    def start(after: int) -> list[Any]:
        both = begin(*LONG, *FSDP, f"--workdir={folder}")
        until(lambda: max(saved(folder), default=0) > after, both)
        return both

    both = start(4)
    both[1].send(signal.SIGKILL)
    assert both[0].wait(10) == 75
    assert f"process 1 (pid {both[1].pid} on" in both[0].err and "is gone" in both[0].err
    assert f"The same command with --workdir={folder} goes on" in both[0].err

    both = start(max(saved(folder)))
    both[0].send(signal.SIGKILL)
    assert both[1].wait(10) == 75
    assert f"process 0 (pid {both[0].pid} on" in both[1].err and "is gone" in both[1].err

    both = start(max(saved(folder)))
    both[1].send(signal.SIGSTOP)
    assert both[0].wait(4 + 10) == 75
    assert f"process 1 (pid {both[1].pid} on" in both[0].err
    assert "has not answered for 4 s" in both[0].err
    both[1].send(signal.SIGKILL)
    both[1].wait(10)

    both = start(max(saved(folder)))
    both[1].send(signal.SIGTERM)
    assert [process.wait(30) for process in both] == [128 + signal.SIGTERM] * 2
    stopped = max(saved(folder))
    for process in both:
        assert f"stopped at step {stopped}/" in process.err
        assert f"saved; the same command with --workdir={folder} goes on" in process.err

    (one,) = begin(*LONG, f"--workdir={folder}", processes=1, devices=2)
    assert one.wait(120) == 0, one.err
    reached = lines(folder)
    assert reached.keys() == lines(alone / "long").keys()
    # Each stop and start has kept the order of the data, and all that the steps depend on.
    assert_same_losses(folder, alone / "long", range(1, stopped + 5))
    assert read(folder)["splits"].keys() == read(alone / "long")["splits"].keys()


def test_a_full_disk_ends_all_processes_with_one_message_and_leaves_what_was_there(begin, tmp_path):
    folder = tmp_path / "run"
    both = begin(*LONG, f"--workdir={folder}", most_bytes={0: 3000})
    assert [process.wait(120) for process in both] == [2, 2]
    print(both[0].err, both[1].err)


def test_a_process_that_does_not_come_is_named_and_nothing_is_written(begin, tmp_path):
    arguments = ["--peer_timeout=2", f"--workdir={tmp_path / 'run'}"]
    some = begin(*arguments, processes=4, only=[0, 2])
    for process in some:
        assert process.wait(2 + 10) == 2
        assert "processes 1, 3 of 4 did not come to localhost:" in process.err
        assert process.err.count("\n") == 1
    (late,) = begin(*arguments, processes=2, only=[1])
    assert late.wait(2 + 10) == 2
    assert "process 0 of 2, the coordinator at localhost:" in late.err
    assert late.err.count("\n") == 1 and not (tmp_path / "run").exists()
