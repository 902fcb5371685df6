"""Configs made of the tables of `runs/fields.py`, checked against them, and described by them."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from covidjax.runs.field import Field, Fields, below
from covidjax.runs.fields import TABLES, TRANSFER, TUNER
from covidjax.runs.flat import flatten, nearest
from covidjax.runs.model_fields import KERNELS, MODELS, NAMES


def make(experiment: str, model: str = "", **more: Fields) -> ml_collections.ConfigDict:
    """The defaults of an experiment with that network."""
    config = ml_collections.ConfigDict({"experiment": experiment})
    table = {**TABLES[experiment], **_of_model(experiment, model)}
    for fields in (table, *more.values()):
        add(config, fields)
    if model:
        config.model.name = model
    return config


def add(config: ml_collections.ConfigDict, fields: Fields) -> None:
    """Adds fields with their defaults."""
    for name, field in fields.items():
        *sections, last = name.split(".")
        place = config
        for section in sections:
            if section not in place:
                place[section] = ml_collections.ConfigDict()
            place = place[section]
        place[last] = field.default


def _of_model(experiment: str, name: str) -> Fields:
    """The fields of the network; of one that the experiment does not have, its name alone."""
    if experiment not in NAMES:
        return {}
    named = {"model.name": Field(name, "the network", NAMES[experiment])}
    return {**named, **below("model", MODELS.get(name, {})), "model.kernels": KERNELS}


def of(flat: Mapping[str, Any]) -> Fields:
    """The table of a config whose fields are flat, for those of them that have one."""
    experiment = str(flat.get("tuner.experiment", flat.get("experiment", "")))
    table = {**TABLES.get(experiment, {}), **TUNER}
    if experiment == "classify":
        table |= TRANSFER
    table |= _of_model(experiment, str(flat.get("model.name", "")))
    return {name: field for name, field in table.items() if name in flat}


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError, one line, where a field has none of its choices or is out of its range."""
    flat = flatten(config.to_dict())
    for name, field in of(flat).items():
        value = flat[name]
        if field.choices and value not in field.choices:
            hint = nearest(str(value), [choice for choice in field.choices if choice])
            raise ValueError(f"config.{name}={value!r} is unknown{hint}")
        if field.limits and not field.holds(value):
            raise ValueError(f"config.{name} must be {field.limits}, got {value}")


def is_free(name: str) -> bool:
    """Whether no experiment's result is decided by the field."""
    return name in _FREE


_FREE = {name for table in (*TABLES.values(), TUNER) for name, field in table.items() if field.free}


def described(config: ml_collections.ConfigDict) -> dict[str, str]:
    """Field -> its help with its choices or its range, for all fields of a config."""
    flat = flatten(config.to_dict())
    texts = {name: in_words(field) for name, field in of(flat).items()}
    return {name: texts.get(name, "") for name in flat}


def in_words(field: Field) -> str:
    """A field's help with its choices or its range."""
    if field.choices:
        return f"{field.help}: {', '.join(filter(None, field.choices))}"
    return f"{field.help} ({field.limits})" if field.limits else field.help


def as_markdown() -> str:
    """`docs/fields.md`: the tables of all experiments and networks."""
    models = {f"config.model of {name}": fields for name, fields in MODELS.items()}
    tables = {**TABLES, "configs/resnet.py besides": TRANSFER, "configs/tune_dae.py besides": TUNER}
    lines = [
        "# Every config field",
        "",
        "`python launch.py --help --config=configs/NAME.py` prints those of one experiment.",
        "A field marked * may differ when a run is resumed. This page is written from",
        "`covidjax/runs/fields.py`: `python -m covidjax.runs.config > docs/fields.md`.",
    ]
    for title, table in {**tables, **models}.items():
        lines += ["", f"## {title}", "", "| field | default | what |", "| --- | --- | --- |"]
        for name, field in table.items():
            default = f"`{field.default}`" if field.default != "" else ""
            text = in_words(field).replace("|", "\\|")
            lines.append(f"| `{name}`{' *' * field.free} | {default} | {text} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
