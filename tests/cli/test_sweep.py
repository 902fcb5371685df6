"""Sweeps: whose points are whose, going on, failing, and the table. The runs here are pretended."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from configs import cnn, dae, resnet
from covidjax.cli import sweep
from covidjax.runs.flat import flatten

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs" / "cnn.py")

# Stands for launch.py: writes the results of its seed, or fails with seed 1, or waits.
PRETENDED = """
import json, pathlib, signal, sys, time
flags = dict(flag.lstrip("-").partition("=")[::2] for flag in sys.argv[1:])
workdir, seed = pathlib.Path(flags["workdir"]), int(flags["config.seed"])
workdir.mkdir(parents=True, exist_ok=True)
with (workdir / "calls").open("a") as file:
    file.write("x")
if flags.get("config.task") == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    time.sleep(60)
if seed == 1 and not flags.get("config.ema"):
    print("\\rTraining 10%\\rlaunch.py: loss is nan at step 7", file=sys.stderr)
    sys.exit(2)
figure = {"value": 0.9 + seed / 100, "ci95": [0.8, 0.95], "n": 10}
splits = {"test": {"auroc": figure, "f1": figure}, "validation": {"auroc": figure}}
results = {"experiment": "classify", "data": "phantom", "seconds": 1.5, "splits": splits}
(workdir / "results.json").write_text(json.dumps(results))
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "pretended.py"
    path.write_text(PRETENDED)
    return str(path)


def run(script: str, workdir: Path, *flags: str, sweeps: str = "seeds", **options) -> int:
    config = cnn.get_config("task=pneumonia")
    typed = [script, "--config=configs/cnn.py", "--sweep", "seeds", f"--workdir={workdir}", *flags]
    return sweep.run(config, {}, typed, workdir, path=CONFIG, sweeps=sweeps, **options)


def calls(workdir: Path) -> dict[str, int]:
    return {path.parent.name: len(path.read_text()) for path in workdir.glob("*/calls")}


def test_points_are_command_lines_of_their_own(tmp_path: Path) -> None:
    typed = ["launch.py", "--config=c.py", "--sweep", "--shard", "0/2", "--dry", "--config.ema=0.5"]
    typed += ["--workdir", "there", "--config.override=best.json"]
    points = sweep.make_points(
        cnn.get_config(), {}, typed, tmp_path, path=CONFIG, sweeps="seeds,convs"
    )
    assert [point.name for point in points][:4] == [
        "seed0-convs1",
        "seed0-convs2",
        "seed0-convs3",
        "seed1-convs1",
    ]
    assert points[1].command == [
        sys.executable,
        *("launch.py", "--config=c.py", "--config.ema=0.5", "--config.override=best.json"),
        *("--config.seed=0", "--config.model.convs=2", f"--workdir={tmp_path / 'seed0-convs2'}"),
    ]


def test_each_point_has_checkpoints_of_its_own(tmp_path: Path) -> None:
    config = cnn.get_config()
    config.checkpoint_dir = "gs://bucket/sweep"
    explicit = {"checkpoint_dir": config.checkpoint_dir}
    points = sweep.make_points(config, explicit, ["x"], tmp_path, path=CONFIG, sweeps="seeds")
    assert "--config.checkpoint_dir=gs://bucket/sweep/seed1" in points[1].command


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_share_all_points_among_them(count: int) -> None:
    points = list(range(10))
    parts = [points[sweep.part_of(f"{index}/{count}")] for index in range(count)]
    assert sorted(sum(parts, [])) == points
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert points[sweep.part_of("")] == points


@pytest.mark.parametrize("shard", ["1", "2/2", "-1/2", "a/b", "1/0", "1/2/3"])
def test_what_is_no_shard_is_refused(shard: str) -> None:
    with pytest.raises(ValueError, match="SLURM_ARRAY_TASK_ID"):
        sweep.part_of(shard)


