"""Mistakes on the command line become one line; `--help` lists what there is."""

import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from covidjax.experiments import command_line

ROOT = Path(__file__).parents[2]
CONFIG = f"--config={ROOT}/configs/cnn.py"


@pytest.fixture(autouse=True)
def started_as_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [str(ROOT / "launch.py")])


def explained(*arguments: str) -> str:
    """What is said of the error that these arguments raise."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    flags.DEFINE_string("workdir", "", "", flag_values=values)
    argv = sys.argv = [sys.argv[0], *arguments]  # ml_collections reads it from there
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011  whatever absl raises
        values(argv)
        _ = values["config"].value.experiment  # a file that cannot be loaded fails on use
    line = command_line.explain(caught.value, argv)
    assert "\n" not in line
    return line


def test_unknown_fields_name_the_nearest() -> None:
    line = explained(CONFIG, "--config.epoch=3")
    assert line == "--config.epoch: the config has no such field, did you mean epochs?"
    assert "optimizer.learning_rate" in explained(CONFIG, "--config.optimizer.learning_rat=3")


def test_unknown_flags_name_the_nearest() -> None:
    assert explained(CONFIG, "--workdri=x") == "--workdri is no flag, did you mean workdir?"


def test_wrong_types_say_what_is_expected() -> None:
    line = explained(CONFIG, "--config.epochs=many")
    assert line == "--config.epochs=many: expected a whole number"
    assert explained(CONFIG, "--config.ema=x") == "--config.ema=x: expected a number"


@pytest.mark.parametrize("path", ["configs/cn.py", "/nowhere", "configs"])
def test_unknown_config_files_list_those_there_are(path: str) -> None:
    line = explained(f"--config={path}")
    assert "there are configs/cnn.py, " in line and "configs/resnet.py" in line


def test_wrong_arguments_behind_the_colon() -> None:
    assert explained(f"{CONFIG}:siz=3").startswith("config argument 'siz' is unknown, did you mean")


@pytest.mark.parametrize("config", [[CONFIG], ["--config", f"{ROOT}/configs/cnn.py:size=64"]])
def test_config_name(config: list[str]) -> None:
    assert command_line.config_name(["launch.py", "--workdir=x", *config]) == "cnn"


def test_known_configs_leave_out_what_is_no_experiment() -> None:
    known = command_line.known_configs()
    assert {"configs/cnn.py", "configs/resnet.py", "configs/dae.py"} <= set(known)
    assert not {"configs/__init__.py", "configs/common.py"} & set(known)


def test_help_names_every_config_with_its_docstring() -> None:
    text = command_line.help_text([str(ROOT / "launch.py"), "--help"])
    for name in command_line.known_configs():
        assert f"\n{name}\n" in text
        assert f"python launch.py --config={name}" in text
    assert "--workdir" in text


def test_help_for_a_config_lists_its_fields_with_values_and_notes() -> None:
    text = command_line.help_text(["launch.py", f"{CONFIG}:size=96", "--help"])
    lines = text.splitlines()
    assert "  --config.data.size=96" in [line[:23] for line in lines]
    [equalize] = [line for line in lines if "--config.data.equalize=" in line]
    assert equalize.endswith("none, histogram, clahe")


def test_help_for_no_config_fails() -> None:
    with pytest.raises(FileNotFoundError):
        command_line.help_text(["launch.py", "--help", "--config=/nowhere.py"])
