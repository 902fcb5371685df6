"""Splits as files that another run, or another lab, can be given.

A manifest is a CSV of `image,group,fold,part` below one comment line that holds the SHA-256 of the
rest, so that a changed copy is noticed, and PHANTOM where the images are synthetic.
"""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax import locking
from covidjax.data import splits

MARK = "# covidjax split manifest, sha256 of the lines below: "


class ManifestError(ValueError):
    """A manifest that cannot be used; the message says which line or column."""


def write(
    path: Path, folds: Sequence[splits.Fold], table: pd.DataFrame, *, phantom: bool = False
) -> str:
    """Writes the folds, and returns the hash."""
    body = _body(folds, table)
    digest = hashlib.sha256(body.encode()).hexdigest()
    with locking.temporary(path) as file:
        note = " PHANTOM" if phantom else ""
        file.write(f"{MARK}{digest}{note}\n{body}".encode())
    return digest


def digest(folds: Sequence[splits.Fold], table: pd.DataFrame) -> str:
    """The hash that `write` would give these folds."""
    return hashlib.sha256(_body(folds, table).encode()).hexdigest()


def read(path: Path, table: pd.DataFrame, labels: NDArray[np.int32]) -> list[splits.Fold]:
    """The folds of a manifest, checked against the data.

    Raises:
      ManifestError: as `read_rows`; a part without images, images that the data lack or that the
        task does not use.
    """
    frame = read_rows(path)
    try:
        folds = splits.from_columns(frame.to_dict("list"), table)
    except ValueError as error:
        raise ManifestError(f"{path}: {error}") from error
    empty = [part for fold in folds for part in splits.PARTS if not len(getattr(fold, part))]
    if empty or not folds:
        raise ManifestError(f"{path} has no images of {empty[0] if empty else 'any part'}")
    used = np.concatenate([getattr(fold, part) for fold in folds for part in splits.PARTS])
    if (labels[used] < 0).any():
        raise ManifestError(
            f"{path} holds images that the task does not use: it is of another task"
        )
    return folds


def read_rows(path: Path) -> pd.DataFrame:
    """The rows of a manifest, `image,group,fold,part`, as they were written.

    Raises:
      ManifestError: no such file, no text, a wrong hash, or other columns.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"data.manifest={path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is no split manifest: it is no text") from error
    first, _, body = text.partition("\n")
    if not first.startswith(MARK):
        raise ManifestError(f"{path} is no split manifest: its first line must begin {MARK!r}")
    if hashlib.sha256(body.encode()).hexdigest() != first.removeprefix(MARK).removesuffix(
        " PHANTOM"
    ):
        raise ManifestError(f"{path} was changed since it was written: its hash does not fit")
    frame = pd.read_csv(
        io.StringIO(body), dtype={"image": str, "group": str}, keep_default_na=False
    )
    if list(frame.columns) != ["image", "group", "fold", "part"]:
        raise ManifestError(f"{path} has the columns {', '.join(frame.columns)}")
    return frame


def _body(folds: Sequence[splits.Fold], table: pd.DataFrame) -> str:
    return pd.DataFrame(splits.as_columns(folds, table)).to_csv(index=False, lineterminator="\n")
