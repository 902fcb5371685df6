"""The result files: JSON of the figures and CSV of the predictions, replaced in one step."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from covidjax.locking import temporary
from tfds_coronahack.paths import encodable

PHANTOM_WARNING = "PHANTOM: synthetic images; these figures say nothing about patients"


class ResultsError(ValueError):
    """Results that cannot be written in the form asked for."""


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Writes results as indented JSON, in the given order.

    Numbers and arrays of NumPy and JAX become numbers and lists; paths become text, in which bytes
    that are no UTF-8 are escaped; nan and the infinities, which JSON does not know, become null.

    Raises:
      ResultsError: a value or a key that JSON cannot hold; names where it stands.
    """
    text = as_json(results)
    with temporary(path) as file:
        file.write((text + "\n").encode())


def read_results(workdir: Path) -> dict[str, Any]:
    """The `results.json` of a finished run."""
    return json.loads((workdir / "results.json").read_text(encoding="utf-8"))


def as_json(results: Mapping[str, Any]) -> str:
    """The text that `write_results` writes, without the last newline."""
    return json.dumps(_plain(results, "results"), indent=2, ensure_ascii=False, allow_nan=False)


def write_predictions(
    path: Path,
    image: Sequence[str],
    group: Sequence[str],
    label: ArrayLike,
    fold: ArrayLike | None,
    probabilities: ArrayLike,
    class_names: Sequence[str],
    *,
    raw: ArrayLike | None = None,
    phantom: bool = False,
) -> None:
    """Writes one CSV row an image: `image,group,label,fold,` and `p_<class>` for each class.

    Args:
      image, group: text [n].
      label: int [n], indices into class_names, written as the class's name; -1 (unknown) is
        written empty.
      fold: int [n], -1 written empty; None where there are no folds.
      probabilities: float [n, k], written with all digits, so that figures computed from the
        file are exactly the same (pandas before 3 reads so with float_precision="round_trip").
      class_names: k names.
      raw: float [n, k], the networks' own probabilities, written as `uncalibrated_<class>`.
      phantom: adds a last column `data` that says PHANTOM in every row.

    Raises:
      ResultsError: columns of different lengths, a label without a name.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    labels = np.asarray(label, dtype=np.int64)
    folds = np.full(len(labels), -1) if fold is None else np.asarray(fold, dtype=np.int64)
    lengths = [len(column) for column in (image, group, labels, folds, p)]
    if len(set(lengths)) > 1:
        names = ("image", "group", "label", "fold", "probabilities")
        counts = dict(zip(names, lengths, strict=True))
        raise ResultsError(f"prediction columns differ in length: {counts}")
    _check_classes(labels, p, class_names)
    table = pd.DataFrame(
        {
            "image": list(image),
            "group": list(group),
            "label": [class_names[i] if i >= 0 else "" for i in labels],
            "fold": [str(i) if i >= 0 else "" for i in folds],
        }
    )
    for index, name in enumerate(class_names):
        table[f"p_{name}"] = p[:, index]
    if raw is not None:
        for index, name in enumerate(class_names):
            table[f"uncalibrated_{name}"] = np.asarray(raw, dtype=np.float64)[:, index]
    if phantom:
        table["data"] = "PHANTOM"
    with temporary(path) as file:
        table.to_csv(file, index=False, lineterminator="\n")


def _check_classes(
    labels: NDArray[np.int64], p: NDArray[np.float64], class_names: Sequence[str]
) -> None:
    if p.ndim != 2 or p.shape[1] != len(class_names):
        raise ResultsError(
            f"probabilities {p.shape} do not fit the {len(class_names)} classes {class_names}"
        )
    if len(labels) and not (labels.min() >= -1 and labels.max() < len(class_names)):
        raise ResultsError(
            f"labels run from {labels.min()} to {labels.max()}, "
            f"names are given for 0 to {len(class_names) - 1}"
        )


def shown(figure: Mapping[str, Any]) -> str:
    """A figure of `results.json` in words: 0.974 [0.961, 0.985], or undefined."""
    value, interval = figure["value"], figure["ci95"]
    if value is None or math.isnan(value):
        return "undefined"
    edges = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"{value:.3f}{edges}"


def _plain(value: Any, where: str) -> Any:
    """value in JSON's own types, nan and infinities as None."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ResultsError(f"{where}: key {key!r} is not text")
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return encodable(os.fspath(value))
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.kind == "V":  # bfloat16
            array = array.astype(np.float64)
        if array.dtype.kind in "biufU":
            return _plain(array.tolist(), where)
    raise ResultsError(f"{where}: {type(value).__name__} cannot be written as JSON")
