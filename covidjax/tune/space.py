"""What a study searches: one explicit table a target, each row a field of the target's config.

The first value that a study tries of everything is the config's own, so every default lies in its
row's range. Fields that pick data, split, seed or budget are no hyperparameters and stand in no
table: a study cannot choose them.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import ml_collections

from covidjax.models import dae
from covidjax.runs.flat import flatten, listed, nearest

if TYPE_CHECKING:
    import optuna


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included; whole ones where both are whole."""

    low: float
    high: float
    log: bool = False


class Choice(NamedTuple):
    """One of a few values: text, numbers, true and false, or tuples of whole numbers."""

    values: tuple[Any, ...]


Space = dict[str, Range | Choice]

# How every denoiser is trained, whatever its network.
DENOISER: Space = {
    "loss.name": Choice(("psnr", "l1", "charbonnier", "mse")),
    "loss.ssim": Choice((0.0, 0.05, 0.2)),
    "loss.spectrum": Choice((0.0, 0.05, 0.2)),
    "ema": Choice((0.0, 0.9, 0.98, 0.99, 0.995, 0.999)),
    "augment": Choice(("turns", "mirror", "none")),
    "patch": Choice((0, 32, 48, 64, 96)),  # 0: the whole image; those that fit it
    "batch_size": Choice((4, 8, 16, 32)),
    "optimizer.learning_rate": Range(3e-4, 2e-2, log=True),
    "optimizer.weight_decay": Choice((0.0, 1e-4, 1e-3, 1e-2)),
}
SPACES: dict[str, Space] = {
    "unet": {
        "model.width": Choice((8, 16, 24, 32, 48)),
        "model.blocks": Choice(((1, 1), (2, 1), (1, 1, 1), (2, 1, 1), (2, 2, 2))),  # and depth
        "model.residual": Choice((True, False)),
        "model.norm": Choice(dae.NORMS),
        **DENOISER,
    },
    "dncnn": {
        "model.width": Choice((16, 24, 32, 48, 64)),
        "model.depth": Range(5, 20),
        "model.residual": Choice((True, False)),
        "model.norm": Choice(dae.NORMS),
        **DENOISER,
    },
    "bottleneck": {
        "model.widths": Choice(((16, 32), (32, 64), (16, 32, 64), (32, 64, 64), (64, 64, 64))),
        "model.code": Choice((8, 16, 32, 64, 128)),
        "model.residual": Choice((True, False)),
        "model.norm": Choice(dae.NORMS),
        **DENOISER,
    },
    "cnn": {
        # Width and depth: the channels of each stage, and the convolutions in it.
        "model.widths": Choice(
            (
                (8, 16, 32),
                (16, 32, 64),
                (32, 64, 128),
                (8, 16, 32, 64),
                (16, 32, 64, 128),
                (24, 48, 96, 192),
                (8, 16, 32, 64, 128),
            )
        ),
        "model.convs": Range(1, 3),
        "model.dropout": Range(0.0, 0.6),
        "label_smoothing": Range(0.0, 0.2),
        "ema": Choice((0.0, 0.9, 0.97, 0.99, 0.997)),
        "batch_size": Choice((16, 32, 64, 128)),
        "optimizer.learning_rate": Range(3e-4, 2e-2, log=True),
        "optimizer.weight_decay": Range(1e-5, 1e-1, log=True),
    },
}
# From which levels a blind denoiser draws, in the unit of data/noise.py. It is validated at the
# same levels always. A range that is set (level=10-20) is held.
LEVELS: dict[str, Space] = {
    "gaussian": {"noise.low": Range(0.5, 15.0), "noise.high": Range(45.0, 75.0)},
    "low_dose": {"noise.low": Range(0.03, 0.1, log=True), "noise.high": Range(0.5, 1.0)},
}


def table(config: ml_collections.ConfigDict) -> Space:
    """All rows that fit a study's config: those of its space, its noise and its image size."""
    rows = dict(SPACES[config.tuner.space])
    if "noise" in config:
        rows |= LEVELS.get(config.noise.kind, {})
        fits = tuple(side for side in rows["patch"].values if side < config.data.size)  # type: ignore[union-attr]
        rows["patch"] = Choice(fits)
    return rows


def defaults(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The config's own values of the table's fields, nested as they are there."""
    fields = flatten(config.to_dict())
    found: dict[str, Any] = {}
    for name in table(config):
        part = found
        *parents, last = name.split(".")
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = fields[name]
    return ml_collections.ConfigDict(found)


def searched(config: ml_collections.ConfigDict) -> Space:
    """The rows that a study searches.

    All of the table, or those that `config.tuner.fields` names; of the table those that are set to
    something else than their default are held at that.

    Raises:
      ValueError: `config.tuner.fields` names no row, a row twice, or one that is set; or nothing
        is left.
    """
    rows = table(config)
    held, before = held_fields(config), flatten(config.tuner.default.to_dict())
    named = listed(config.tuner.fields)
    for name in named:
        if name not in rows:
            hint = nearest(name, list(rows))
            raise ValueError(f"config.tuner.fields: {name!r} is not searched for{hint}")
        if name in held:
            raise ValueError(f"config.tuner.fields names {name}, which is set to {held[name]}")
    found = {
        name: row for name, row in rows.items() if name not in held and (not named or name in named)
    }
    for name in [name for name, row in found.items() if not holds(row, before[name])]:
        del found[name]
    if not found:
        raise ValueError("there is nothing to search: all fields of the space are set")
    return found


def holds(row: Range | Choice, value: Any) -> bool:
    """Whether a value is one of a row's."""
    if isinstance(row, Choice):
        return any(as_parameter(value) == as_parameter(choice) for choice in row.values)
    return row.low <= value <= row.high


def held_fields(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The table's fields that have another value than their default, with that value."""
    fields, before = flatten(config.to_dict()), flatten(config.tuner.default.to_dict())
    return {name: fields[name] for name in before if fields[name] != before[name]}


def suggest(trial: "optuna.Trial", space: Space) -> dict[str, Any]:
    """Field -> value of one trial."""
    found: dict[str, Any] = {}
    for name, row in space.items():
        if isinstance(row, Choice):
            texts = [as_parameter(value) for value in row.values]
            found[name] = row.values[texts.index(trial.suggest_categorical(name, texts))]
        elif isinstance(row.low, int) and isinstance(row.high, int):
            found[name] = trial.suggest_int(name, row.low, row.high, log=row.log)
        else:
            found[name] = trial.suggest_float(name, row.low, row.high, log=row.log)
    return found


def as_parameter(value: Any) -> Any:
    """A field's value as Optuna stores it: tuples as text, 16-32-64."""
    return "-".join(map(str, value)) if isinstance(value, tuple | list) else value


def as_fields(parameters: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """The reverse of `as_parameter`, for all parameters of a trial."""
    found = dict(parameters)
    for name, row in space.items():
        if name in found and isinstance(row, Choice):
            [found[name]] = [v for v in row.values if as_parameter(v) == parameters[name]]
    return found


def changed(
    config: ml_collections.ConfigDict, fields: Mapping[str, Any], names: Iterable[str]
) -> dict[str, Any]:
    """Of a trial's fields and the held ones, those that differ from the target's defaults."""
    before = flatten(config.tuner.default.to_dict())
    now = held_fields(config) | dict(fields)
    return {name: now[name] for name in names if name in now and now[name] != before[name]}
