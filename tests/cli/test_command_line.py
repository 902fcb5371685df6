"""Mistakes on the command line become one line; `--help` lists what there is."""

import json
import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from covidjax.cli import command_line

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
    meant = "--epochs is no flag, did you mean --config.epochs?"
    assert explained(CONFIG, "--epochs=3") == meant


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
    expected = {"cnn", "resnet", "dae", "tune_dae"}
    assert {f"configs/{name}.py" for name in expected} <= set(known)
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


# Fields that several experiments have, and a word that stands in one experiment's text alone.
OWN_TEXTS = {
    "cnn": {"patience": "AUROC", "seed": "augmentation", "select": "epoch", "dtype": "logits"},
    "resnet": {"validation": "kfold", "select": "epoch", "patience": "AUROC"},
    "dae": {"patience": "PSNR", "seed": "noise", "validation": "random part"},
    "dip": {"seed": "perturbations"},
    "eda": {"seed": "embedding", "data.archive": "Kaggle's zip, or the folder it unpacks to"},
    "tune_dae": {"patience": "PSNR"},
    "tune_dae.py:target=cnn": {"patience": "AUROC"},
}


@pytest.mark.parametrize("name", OWN_TEXTS)
def test_the_help_of_a_config_has_its_own_texts(name: str) -> None:
    path = f"{ROOT}/configs/{name}" if ":" in name else f"{ROOT}/configs/{name}.py"
    lines = command_line.help_text(["launch.py", f"--config={path}", "--help"]).splitlines()
    for field, word in OWN_TEXTS[name].items():
        [line] = [line for line in lines if line.startswith(f"  --config.{field}=")]
        assert word in line


def test_a_config_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = command_line.with_config(["launch.py", "--config=configs/cnn.py:task=cause", "--dry"])
    assert found == ["launch.py", f"{CONFIG}:task=cause", "--dry"]
    apart = command_line.with_config(["launch.py", "--config", "configs/cnn.py"])
    assert apart == ["launch.py", "--config", CONFIG.partition("=")[2]]
    mine = tmp_path / "configs" / "cnn.py"
    mine.parent.mkdir()
    mine.write_text("")
    here = ["launch.py", "--config=configs/cnn.py"]
    assert command_line.with_config(here) == here  # one's own goes first
    assert command_line.help_text(["launch.py", CONFIG, "--help"]).startswith(f"{ROOT}/configs")


def test_help_for_no_config_fails() -> None:
    with pytest.raises(FileNotFoundError):
        command_line.help_text(["launch.py", "--help", "--config=/nowhere.py"])


# --config.override


def overridden(tmp_path: Path, fields: object, *flags_given: str) -> object:
    """The config with the fields of a file, as `parse` gives it."""
    path = tmp_path / "best_config.json"
    path.write_text(fields if isinstance(fields, str) else json.dumps(fields))
    argv = [sys.argv[0], CONFIG, f"--config.override={path}", *flags_given]
    sys.argv = argv
    rest, found = command_line.take_override(argv)
    assert found == str(path) and len(rest) == len(argv) - 1
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    sys.argv = rest
    values(rest)
    flag = values["config"]
    command_line.apply_override(flag.value, found, flag.override_values)
    return flag.value


def test_the_fields_of_a_file_are_set_in_their_own_types(tmp_path: Path) -> None:
    fields = {"ema": 0, "model.widths": [8, 16], "optimizer": {"learning_rate": 0.01}}
    config = overridden(tmp_path, {**fields, "mirror": False})
    assert (config.ema, config.model.widths, config.mirror) == (0.0, (8, 16), False)
    assert isinstance(config.ema, float)
    assert (config.optimizer.learning_rate, config.optimizer.name) == (0.01, "adamw")
    assert "override" not in config


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    fields = {"ema": 0.5, "model.widths": [8, 16], "epochs": 7}
    given = ["--config.ema=0.9", "--config.model.widths=(4,)"]
    config = overridden(tmp_path, fields, *given)
    assert (config.ema, config.model.widths, config.epochs) == (0.9, (4,), 7)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"model.width": 3}, "the config has no field 'model.width', did you mean model.widths"),
        ({"epochs": 2.5}, "epochs=2.5: expected a whole number"),
        ({"epochs": True}, "epochs=True: expected a whole number"),
        ({"ema": "high"}, "ema='high': expected a number"),
        ({"mirror": 1}, "mirror=1: expected true or false"),
        ({"task": 3}, "task=3: expected text"),
        ({"model.widths": 8}, "model.widths=8: expected a list"),
        ({"model.widths": ["a"]}, "expected a whole number"),
        ({"model": 3}, "the config has no field 'model'"),
        ([1, 2], "holds no fields"),
        ("{", "is no JSON"),
    ],
)
def test_a_wrong_file_is_one_line_and_sets_nothing(
    tmp_path: Path, fields: object, line: str
) -> None:
    with pytest.raises(ValueError, match="--config.override=") as caught:
        overridden(tmp_path, fields)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--config.override=/nowhere.json cannot be read"):
        command_line.apply_override(None, "/nowhere.json", {})


def test_the_override_is_found_in_both_spellings() -> None:
    rest, path = command_line.take_override(["launch.py", "--config.override", "a.json", "--x=1"])
    assert (rest, path) == (["launch.py", "--x=1"], "a.json")
    assert command_line.take_override(["launch.py", "--x=1"]) == (["launch.py", "--x=1"], "")


def test_help_names_the_override() -> None:
    text = command_line.help_text(["launch.py", CONFIG, "--help"])
    assert "  --config.override=FILE" in text


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x.py", "x" * 300 + ".py"])
def test_a_config_nowhere_is_one_line(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.parse(["launch.py", f"--config={path}"], {})
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
