"""Every config field stands in one table, whose choices and defaults are what the code takes."""

import dataclasses
import importlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from covidjax import models
from covidjax.classify import loss as classify_loss
from covidjax.data import noise, preprocess, source, table
from covidjax.data.augment import Augmentation
from covidjax.denoise import loss as denoise_loss
from covidjax.dip import tasks
from covidjax.evidence import recalibration
from covidjax.models import dae, unet
from covidjax.runs import config as configs
from covidjax.runs import fields, model_fields
from covidjax.runs.field import Field, number, share
from covidjax.runs.flat import flatten
from covidjax.training import optimizer, sharding
from tfds_coronahack import phantom

ROOT = Path(__file__).parents[2]
CONFIGS = ["cnn", "resnet", "dae", "dae:net=dncnn", "dae:net=bottleneck", "dip", "eda", "report"]
CONFIGS += ["tune_dae", "tune_dae:target=cnn"]
# Table, field -> what the code takes.
CHOICES: list[tuple[str, str, Iterable[str]]] = [
    ("classify", "task", table.TASKS),
    ("classify", "calibration", recalibration.METHODS),
    ("classify", "balance", classify_loss.BALANCES),
    ("classify", "dtype", models.DTYPES),
    ("classify", "data.source", source.SOURCES),
    ("classify", "data.equalize", preprocess.EQUALIZE),
    ("classify", "data.resize", preprocess.RESIZE),
    ("classify", "sharding", sharding.KINDS),
    ("classify", "optimizer.name", optimizer.OPTIMIZERS),
    ("denoise", "noise.kind", noise.NOISES),
    ("denoise", "loss.name", denoise_loss.LOSSES),
    ("dip", "task", tasks.TASKS),
    ("dip", "model.name", unet.UNETS),
]


def get(name: str):
    name, _, argument = name.partition(":")
    return importlib.import_module(f"configs.{name}").get_config(argument)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_field_of_a_config_has_the_text_of_its_own_experiment(name):
    config = get(name)
    flat = flatten(config.to_dict())
    table = configs.of(flat)
    without = {field for field, text in configs.described(config).items() if not text}
    assert without <= {"experiment"} | {name for name in flat if name.startswith("tuner.default")}
    experiment = config.tuner.experiment if "tuner" in config else config.experiment
    for field, known in fields.TABLES[experiment].items():
        if field in flat:
            assert table[field] is known or field.startswith("model.")


def test_the_texts_of_fields_that_experiments_share_are_their_own():
    ours, theirs = (configs.described(get(name)) for name in ("cnn", "dae"))
    assert "for official" in ours["validation"] and "a random part" in theirs["validation"]


@pytest.mark.parametrize(("experiment", "field", "known"), CHOICES)
def test_choices_are_what_the_code_takes(experiment, field, known):
    assert set(fields.TABLES[experiment][field].choices) == set(known)


def test_other_choices_and_limits_are_what_the_code_takes():
    assert set(model_fields.NORM.choices) == set(dae.NORMS)
    assert set(model_fields.MODELS) == {*models.CLASSIFIERS, *models.DENOISERS}
    size, images = fields.CLASSIFY["data.size"], fields.CLASSIFY["phantom.images"]
    assert (size.low, size.high) == (preprocess.MIN_SIZE, preprocess.MAX_SIZE)
    assert (images.low, images.high) == (phantom.FEWEST, phantom.MOST)
    sides = fields.CLASSIFY["phantom.size"]
    assert (sides.low, sides.high) == (phantom.SMALLEST, phantom.LARGEST)


def test_the_augmentations_are_those_of_the_code():
    table = {n: f.default for n, f in fields.CLASSIFY.items() if n.startswith("augment.")}
    expected = dataclasses.asdict(Augmentation())
    assert table == {f"augment.{name}": value for name, value in expected.items()}


@pytest.mark.parametrize(
    ("field", "inside", "outside", "text"),
    [
        (number(1, "", low=1), [1, 9e9], [0, -1], "at least 1"),
        (number(1, "", high=5), [0, 5], [6, -1], "from 0 to 5"),
        (share(0.5, ""), [0, 0.99], [1, -0.1, float("nan")], "in [0, 1)"),
        (Field(0.1, "", above=0, high=0.5), [0.01, 0.5], [0, 0.51], "in (0, 0.5]"),
        (Field(0.1, "", above=0, below=float("inf")), [1e-9], [0, float("inf")], "above 0"),
    ],
)
def test_ranges_hold_what_they_say(field, inside, outside, text):
    assert field.limits == text
    assert all(field.holds(value) for value in inside)
    assert not any(field.holds(value) for value in outside)


def test_a_wrong_value_is_one_line_with_the_nearest_or_the_range():
    for field, value, line in (
        ("select", "bset", "config.select='bset' is unknown, did you mean best?"),
        ("patience", -1, "config.patience must be at least 0, got -1"),
        ("model.dropout", 1.0, r"config.model.dropout must be in \\[0, 1\\), got 1.0"),
    ):
        config = get("cnn")
        config.update_from_flattened_dict({field: value})
        with pytest.raises(ValueError, match=line.replace("\\\\", "\\")):
            configs.check(config)


def test_the_page_of_the_docs_is_the_tables():
    assert (ROOT / "docs" / "fields.md").read_text() == configs.as_markdown()
