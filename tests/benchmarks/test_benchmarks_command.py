"""`python -m benchmarks`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.compare import Result
from benchmarks.worker import Side, Worker, WorkerError

ROOT = Path(__file__).resolve().parents[2]


def failing(message: str) -> Side:
    """A side that cannot be set up."""
    raise ValueError(message)


def breaking() -> Side:
    """A side that fails on its first turn, and prints what is no answer."""

    def turn() -> float:
        raise ValueError("broken turn")

    print("a library's chatter")
    return Side(turn, "a note")


def counting(amount: float) -> Side:
    """A side that works."""
    return Side(lambda: amount)


def test_help_names_every_benchmark(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in command.BENCHMARKS)
    assert 'pip install -e ".[bench]"' in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=resnet18"], "'resnet18', did you mean resnet18_train"),
        (["--only=build,nonsense"], "'nonsense'"),
        (["--only=build", "--pairs=0"], "--pairs=0: at least 1"),
        (["--only=build", "--archive=missing.zip"], "--archive=missing.zip: there is no such file"),
        (["--only=build", "--json=missing/a.json"], "--json=missing/a.json: there is no folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(arguments, message, capsys):
    assert command.main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") == 1 and not shown.out


def test_without_torch_its_names_are_one_line_and_the_others_run(tmp_path):
    (tmp_path / "figures").mkdir()
    code = (
        "import importlib.util, sys; from benchmarks import __main__ as command\n"
        "from benchmarks.compare import Result\n"
        # As on a machine without it.
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'torch' else find(name)\n"
        "command.BENCHMARKS['build'] = lambda settings: [Result('build', 'images/s', [1.0])]\n"
        "sys.exit(command.main(sys.argv[1:]))"
    )

    def run(only: str) -> subprocess.CompletedProcess[str]:
        arguments = [f"--only={only}", f"--json={tmp_path}/figures/a.json"]
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True
        )

    alone = run("cnn_train")
    assert alone.returncode == 2 and alone.stderr.count("\n") == 1
    assert 'cnn_train: no PyTorch; pip install -e ".[bench]"' in alone.stderr
    both = run("cnn_train,build")
    assert both.returncode == 0
    assert list(json.loads((tmp_path / "figures" / "a.json").read_text())) == ["build"]


def test_a_failed_benchmark_does_not_take_the_others_with_it(monkeypatch, tmp_path, capsys):
    def fails(settings):
        yield Result("first", "s", [1.0])
        raise WorkerError("no compiler")

    def works(settings):
        yield Result("second", "s", [float(settings.pairs)])

    monkeypatch.setattr(command, "BENCHMARKS", {"build": fails, "scaling": works})
    assert command.main(["--pairs=3", f"--json={tmp_path}/a.json"]) == 1
    found = json.loads((tmp_path / "a.json").read_text())
    assert {name: entry["ours"] for name, entry in found.items()} == {"first": 1.0, "second": 3.0}
    assert "build: no compiler" in capsys.readouterr().err


HERE = Path(__file__).resolve().parent


def here(function: str, **options: object) -> Worker:
    """A worker of a function of this file."""
    return Worker(f"{Path(__file__).stem}:{function}", options, {"PYTHONPATH": str(HERE)})


def test_a_worker_that_cannot_start_says_why():
    with (
        pytest.raises(WorkerError, match="failing failed: ValueError: bad option"),
        here("failing", message="bad option"),
    ):
        pass


def test_a_worker_that_breaks_says_why_and_is_gone():
    with here("breaking") as worker:
        assert worker.note == "a note"
        with pytest.raises(WorkerError, match="broken turn"):
            worker.turn()
    assert worker.process.returncode == 1


def test_a_worker_answers_each_turn_and_ends_with_the_block():
    with here("counting", amount=5) as worker:
        assert worker.turn() > 0 and worker.turn() > 0
    assert worker.process.returncode == 0
