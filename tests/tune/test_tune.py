"""Studies with a target that trains nothing: order, pruning, failures, kills, workers, results."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import ml_collections
import numpy as np
import pytest
from optuna.trial import TrialState

from configs import tune_dae
from covidjax import tune as wing
from covidjax.data.source import Prepared
from covidjax.runs import workdir
from covidjax.training.signals import StoppedError
from covidjax.tune import experiment as tune
from covidjax.tune import space as tune_space
from covidjax.tune import study as tune_study
from covidjax.tune import target as tune_target

PREPARED = Prepared(Path("prepared"), "phantom", "ab" * 32, {"archive": "archive.zip"})
TRIALS = 14
SEARCHED = "model.width,ema,optimizer.learning_rate"


def study_config(**changes: object) -> ml_collections.ConfigDict:
    config = tune_dae.get_config()
    fields = {"tuner.trials": 12, "tuner.startup": 4, "tuner.fields": SEARCHED, "quiet": True}
    config.update_from_flattened_dict({**fields, **changes})
    return config.lock()


def quality(fields: dict) -> float:
    """In dB; best at a learning rate of 0.005 and a decay of 0.9, the wider the better."""
    rate = np.log10(fields["optimizer.learning_rate"] / 0.005)
    return 30 - rate**2 - 2 * abs(fields["ema"] - 0.9) + fields["model.width"] / 100


def train(fields: dict, folder: Path, report: Callable) -> tune_target.Outcome:
    for part in range(1, 10):
        report(part / 9, quality(fields) - 1 / part)
    return tune_target.Outcome(quality(fields), 100 * fields["model.width"])


def target(trainer: Callable) -> tune_target.Target:
    about = ("Validation PSNR (dB)", "gaussian", 7, "9 pixels", "")
    return tune_target.Target(PREPARED, "split", "psnr", *about, trainer)


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Sets what trains in place of the denoiser."""

    def use(trainer: Callable) -> None:
        monkeypatch.setitem(tune_target.TARGETS, "dae", lambda config: target(trainer))

    use(train)
    return use


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def opened(folder: Path, config: ml_collections.ConfigDict) -> tune_study.Work:
    folder.mkdir(exist_ok=True)
    fields = {"model.width": 32, "ema": 0.999, "optimizer.learning_rate": 0.002}
    return tune_study.Work(config, "study", folder, fields)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("tune") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tune_target.TARGETS, "dae", lambda config: target(train))
        return folder, tune.run(study_config(**{"tuner.trials": TRIALS}), folder)


def test_the_default_comes_first_and_the_best_beats_it(finished: tuple[Path, dict]) -> None:
    folder, found = finished
    assert found["default"]["number"] == 0 and found["default"]["state"] == "complete"
    fields = {"model.width": 32, "ema": 0.999, "optimizer.learning_rate": 0.002}
    assert found["default"]["fields"] == fields
    figures = found["splits"]["validation"]
    assert figures["default/psnr"] == {"value": quality(fields), "ci95": None, "n": 7}
    assert figures["best/psnr"]["value"] == quality(found["best"]["fields"])
    gain = figures["best/psnr"]["value"] - figures["default/psnr"]["value"]
    assert figures["gain/psnr"]["value"] == pytest.approx(gain) and gain > 0.1


def test_results_have_the_form_of_the_contract(finished: tuple[Path, dict]) -> None:
    _, found = finished
    assert (found["experiment"], found["task"], found["data"]) == ("tune", "gaussian", "phantom")
    assert found["seed"] == 0 and "PHANTOM" in found["warning"]
    counts = found["trials"]
    assert counts["total"] == TRIALS == counts["complete"] + counts["pruned"] + counts["failed"]
    assert counts["complete"] > 2 and counts["pruned"] > 3 and counts["failed"] == 0
    assert found["command"].endswith("--config=configs/dae.py --config.override=best_config.json")
    shares = found["importances"]["first"]["shares"]
    assert shares.keys() == set(SEARCHED.split(",")) and sum(shares.values()) == pytest.approx(1)


