"""The table of the examples, and what each task makes of it."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from covidjax import locking
from covidjax.data import source

TABLE_VERSION = 2  # raise it when the columns change, so that old copies are not read

# Column -> type, in the order of the table.
COLUMNS: dict[str, str] = {
    "row": "int64",
    "image": "str",
    "source": "str",
    "label": "str",
    "cause": "str",
    "group": "str",
    "height": "int32",
    "width": "int32",
    "mode": "str",
    "sha256": "str",
    "phash": "uint64",
    "kaggle_split": "str",
    "bytes": "int64",
}
SPLITS = ("train", "test")  # the order of the rows, here and in the pixel cache


@dataclasses.dataclass(frozen=True)
class Task:
    """A classification task: the classes' names, and the causes that belong to each class."""

    classes: tuple[str, ...]
    causes: tuple[tuple[str, ...], ...]


BACTERIAL = ("bacterial", "Streptococcus")
VIRAL = ("viral", "SARS")
COVID = ("COVID-19",)

TASKS: dict[str, Task] = {
    "covid": Task(("Normal", "COVID-19"), (("none",), COVID)),
    "pneumonia": Task(("Normal", "Pneumonia"), (("none",), (*BACTERIAL, *VIRAL, *COVID, "ARDS"))),
    # ARDS has many causes, so it is no class of this task.
    "cause": Task(
        ("Normal", "bacterial", "viral", "COVID-19"), (("none",), BACTERIAL, VIRAL, COVID)
    ),
}


def task_labels(table: pd.DataFrame, task: str) -> NDArray[np.int32]:
    """The class of each row of the table: int32 [n], -1 where the row is no part of the task.

    Raises:
      ValueError: no task has that name.
    """
    if task not in TASKS:
        raise ValueError(f"no task is called {task!r}; there are {', '.join(TASKS)}")
    number = {cause: label for label, causes in enumerate(TASKS[task].causes) for cause in causes}
    return np.array([number.get(cause, -1) for cause in table["cause"]], np.int32)


class DamagedError(ValueError):
    """A prepared dataset cannot be read; the message says which and what to do."""


def read_table(prepared: Path) -> pd.DataFrame:
    """Reads what is known of every example of a prepared dataset.

    Args:
      prepared: the versioned folder that `tfds_coronahack.prepare` returns.

    Returns:
      One row an example, TRAIN before TEST, in the order of the pixel cache. Columns: row (0 to
      n - 1), image (file name; of several sources SOURCE/NAME), source (name of the archive,
      coronahack where there is one), label (Normal, Pneumonia), cause (none, bacterial, viral,
      COVID-19, SARS, ARDS, Streptococcus), group (patient or examination), height and width (pixels
      of the original), mode (Pillow's), sha256 (of the file, hex), phash (64-bit perceptual hash),
      kaggle_split (TRAIN, TEST), bytes (file size). A copy is kept as CSV in the cache folder.

    Raises:
      FileNotFoundError: there is no prepared dataset in that folder.
      DamagedError: the records cannot be read.
    """
    key, examples = _state(prepared)
    path = source.cache_root() / "tables" / f"{key}.csv"
    try:
        return _from_csv(path, examples)
    except (OSError, ValueError):  # none yet, or damaged: made again
        table = _from_records(prepared)
    # No cache folder to write to costs a second a run, no more; the pixel cache will complain.
    try:
        with locking.temporary(path) as file:
            table.to_csv(file, index=False)
    except OSError:
        pass
    return table


def read_examples(prepared: Path, chunk: int = 32) -> Iterator[list[dict[str, Any]]]:
    """All examples in the order of the table, in lists of up to `chunk`, images as encoded bytes.

    Raises:
      DamagedError: the records cannot be read.
    """
    builder = tfds.builder_from_directory(prepared)
    for split in SPLITS:
        # A phantom or a sample may have no example in one of the splits.
        if split not in builder.info.splits:
            continue
        decoders = {"image": tfds.decode.SkipDecoding()}
        examples = builder.as_data_source(split, decoders=decoders)
        for start in range(0, len(examples), chunk):
            try:
                yield examples.__getitems__(list(range(start, min(start + chunk, len(examples)))))
            except RuntimeError as error:  # what array_record raises, also for a missing file
                raise DamagedError(
                    f"the prepared dataset in {prepared} is damaged, or not all there:\n{error}\n"
                    "Remove that folder and run again."
                ) from error


def order_key(table: pd.DataFrame) -> str:
    """Hash of which image stands in which row: 16 hex digits."""
    lines = "\n".join(table["image"] + " " + table["sha256"])
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _state(prepared: Path) -> tuple[str, int]:
    """A hash that changes when the dataset does, and how many examples it has."""
    try:
        info = json.loads((prepared / "dataset_info.json").read_text())
        files = sorted((file.name, file.stat()) for file in prepared.iterdir())
    except OSError as error:
        raise FileNotFoundError(
            f"no prepared dataset in {prepared}: {error.strerror}. "
            "`python -m tfds_coronahack --archive=FILE` prepares one."
        ) from error
    state = [TABLE_VERSION, str(prepared.resolve())]
    state += [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in files]
    examples = sum(int(n) for split in info["splits"] for n in split["shardLengths"])
    return hashlib.sha256("\n".join(map(str, state)).encode()).hexdigest()[:16], examples


def _from_records(prepared: Path) -> pd.DataFrame:
    names = {name: _class_names(prepared, name) for name in ("label", "cause")}
    records: list[dict[str, Any]] = []
    for examples in read_examples(prepared):
        for example in examples:
            records.append(
                {
                    "row": len(records),
                    "image": _text(example["image/name"]),
                    "label": names["label"][int(example["label"])],
                    "cause": names["cause"][int(example["cause"])],
                    "source": _text(example["source"]),
                    **{name: _text(example[name]) for name in ("group", "mode", "sha256")},
                    **{name: int(example[name]) for name in ("height", "width", "phash")},
                    "kaggle_split": _text(example["kaggle_split"]),
                    "bytes": len(example["image"]),
                }
            )
    return pd.DataFrame(records, columns=list(COLUMNS)).astype(COLUMNS)


def _from_csv(path: Path, examples: int) -> pd.DataFrame:
    """Reads a copy of the table. Raises ValueError where it is not whole."""
    table = pd.read_csv(path, dtype=COLUMNS, keep_default_na=False)
    if list(table.columns) != list(COLUMNS) or list(table["row"]) != list(range(examples)):
        raise ValueError(f"{path} is damaged")
    return table


def _class_names(prepared: Path, feature: str) -> list[str]:
    # TFDS writes the names of a ClassLabel beside the data.
    return (prepared / f"{feature}.labels.txt").read_text().split("\n")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
