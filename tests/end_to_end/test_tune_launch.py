"""A study as a person runs it: killed, resumed by two workers, and its best trained."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SHRUNK = [
    "--config.phantom.images=200",
    "--config.phantom.size=64",
    "--config.batch_size=8",
    "--config.validation_fraction=0.3",
    "--config.validation_images=8",
    "--config.bootstrap_samples=50",
    "--config.evaluations=3",
    "--config.quiet=True",
]
TUNE = [
    "--config=configs/tune_dae.py:net=bottleneck,size=32",
    *SHRUNK,
    "--config.steps=12",
    "--config.model.widths=(4,4)",
    "--config.model.code=4",
    "--config.tuner.fields=optimizer.learning_rate,loss.name",
    "--config.tuner.trials=3",
]


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def study(start: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose first worker was killed in its second trial."""
    folder = tmp_path_factory.mktemp("tune") / "run"
    command = [*TUNE, f"--workdir={folder}"]
    first = start(*command)
    until = time.time() + 240
    while not (folder / "trials" / "0001" / ".lock").exists():
        if first.poll() is not None or time.time() > until:
            break
        time.sleep(0.02)
    first.kill()  # SIGKILL
    _, err = first.communicate()
    assert first.returncode == -signal.SIGKILL, err
    assert (folder / "trials" / "0001" / ".lock").exists(), err
    assert not (folder / "results.json").exists()
    workers = [start(*command) for _ in range(2)]
    for worker in workers:
        _, err = worker.communicate(timeout=900)
        assert worker.returncode == 0, err
    return folder


def test_a_killed_study_goes_on_and_two_workers_share_it(study: Path) -> None:
    found = read(study / "results.json")
    assert found["trials"]["total"] == 3 and found["trials"]["failed"] == 0
    assert (found["data"], found["default"]["number"]) == ("phantom", 0)
    trials = {path.parent.name: read(path) for path in study.glob("trials/*/trial.json")}
    # One more than three were begun: the killed one's parameters have another number.
    assert sorted(trials) == ["0000", "0002", "0003"]
    assert trials["0002"]["retry_of"] == 1
    assert not list(study.glob("trials/*/checkpoints"))
    for name in trials:
        lines = (study / "trials" / name / "metrics.jsonl").read_text().splitlines()
        assert {json.loads(line)["data"] for line in lines} == {"PHANTOM"}
        assert not any(json.loads(line)["split"] == "test" for line in lines)


def test_the_best_is_trained_with_what_the_study_found(
    study: Path, launch: Callable, tmp_path: Path
) -> None:
    best = read(study / "best_config.json")
    assert best["model.widths"] == [4, 4]
    override = f"--config.override={study / 'best_config.json'}"
    status, _, err = launch(
        "--config=configs/dae.py:net=bottleneck,size=32",
        override,
        *SHRUNK,
        "--config.steps=3",
        "--config.evaluate.methods=noisy",
        "--config.evaluate.images=4",
        "--config.evaluate.timing_images=1",
        "--config.evaluate.edges=2",
        f"--workdir={tmp_path / 'run'}",
    )
    assert status == 0, err
    config = read(tmp_path / "run" / "config.json")["config"]
    assert config["model"]["widths"] == [4, 4] and "override" not in config
    if "optimizer.learning_rate" in best:
        assert config["optimizer"]["learning_rate"] == best["optimizer.learning_rate"]


@pytest.mark.slow  # pytest -m slow tests/end_to_end/test_tune_launch.py
def test_forty_trials_beat_the_default_on_validation(launch: Callable, tmp_path: Path) -> None:
    status, _, err = launch(
        "--config=configs/tune_dae.py:data=phantom,size=32",
        *[flag for flag in SHRUNK if "batch_size" not in flag],
        "--config.steps=40",
        "--config.model.width=8",
        "--config.model.blocks=(1,1)",
        f"--workdir={tmp_path / 'run'}",
        timeout=3000,
    )
    assert status == 0, err
    found = read(tmp_path / "run" / "results.json")
    assert found["trials"]["total"] == 40 and found["trials"]["failed"] == 0
    assert found["splits"]["validation"]["gain/psnr"]["value"] > 0.1