def test_a_failed_point_stops_no_other_and_is_named(script, tmp_path, capfd) -> None:
    assert run(script, tmp_path / "s") == 1
    out, err = capfd.readouterr()
    assert err.splitlines()[-1] == "launch.py: 1 of 3 points failed: seed1"
    assert "seed1: launch.py: loss is nan at step 7" in out and "PHANTOM" in out
    table = pd.read_csv(tmp_path / "s" / "summary.csv").set_index("point")
    assert list(table["state"]) == ["finished", "failed", "finished"]
    assert table.loc["seed2", "test/auroc"] == 0.92 and table.loc["seed2", "data"] == "PHANTOM"
    assert table.loc["seed0", "test/f1_low"] == 0.8
    # Again: what is finished is skipped, what failed is tried again.
    assert run(script, tmp_path / "s") == 1
    assert calls(tmp_path / "s") == {"seed0": 1, "seed1": 2, "seed2": 1}
    # With another field all are other runs, whose own check decides what their folders hold.
    assert run(script, tmp_path / "s", "--config.ema=0.5") == 0
    assert calls(tmp_path / "s") == {"seed0": 2, "seed1": 3, "seed2": 2}
    assert "test/auroc: 0.910 ± 0.010 over 3 seeds" in capfd.readouterr().out


def test_shards_do_their_own_and_the_table_has_all(script, tmp_path, capfd) -> None:
    assert run(script, tmp_path / "s", shard="0/2") == 0
    assert sorted(calls(tmp_path / "s")) == ["seed0", "seed2"]
    states = pd.read_csv(tmp_path / "s" / "summary.csv")["state"]
    assert list(states) == ["finished", "waiting", "finished"]
    capfd.readouterr()
    assert run(script, tmp_path / "t", dry=True) == 0
    assert capfd.readouterr().out.count("waiting") == 3
    assert not (tmp_path / "t").exists()


def test_a_stop_reaches_the_point_and_the_next_start_goes_on(script, tmp_path) -> None:
    """In a process of its own, which is told to stop while a point runs."""
    code = f"""
import signal, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from configs import cnn
from covidjax.cli import sweep
from covidjax.training.signals import StoppedError
def stop(number, _):
    raise StoppedError("stopped", number)
signal.signal(signal.SIGTERM, stop)
typed = [{script!r}, "--config.task=wait"]
try:
    there = Path({str(tmp_path / "s")!r})
    sweep.run(cnn.get_config(), {{}}, typed, there, path={CONFIG!r}, sweeps="seeds")
except StoppedError as error:
    print(error)
    sys.exit(128 + error.signal)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    while not (tmp_path / "s" / "seed0" / "calls").exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)  # until it listens
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 143 and "stopped at seed0" in out
    known = json.loads((tmp_path / "s" / "points" / "seed0.json").read_text())
    assert known["state"] == "stopped"
    assert run(script, tmp_path / "s", "--config.ema=0.5") == 0
    assert calls(tmp_path / "s") == {"seed0": 2, "seed1": 1, "seed2": 1}


@pytest.mark.parametrize("config", [cnn, resnet, dae], ids=lambda module: module.__name__)
def test_shipped_sweeps_set_fields_that_exist_to_values_of_their_kind(config) -> None:
    made = config.get_config()
    fields = flatten(made.to_dict())
    sweeps = config.sweep(made)
    assert list(sweeps)[0] == "seeds"
    for points in sweeps.values():
        assert len(points) > 1
        for changes in points.values():
            assert {type(fields[name]) for name in changes} == {type(v) for v in changes.values()}


def test_folds_are_swept_where_there_are_folds() -> None:
    covid = cnn.get_config()
    assert [p["fold"] for p in cnn.sweep(covid)["folds"].values()] == ["0", "1", "2", "3", "4"]
    assert "folds" not in cnn.sweep(cnn.get_config("task=pneumonia"))
    assert "depths" not in resnet.sweep(resnet.get_config("init=run:x"))


def test_a_config_without_sweeps_says_so(tmp_path) -> None:
    eda = str(ROOT / "configs" / "eda.py")
    with pytest.raises(ValueError, match=r"eda\.py has no sweep\(\)"):
        sweep.make_points(cnn.get_config(), {}, [], tmp_path, path=eda, sweeps="")


def test_a_sweep_into_a_runs_folder_is_refused(script, tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds a run"):
        run(script, tmp_path)
