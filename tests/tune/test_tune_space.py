"""The table of what is searched: real fields, defaults inside, nothing that picks the data."""

import ml_collections
import optuna
import pytest

from configs import tune_dae
from covidjax.classify import check as classify_check
from covidjax.denoise import check as denoise_check
from covidjax.runs.flat import flatten
from covidjax.tune import experiment as tune
from covidjax.tune import space as tune_space
from covidjax.tune import target as tune_target

STUDIES = ["", "net=dncnn", "net=bottleneck", "noise=low_dose", "target=cnn", "size=32"]
STUDIES += ["target=cnn,task=covid"]
CHECKS = {"classify": classify_check.check, "denoise": denoise_check.check}
# What a study may not choose: the data, the split, the budget, how it is judged.
NEVER = ("seed", "data", "split", "fold", "part", "validation", "noise.validation", "phantom")
NEVER += ("epochs", "steps", "evaluations", "auto_epochs", "auto_steps", "select")


def study(arg: str = "", **changes: object) -> ml_collections.ConfigDict:
    config = tune_dae.get_config(arg)
    config.update_from_flattened_dict(changes)
    return config.lock()


def ends(row: tune_space.Range | tune_space.Choice) -> list:
    if isinstance(row, tune_space.Choice):
        return list(row.values)
    return [row.low, row.high]


@pytest.mark.parametrize("arg", STUDIES)
def test_every_row_is_a_field_whose_default_it_holds(arg: str) -> None:
    config = study(arg)
    fields = flatten(config.to_dict())
    rows = tune_space.table(config)
    assert len(rows) > 6
    for name, row in rows.items():
        assert name in fields, name
        assert tune_space.holds(row, fields[name]), f"{name}: {fields[name]}"
        assert not name.startswith(NEVER), name
    assert list(tune_space.searched(config)) == list(rows)


@pytest.mark.parametrize("arg", STUDIES)
def test_the_targets_check_takes_every_end_of_every_row(
    arg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covidjax.training.flops.count", lambda *_: None)  # seconds a network
    config = study(arg)
    for name, row in tune_space.table(config).items():
        for value in ends(row):
            trial = tune_target.trial_config(config, {name: value})
            assert flatten(trial.to_dict())[name] == value
            CHECKS[trial.experiment](trial)


def test_a_trial_gets_its_fields_and_the_rest_stays() -> None:
    config = study("target=cnn")
    trial = tune_target.trial_config(config, {"ema": 0.9, "model.widths": (8, 16, 32)})
    assert (trial.experiment, trial.ema, trial.model.widths) == ("classify", 0.9, (8, 16, 32))
    assert "tuner" not in trial and trial.quiet
    assert (config.ema, config.experiment) == (0.99, "tune")


def test_a_field_that_is_set_is_held() -> None:
    config = study(**{"ema": 0.9, "model.blocks": (1, 1)})
    assert not {"ema", "model.blocks"} & tune_space.searched(config).keys()
    rows = tune_space.table(config)
    found = tune_space.changed(config, {"batch_size": 4, "patch": 0}, rows)
    assert found == {"model.blocks": (1, 1), "ema": 0.9, "batch_size": 4}


def test_fields_can_be_picked() -> None:
    config = study(**{"tuner.fields": "ema, optimizer.learning_rate"})
    assert list(tune_space.searched(config)) == ["ema", "optimizer.learning_rate"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"tuner.fields": "emma"}, "'emma' is not searched for, did you mean ema?"),
        ({"tuner.fields": "ema", "ema": 0.5}, "names ema, which is set to 0.5"),
        ({"tuner.fields": "seed"}, "'seed' is not searched for"),
        ({"tuner.pruner": "hyperbnd"}, "did you mean hyperband?"),
        ({"tuner.trials": 0}, "config.tuner.trials must be at least 1"),
        ({"tuner.target": "xyz"}, "config.tuner.target='xyz'"),
    ],
)
def test_mistakes_are_one_line(changes: dict, line: str) -> None:
    with pytest.raises(ValueError) as caught:
        tune.check(study(**changes))
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_the_data_are_no_part_of_the_command_for_the_best() -> None:
    config = study("target=cnn,task=cause,size=96,seed=3,data=phantom")
    assert config.tuner.config == "configs/cnn.py:task=cause,size=96"
    assert (config.seed, config.data.source) == (3, "phantom")
    assert study().tuner.config == "configs/dae.py"


def test_suggestions_come_back_as_fields() -> None:
    space = tune_space.searched(study("net=bottleneck"))
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    fields = tune_space.suggest(asked, space)
    assert fields.keys() == space.keys()
    assert isinstance(fields["model.widths"], tuple) and isinstance(fields["batch_size"], int)
    assert tune_space.as_fields(asked.params, space) == fields
    for name, row in space.items():
        assert tune_space.holds(row, fields[name])


def test_patches_fit_the_image() -> None:
    assert tune_space.table(study("size=48"))["patch"].values == (0, 32)
    assert 96 in tune_space.table(study())["patch"].values