def test_the_study_leaves_its_files_with_the_phantoms_mark(finished: tuple[Path, dict]) -> None:
    folder, found = finished
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures == {"history.png", "parallel.png", "importances.png", "pareto.png"}
    table = (folder / "trials.csv").read_text().splitlines()
    assert len(table) == TRIALS + 1 and all(line.endswith(",PHANTOM") for line in table[1:])
    for number in range(TRIALS):
        trial = read(folder / "trials" / f"{number:04d}" / "trial.json")
        assert trial["number"] == number and "PHANTOM" in trial["warning"]
        assert (trial["state"] == "pruned") == trial["reason"].startswith("pruned at")
    assert read(folder / "config.json")["versions"]["optuna"][0].isdigit()
    assert not list(folder.rglob("*.tmp"))


def test_best_config_holds_what_is_no_default_and_nothing_else(
    finished: tuple[Path, dict],
) -> None:
    folder, found = finished
    best = read(folder / "best_config.json")
    default = found["default"]["fields"]
    assert best == {k: v for k, v in found["best"]["fields"].items() if v != default[k]}
    assert best


def test_pruned_trials_saw_less_of_the_budget(finished: tuple[Path, dict]) -> None:
    work = opened_again(finished[0])
    for trial in work.study.get_trials():
        parts = max(trial.intermediate_values)
        assert (parts < 9) == (trial.state == TrialState.PRUNED)


def opened_again(folder: Path) -> tune_study.Work:
    config = study_config(**{"tuner.trials": TRIALS})
    return tune_study.Work(
        config, tune.study_name(tune.resolved(config, "phantom"), target(train)), folder, {}
    )


