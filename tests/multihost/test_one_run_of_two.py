"""Two processes with four devices each: the same run as one; killed, stopped and resumed.

`pytest -m slow tests/multihost` also hangs a process, kills the coordinator, fills disks, takes a
part out of a checkpoint, and tries other numbers of processes and devices (7 busy minutes).
"""

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starting import Process, lines, until

RUN = ["--config.epochs=40", "--config.evaluations=10", "--peer_timeout=30"]
FSDP = ["--config.sharding=fsdp", "--config.shard_from=0"]
# Of losses, relative: what other orders of the same sums may change in 40 steps.
TOLERANCE = 2e-3
# Gloo's threads print the parts of their line on connections in any order, also within a line.
GLOO = r"\[Gloo\] Rank|is connected to|peer ranks\.|Expected number of connected peer ranks is :"


def saved(folder: Path) -> list[int]:
    """Steps of the whole checkpoints to go on from."""
    names = [path.name for path in (folder / "checkpoints/fold0/last").glob("*")]
    return sorted(int(name) for name in names if name.isdigit())


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def past(folder: Path, step: int, processes: list[Process]) -> None:
    """Waits until a later step is saved."""
    until(lambda: max(saved(folder), default=0) > step, processes)


def assert_same_run(folder: Path, other: Path) -> None:
    """The same losses up to the tolerance, at the same steps, and the same counts in the end."""
    ours, theirs = lines(folder), lines(other)
    assert ours.keys() == theirs.keys()
    for step, line in theirs.items():
        np.testing.assert_allclose(ours[step]["loss"], line["loss"], rtol=TOLERANCE, err_msg=step)
    found, expected = read(folder), read(other)
    assert found["confusion_matrix"] == expected["confusion_matrix"]
    for split, figures in expected["splits"].items():
        for name in ("accuracy", "auroc", "sensitivity", "specificity"):
            assert found["splits"][split][name] == figures[name], (split, name)


