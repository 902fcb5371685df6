"""The CSV of a folder of radiographs from elsewhere, checked before anything else takes time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfds_coronahack.groups import adults, base_name

COLUMNS = ("image", "label", "group", "patient")


class ExternalError(ValueError):
    """A folder that cannot be evaluated; the message says what to mend."""


def read_csv(folder: Path, classes: Sequence[str]) -> pd.DataFrame:
    """image, label, group and patient as text, checked against the classes and the files."""
    if not folder.is_dir():
        raise ExternalError(f"{folder}: there is no such folder")
    tables = sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables) or "none"
        raise ExternalError(
            f"{folder} must hold one CSV of image,label[,group][,patient]; there is {found}"
        )
    path = tables[0]
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    try:
        names = pd.read_csv(path, nrows=0, index_col=False, **options).columns.str.strip()
        if missing := {"image", "label"} - set(names):
            raise ExternalError(
                f"{path} has no column {' or '.join(sorted(missing))}; it has "
                f"{', '.join(map(str, names))}, and needs image,label[,group][,patient]"
            )
        # The names are read as a row, so that a row with more fields than they is an error.
        rows = pd.read_csv(path, header=None, **options).apply(lambda column: column.str.strip())
    except ExternalError:
        raise
    except (ValueError, OSError) as error:  # pandas' parser and codec errors are ValueErrors
        raise ExternalError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    table = rows.iloc[1:].set_axis(rows.iloc[0].tolist(), axis=1).reset_index(drop=True)
    if twice_named := set(table.columns[table.columns.duplicated()]) & {*COLUMNS}:
        raise ExternalError(f"{path} has the column {min(twice_named)} more than once")
    if table.empty:
        raise ExternalError(f"{path} has no rows")
    known = {name.casefold() for name in classes}
    if unknown := sorted({label for label in table["label"] if label.casefold() not in known}):
        raise ExternalError(
            f"{path}: no class is called {', '.join(map(repr, unknown[:5]))}; the task has "
            f"{', '.join(classes)}"
        )
    if (twice := table["image"].duplicated()).any():
        raise ExternalError(f"{path} names {table['image'][twice].iloc[0]} more than once")
    paths = table["image"].map(Path)
    outside = [path for path in paths if path.is_absolute() or ".." in path.parts]
    if outside:
        raise ExternalError(f"{path} names files that do not lie below {folder}: '{outside[0]}'")
    lost = [name for name in table["image"] if not name or not (folder / name).is_file()]
    if lost:
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        raise ExternalError(
            f"{path} names files that are not in {folder}: {', '.join(map(repr, lost[:5]))}{more}"
        )
    if "group" not in table:
        table["group"] = ""
    if "patient" not in table:
        table["patient"] = ""
    table["group"] = np.where(table["group"] == "", table["patient"], table["group"])
    rows = adults()
    by_name = [rows.get(base_name(name), {}).get("patient", "") for name in table["image"]]
    for column in (table["group"], by_name):  # what else may name an adult of the collection
        table["patient"] = np.where(table["patient"] == "", column, table["patient"])
    # An image without a group is its own; the mark keeps it apart from groups of that name.
    table["group"] = np.where(table["group"] == "", "image " + table["image"], table["group"])
    return table[["image", "label", "group", "patient"]]
