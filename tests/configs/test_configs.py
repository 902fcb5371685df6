"""Every file of configs/: loads, takes what its docstring says, refuses the rest in one line."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import ml_collections
import pytest
from absl import flags
from ml_collections import config_flags

from configs import common, dae
from configs import dip as dip_config
from covidjax.classify import check as classify_check
from covidjax.classify import experiment as classify
from covidjax.cli import command_line
from covidjax.data.noise import NOISES
from covidjax.denoise import check as denoise_check
from covidjax.dip import experiment as dip
from covidjax.eda import check as eda_check
from covidjax.report import experiment as report
from covidjax.runs.flat import flatten
from covidjax.tune import experiment as tune

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
NAMES = [name for name in NAMES if name not in ("__init__", "common")]
CLASSIFIERS = ["cnn", "resnet"]
CHECKS = {
    "classify": classify_check.check,
    "denoise": denoise_check.check,
    "dip": dip.check,
    "eda": eda_check.check,
    "report": report.check,
    "tune": tune.check,
}
# What must stand before an argument that not every target takes.
BEFORE = {("tune_dae", "task"): "target=cnn,"}
# A value of each argument that is not its default, and what it must come to.
VALUES = {
    "task": ("cause", lambda config: config.task == "cause"),
    "split": ("kfold", lambda config: config.split == "kfold"),
    "data": ("phantom", lambda config: config.data.source == "phantom"),
    "size": ("96", lambda config: config.data.size == 96),
    "fold": ("1", lambda config: config.fold == "1"),
    "seed": ("7", lambda config: config.seed == 7),
    "depth": ("50", lambda config: config.model.depth == 50),
    "net": ("dncnn", lambda config: config.model.name == "dncnn"),
    "noise": ("low_dose", lambda config: config.noise.kind == "low_dose"),
    "level": ("10-20", lambda config: (config.noise.low, config.noise.high) == (10, 20)),
    "target": ("cnn", lambda config: config.tuner.target == "cnn"),
    "width": ("64", lambda config: config.model.width == 64),
    "images": ("9", lambda config: config.images == 9),
    "members": ("3", lambda config: config.members == 3),
    "init": ("run:runs/a#fold1", lambda config: config.init == "run:runs/a#fold1"),
    "runs": ("runs/cnn*", lambda config: config.runs == "runs/cnn*"),
}


CNN_VALUES = {"net": ("resnet", lambda config: config.model.name == "resnet")}
# Where a name means something else.
DIP_VALUES = {
    "task": ("inpaint", lambda config: config.task == "inpaint"),
    "level": ("10", lambda config: config.level == 10),
    "net": ("unet", lambda config: config.model.name == "unet"),
}


@pytest.fixture(params=NAMES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"configs.{request.param}")


@pytest.fixture(params=CLASSIFIERS)
def classifier(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"configs.{request.param}")


def check(config: ml_collections.ConfigDict) -> None:
    CHECKS[config.experiment](config)


def documented(module: ModuleType) -> list[str]:
    """The arguments that the docstring names."""
    listed = re.search(r"Arguments behind the colon:([^.]*)\.", module.__doc__)
    assert listed, "the docstring must list the arguments behind the colon"
    return [name.strip() for name in listed[1].split(",")]


def test_there_are_the_shipped_ones() -> None:
    assert {"cnn", "resnet", "dae", "dip", "eda", "report", "tune_dae"} <= set(NAMES)


def test_the_docstring_holds_the_exact_command(module: ModuleType) -> None:
    name = module.__name__.removeprefix("configs.")
    assert f"\n    python launch.py --config=configs/{name}.py\n" in module.__doc__


def test_the_commands_of_the_docstring_load(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = re.findall(r"^ +python launch.py .*(?:\n {6,}\S.*)*", module.__doc__, re.MULTILINE)
    assert commands
    for command in commands:
        values = flags.FlagValues()
        config_flags.DEFINE_config_file("config", flag_values=values)
        flags.DEFINE_string("workdir", "", "", flag_values=values)
        given = command.replace("\\\n", " ").split()[1:]
        given = [part.replace("=configs/", f"={ROOT}/configs/") for part in given]
        given, _ = command_line.take_override(given)
        monkeypatch.setattr("sys.argv", given)  # ml_collections reads the config's fields there
        assert values(given)[1:] == []
        check(values["config"].value)


def test_every_documented_argument_is_taken(module: ModuleType) -> None:
    for name in documented(module):
        values = VALUES | (DIP_VALUES if module is dip_config else {})
        values |= CNN_VALUES if module.__name__ == "configs.cnn" else {}
        text, holds = values[name]
        before = BEFORE.get((module.__name__.removeprefix("configs."), name), "")
        assert holds(module.get_config(f"{before}{name}={text}")), name
        check(module.get_config(f"{before}{name}={text}"))


def test_every_argument_is_documented(module: ModuleType) -> None:
    with pytest.raises(ValueError) as caught:
        module.get_config("zzz=1")
    known = str(caught.value).partition("known: ")[2].split(", ")
    assert known == documented(module)


def test_arguments_combine(classifier: ModuleType) -> None:
    config = classifier.get_config("size=96,task=pneumonia,seed=3")
    assert (config.data.size, config.task, config.seed) == (96, "pneumonia", 3)


@pytest.mark.parametrize("arg", ["zzz=1", "siz=32", "size", "size=", "size=big", "seed=1.5"])
def test_wrong_arguments_are_one_line(module: ModuleType, arg: str) -> None:
    with pytest.raises(ValueError, match=arg.partition("=")[0]) as caught:
        module.get_config(arg)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arg", [None, ""])
def test_without_arguments_the_defaults_of_the_task_hold(
    classifier: ModuleType, arg: str | None
) -> None:
    config = classifier.get_config(arg)
    assert (config.task, config.split, config.data.source) == ("covid", "kfold", "auto")
    assert classifier.get_config("task=pneumonia").split == "official"
    assert classifier.get_config("task=cause").split == "official"


def test_validation_imitates_the_shift_where_kaggles_test_is_used(classifier: ModuleType) -> None:
    for argument, validation in (("task=pneumonia", "shifted"), ("task=covid", "random")):
        config = classify.resolved(classifier.get_config(argument), "coronahack")
        assert config.validation == validation


def test_the_config_locks(module: ModuleType) -> None:
    config = module.get_config().lock()
    with pytest.raises(AttributeError, match="sed"):
        config.sed = 3
    if "data" in config:
        with pytest.raises(AttributeError, match="archiv"):
            config.data.archiv = "a.zip"
    number = "seed" if "seed" in config else "port"
    with pytest.raises(TypeError):
        config[number] = "three"


def test_the_defaults_pass_the_check(classifier: ModuleType) -> None:
    for task in ("covid", "pneumonia", "cause"):
        check(classifier.get_config(f"task={task}"))


def test_every_denoiser_and_noise_passes_the_check() -> None:
    for net in dae.NETWORKS:
        check(dae.get_config(f"net={net}"))
    for noise in NOISES:
        check(dae.get_config(f"noise={noise}"))


def test_two_calls_share_nothing(module: ModuleType) -> None:
    first = module.get_config()
    name = "phantom.images" if "phantom" in first else "port"
    first.update_from_flattened_dict({name: 123})
    assert flatten(module.get_config().to_dict())[name] != 123


def test_values_take_the_type_of_their_default() -> None:
    values = common.parse_arg("a=3,b=x=y", {"a": 1, "b": "", "c": 2.5})
    assert values == {"a": 3, "b": "x=y", "c": 2.5}
