"""What the experiments share: the argument parser, and defaults that depend on arguments.

The fields themselves, with their defaults and meanings, stand in `covidjax/runs/fields.py`.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from covidjax.data.noise import NOISES
from covidjax.runs.config import make
from covidjax.runs.field import Fields
from covidjax.runs.flat import nearest


def parse_arg(arg: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The `key=value,...` behind a config file's colon.

    Args:
      arg: such as "size=64,task=pneumonia"; None or "" for none.
      fields: the known keys with their defaults, whose types the values take.

    Returns:
      All of `fields`, with the values given.

    Raises:
      ValueError: an unknown key or a value of another type, in one line that names the nearest key.
    """
    values = dict(fields)
    for item in filter(None, (arg or "").split(",")):
        key, equals, text = item.partition("=")
        if key not in fields:
            raise ValueError(f"config argument {key!r} is unknown{nearest(key, list(fields))}")
        if not equals or not text:
            raise ValueError(f"config argument {item!r}: write {key}=VALUE")
        try:
            values[key] = type(fields[key])(text)
        except ValueError as error:
            kind = type(fields[key]).__name__
            raise ValueError(f"config argument {key}={text!r}: expected {kind}") from error
    return values


# The keys that every classifier's config takes behind the colon.
CLASSIFY_ARGS = {
    "task": "covid",
    "split": "",
    "data": "auto",
    "size": 64,
    "fold": "all",
    "seed": 0,
}


def classify(arg: Mapping[str, Any], model: str, **more: Fields) -> ml_collections.ConfigDict:
    """The defaults of a classifier.

    Args:
      arg: what `parse_arg` returned.
      model: the network's name, of `runs.fields.MODELS`.
      more: further tables of fields.
    """
    config = make("classify", model, **more)
    config.task = config.defaults_for = arg["task"]  # so that a task set elsewhere is noticed
    # Kaggle's TEST has no COVID-19, so that task is cross-validated.
    config.split = arg["split"] or ("kfold" if arg["task"] == "covid" else "official")
    config.fold, config.seed = arg["fold"], arg["seed"]
    config.data.source, config.data.size = arg["data"], arg["size"]
    return config


def grid(fields: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """The points of a sweep over all values of all fields: "size64-width16": {field: value}."""
    points = {}
    for values in itertools.product(*fields.values()):
        changes = dict(zip(fields, values, strict=True))
        name = "-".join(f"{field.rpartition('.')[2]}{value}" for field, value in changes.items())
        points[name] = changes
    return points


def classify_sweeps(config: ml_collections.ConfigDict) -> dict[str, dict[str, dict[str, Any]]]:
    """What every classifier can be swept over: sweep -> point -> fields."""
    sweeps = {"seeds": grid({"seed": range(3)})}
    if config.split == "kfold":
        sweeps["folds"] = grid({"fold": [str(number) for number in range(config.folds)]})
    sweeps["sizes"] = grid({"data.size": (32, 64, 128)})
    return sweeps


def unknown(name: str, value: str, known: list[str]) -> str:
    """The line that a wrong value of a config argument gets."""
    return f"config argument {name}={value!r} is unknown{nearest(value, known)}"


def denoise(arg: Mapping[str, Any], model: str) -> ml_collections.ConfigDict:
    """The defaults of a denoiser; arguments as `classify`."""
    if arg["noise"] not in NOISES:
        raise ValueError(unknown("noise", arg["noise"], list(NOISES)))
    config = make("denoise", model)
    config.noise.kind = arg["noise"]
    config.noise.low, config.noise.high = level_range(arg["level"], arg["noise"])
    config.seed = arg["seed"]
    config.data.source, config.data.size = arg["data"], arg["size"]
    return config


def level_range(text: str, kind: str) -> tuple[float, float]:
    """The numbers of "25" or "5-55"; of "" the range of the noise's kind.

    Raises:
      ValueError: neither.
    """
    if not text:
        return NOISES[kind].low, NOISES[kind].high
    low, dash, high = text.partition("-")
    try:
        return float(low), float(high if dash else low)
    except ValueError as error:
        raise ValueError(f"config argument level={text!r}: write a number, or LOW-HIGH") from error