def test_a_finished_study_is_left_alone_and_can_be_given_more_trials(
    targets: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    tune.run(study_config(**{"tuner.trials": 3}), tmp_path / "run")
    before = (tmp_path / "run" / "results.json").stat().st_mtime_ns
    tune.run(study_config(**{"tuner.trials": 3}), tmp_path / "run")
    assert "is finished" in capsys.readouterr().out
    assert (tmp_path / "run" / "results.json").stat().st_mtime_ns == before
    found = tune.run(study_config(**{"tuner.trials": 5}), tmp_path / "run")
    assert found["trials"]["total"] == 5
    with pytest.raises(workdir.WorkdirError, match="steps: 100 there, 7 now"):
        tune.run(study_config(steps=7), tmp_path / "run")


def test_the_same_seed_suggests_the_same_and_restarts_do_not_repeat(
    targets: Callable, tmp_path: Path, finished: tuple[Path, dict]
) -> None:
    for trials in (4, 9):  # in two processes, as it were
        tune.run(study_config(**{"tuner.trials": trials}), tmp_path / "run")
    again = [
        read(tmp_path / "run" / "trials" / f"{n:04d}" / "trial.json")["fields"] for n in range(9)
    ]
    once = [read(finished[0] / "trials" / f"{n:04d}" / "trial.json")["fields"] for n in range(9)]
    assert again == once
    assert len({json.dumps(fields) for fields in again}) == 9


def test_a_trial_that_cannot_be_trained_is_failed_with_its_reason(
    targets: Callable, tmp_path: Path
) -> None:
    def spoiled(fields: dict, folder: Path, report: Callable) -> tune_target.Outcome:
        number = int(folder.name)
        if number == 1:
            raise ValueError("batch_size 3 is not\ndivisible by 8 devices")
        report(0.5, float("nan") if number == 2 else 20.0)
        return tune_target.Outcome(20.0 + number, 5)

    targets(spoiled)
    found = tune.run(study_config(**{"tuner.trials": 4, "tuner.pruner": "none"}), tmp_path / "run")
    assert found["trials"] == {"total": 4, "complete": 2, "pruned": 0, "failed": 2}
    assert found["failures"] == {
        "1": "ValueError: batch_size 3 is not divisible by 8 devices",
        "2": "NonFiniteError: validation psnr is nan at 50%",
    }


def test_a_study_without_a_complete_trial_says_why(targets: Callable, tmp_path: Path) -> None:
    def never(fields: dict, folder: Path, report: Callable) -> tune_target.Outcome:
        raise FloatingPointError("loss is nan at step 3")

    targets(never)
    with pytest.raises(ValueError, match="none of 2 trials was completed: .*loss is nan"):
        tune.run(study_config(**{"tuner.trials": 2}), tmp_path / "run")


def test_a_stopped_trial_is_the_next_ones(targets: Callable, tmp_path: Path) -> None:
    seen: list[dict] = []

    def stopped(fields: dict, folder: Path, report: Callable) -> tune_target.Outcome:
        seen.append(fields)
        if len(seen) == 3:
            raise StoppedError("stopped", 15)
        return train(fields, folder, report)

    targets(stopped)
    with pytest.raises(StoppedError):
        tune.run(study_config(**{"tuner.trials": 5}), tmp_path / "run")
    found = tune.run(study_config(**{"tuner.trials": 5}), tmp_path / "run")
    assert seen[3] == seen[2] and len(seen) == 6
    assert found["trials"]["total"] == 5 and found["trials"]["failed"] == 0


def take(folder: Path, ready: Callable, done: Callable) -> None:
    """Another process with a trial under way."""
    config = study_config()
    work = opened(folder, config)
    with work.next_trial(tune_space.searched(config)) as taken:
        assert taken is not None
        ready()
        done()


def test_a_killed_workers_trial_is_tried_again_and_a_living_ones_is_not(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=take, args=(tmp_path / "run", ready.set, done.wait))
    process.start()
    try:
        assert ready.wait(120)
        config = study_config(**{"tuner.trials": 2})
        work, space = opened(tmp_path / "run", config), tune_space.searched(config)
        with work.next_trial(space) as taken:
            assert taken[0].number == 1 and "default" not in taken[0].user_attrs
            with work.next_trial(space) as third:
                assert third is None  # all of two are taken
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with work.next_trial(space) as taken:
            trial, fields = taken
            assert trial.number == 2 and trial.user_attrs["default"]
            assert fields == {"model.width": 32, "ema": 0.999, "optimizer.learning_rate": 0.002}
            marks = {name: trial.user_attrs[name] for name in ("retry_of", "attempt")}
            assert marks == {"retry_of": 0, "attempt": 2}
    finally:
        process.kill()
        process.join()


def test_a_trial_that_kills_its_process_is_not_tried_for_ever(tmp_path: Path) -> None:
    config = study_config(**{"tuner.trials": 1})
    work, space = opened(tmp_path / "run", config), tune_space.searched(config)
    for attempt in range(1, tune_study.ATTEMPTS + 1):
        with work.next_trial(space) as taken:
            assert taken[0].user_attrs.get("attempt", 1) == attempt
        # Left running, without its lock: as a killed process leaves it.
    with work.next_trial(space) as taken:
        assert taken is None
    [trial] = tune_study.counted(work.study.get_trials())
    assert trial.state == TrialState.FAIL
    assert tune_study.reason(trial) == "its process died (3 times)"


def test_a_storage_that_cannot_be_opened_is_one_line_without_the_password(tmp_path: Path) -> None:
    url = "nosuch://me:secret@host/db"
    with pytest.raises(ValueError) as caught:
        opened(tmp_path / "run", study_config(**{"tuner.storage": url}))
    line = str(caught.value)
    assert line.startswith("config.tuner.storage=nosuch://me:***@host/db cannot be opened")
    assert "\n" not in line and "secret" not in line


def test_a_storage_of_ones_own_is_used(targets: Callable, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    tune.run(study_config(**{"tuner.trials": 2, "tuner.storage": url}), tmp_path / "run")
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "run" / "study.db").exists()


def test_without_optuna_the_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("report", "study"):
        monkeypatch.delitem(sys.modules, f"covidjax.tune.{name}", raising=False)
        monkeypatch.delattr(wing, name, raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"needs optuna, .*: pip install -e '.\[tune\]'"):
        tune.run(study_config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