@pytest.fixture(scope="module")
def alone(begin_all, tmp_path_factory) -> Path:
    """The undisturbed run of one process with one device."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    (one,) = begin_all(*RUN, f"--workdir={folder}", processes=1, devices=1)
    assert one.wait(600) == 0, one.err
    return folder


def test_two_processes_give_the_losses_and_the_counts_of_one(begin, alone, tmp_path):
    folder = tmp_path / "run"
    both = begin(*RUN, f"--workdir={folder}")
    assert [process.wait(600) for process in both] == [0, 0], both[0].err + both[1].err
    assert_same_run(folder, alone)
    # Only the coordinator says and writes anything.
    assert "PHANTOM" in both[0].err and not both[1].err
    assert not re.sub(rf"{GLOO}|[\d\s]", "", both[1].out), both[1].out
    assert (folder / "metrics.jsonl").read_text().count('"step": 1,') == 1
    assert len(json.loads((folder / "config.json").read_text())["devices"]) == 8


def test_a_killed_and_a_stopped_run_of_two_is_finished_by_one(begin, alone, tmp_path):
    """kill -9 of one process, then SIGTERM to one, with a state that is cut over all devices."""
    folder = tmp_path / "run"
    at = f"--workdir={folder}"
    both = begin(*RUN, *FSDP, "--peer_timeout=10", at)
    past(folder, 0, both)
    both[1].send(signal.SIGKILL)
    assert both[0].wait(120) == 75
    line = f"launch.py: process 1 is lost: killed, crashed, or cut off. The same command with {at}"
    assert f"{line} resumes" in both[0].err and "stack trace" not in both[0].err

    killed = max(saved(folder))
    both = begin(*RUN, *FSDP, f"--workdir={folder}")
    past(folder, killed, both)
    both[1].send(signal.SIGTERM)
    assert [process.wait(300) for process in both] == [128 + signal.SIGTERM] * 2
    stopped = max(saved(folder))
    assert killed < stopped < 40
    for process in both:  # at the same step
        assert f"stopped at step {stopped}/40 of fold0, saved" in process.err
        assert f"the same command with {at} resumes" in process.err

    (one,) = begin(*RUN, f"--workdir={folder}", processes=1, devices=2)
    assert one.wait(600) == 0, one.err
    assert_same_run(folder, alone)  # so the order of the data has been kept


def test_where_a_process_does_not_come_the_line_says_how_many_should_have(begin, tmp_path):
    arguments = ["--peer_timeout=10", f"--workdir={tmp_path / 'run'}"]
    some = begin(*arguments, processes=4, only=[0, 2])
    late = begin(*arguments, processes=2, only=[1])[0]
    for process, count in ((some[0], 4), (some[1], 4), (late, 2)):
        assert process.wait(120) == 75
        assert "launch.py: not all processes came together at localhost:" in process.err
        assert f": {count} should have." in process.err and process.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_another_config_is_said_by_the_process_that_has_it(begin, tmp_path):
    folder = f"--workdir={tmp_path / 'run'}"
    both = begin("--peer_timeout=10", folder, each={1: ["--config.seed=7"]})
    assert both[1].wait(120) == 2
    assert "process 1 has config.seed=7, process 0 has 0: give all processes" in both[1].err
    assert both[0].wait(120) == 75 and "process 1 is lost" in both[0].err


@pytest.mark.slow
def test_a_coordinator_that_is_killed_and_a_process_that_hangs_are_named(begin, alone, tmp_path):
    folder = tmp_path / "run"
    both = begin(*RUN, *FSDP, "--peer_timeout=10", f"--workdir={folder}")
    past(folder, 0, both)
    both[0].send(signal.SIGKILL)
    assert both[1].wait(120) == 75, both[1].err
    assert "launch.py: process 0, the coordinator, is lost or has ended" in both[1].err

    both = begin(*RUN, *FSDP, "--peer_timeout=10", f"--workdir={folder}")
    past(folder, max(saved(folder)), both)
    both[1].send(signal.SIGSTOP, child=True)
    assert both[0].wait(120) == 75
    assert "launch.py: process 1 is lost" in both[0].err
    both[1].send(signal.SIGKILL, child=True)

    (one,) = begin(*RUN, f"--workdir={folder}", processes=1, devices=1)
    assert one.wait(600) == 0, one.err
    assert_same_run(folder, alone)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{1: 2000}, {0: 6000}, {0: 10_500}])
def test_a_full_disk_ends_all_processes(begin, alone, tmp_path, limit):
    """Of a process that writes its part of a checkpoint, of the coordinator in three places."""
    folder = tmp_path / "run"
    both = begin(*RUN, *FSDP, f"--workdir={folder}", most_bytes=limit)
    (full,) = limit
    assert both[full].wait(60) == 2 and both[1 - full].wait(120) == 75
    assert "launch.py: cannot write" in both[full].err and "resumes" in both[full].err
    assert f"process {full}" in both[1 - full].err and "lost" in both[1 - full].err
    assert "Traceback" not in both[0].err + both[1].err
    (one,) = begin(*RUN, f"--workdir={folder}", processes=1, devices=1)
    assert one.wait(600) == 0, one.err
    assert_same_run(folder, alone)


@pytest.mark.slow
def test_a_checkpoint_without_the_part_of_a_process_is_set_aside(begin, tmp_path):
    folder = tmp_path / "run"
    # Arrays of up to 100 bytes lie in the common part.
    command = [*RUN, *FSDP, "--config.model.widths=(64,)", f"--workdir={folder}"]
    both = begin(*command)
    past(folder, 4, both)
    both[0].send(signal.SIGTERM)
    assert [process.wait(300) for process in both] == [143, 143]
    newest = folder / "checkpoints/fold0/last" / str(max(saved(folder)))
    shutil.rmtree(newest / "state" / "ocdbt.process_1")
    both = begin(*command)
    assert [process.wait(600) for process in both] == [0, 0], both[0].err
    assert f"last/{newest.name} is broken" in both[0].err and not both[1].err
    assert list(lines(folder)) == list(range(1, 41))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "devices", "options"),
    [
        (1, 2, []),
        (1, 4, FSDP),
        (1, 8, [*FSDP, "--config.shards=2"]),
        (2, 1, []),
        (2, 2, [*FSDP, "--config.shards=2"]),
        (2, 4, FSDP),
        (4, 2, FSDP),
    ],
)
def test_any_number_of_processes_and_devices_gives_the_same_run(
    begin, alone, tmp_path, processes, devices, options
):
    folder = tmp_path / "run"
    all_of_them = begin(*RUN, *options, f"--workdir={folder}", processes=processes, devices=devices)
    assert [process.wait(200) for process in all_of_them] == [0] * processes, all_of_them[0].err
    assert_same_run(folder, alone)


@pytest.mark.slow
def test_a_denoiser_is_trained_by_two_processes(begin, tmp_path):
    arguments = [
        "--config=configs/dae.py:data=phantom",
        "--config.steps=6",
        "--config.evaluate.images=4",
    ]
    arguments += [
        "--config.phantom.images=200",
        "--config.phantom.size=64",
        "--config.data.size=32",
    ]
    arguments += ["--config.model.width=8", "--config.evaluate.methods="]
    arguments += ["--config.evaluations=2", "--config.validation_images=4"]
    found = []
    for processes, devices in ((1, 1), (2, 2)):
        folder = tmp_path / str(processes)
        ran = begin(
            *arguments,
            "--config.model.kernels=plain",
            "--config.log_every=1",
            "--config.bootstrap_samples=20",
            f"--workdir={folder}",
            processes=processes,
            devices=devices,
            tiny=False,
        )
        assert [process.wait(200) for process in ran] == [0] * processes, ran[0].err
        found.append(folder)
    for step, line in lines(found[0]).items():
        np.testing.assert_allclose(lines(found[1])[step]["loss"], line["loss"], rtol=TOLERANCE)
