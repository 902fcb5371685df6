"""Radiographs from elsewhere, evaluated at the end of a run: a folder with a CSV.

The CSV, the only one in the folder, has the columns `image` (path below the folder), `label` (a
class of the task) and perhaps `group` (patient or examination; without it every image is its own).
`load` and `without_known` look at all of it before the training starts, `evaluate` does the rest.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.data import cache, preprocess, reading
from covidjax.data.table import read_examples
from covidjax.evaluation import intervals, metrics, results
from tfds_coronahack import decoding, similarity

SPLIT = "external"


class ExternalError(ValueError):
    """A folder that cannot be evaluated; the message says what to mend."""


@dataclasses.dataclass(frozen=True)
class External:
    """The images of a folder that can be used, [n] each, and why the others cannot.

    Attributes:
      folder: where they are.
      names: as in the CSV.
      groups: of the intervals.
      labels: int, indices of the classes.
      images: uint8 [n, size, size], prepared as the run's own.
      sha256: of the files, hex.
      thumbnails: uint8 [n, 64, 64], for `similarity`.
      left_out: name -> reason.
      notes: name -> what is odd about an image that was read.
    """

    folder: Path
    names: NDArray[np.str_]
    groups: NDArray[np.str_]
    labels: NDArray[np.int64]
    images: NDArray[np.uint8]
    sha256: NDArray[np.str_]
    thumbnails: NDArray[np.uint8]
    left_out: dict[str, str]
    notes: dict[str, str]


def load(
    folder: Path, classes: Sequence[str], *, size: int, equalize: str, resize: str
) -> External:
    """Reads the CSV and every image; what cannot be read, and copies, are left out with the reason.

    Raises:
      ExternalError: no such folder, not exactly one CSV in it, columns, labels or images that are
        missing or twice there, or not one image that can be used.
    """
    table = _read_csv(folder, classes)
    number = {name.casefold(): index for index, name in enumerate(classes)}
    rows: list[tuple[Any, ...]] = []
    left_out: dict[str, str] = {}
    notes: dict[str, str] = {}
    for name, label, group in zip(table["image"], table["label"], table["group"], strict=True):
        try:
            # As the pixel cache decodes: see `cache.DECODE_SCALE`.
            image = reading.read_image(folder / name, min_side=cache.DECODE_SCALE * size)
            row = (
                *(name, group, number[label.casefold()]),
                preprocess.prepare_image(image.gray, size, equalize, resize),
                hashlib.sha256((folder / name).read_bytes()).hexdigest(),
                similarity.thumbnail(image.gray),
            )
        except Exception as error:  # whatever is wrong with one file is that file's alone
            left_out[name] = reading.reason(error)
            continue
        rows.append(row)
        if image.notes:
            notes[name] = "; ".join(image.notes)
    if not rows:
        name, reason = next(iter(left_out.items()))
        raise ExternalError(
            f"{folder}: not one of {len(left_out)} images is read; {name}: {reason}"
        )
    names, groups, labels, images, sha256, thumbnails = map(np.array, zip(*rows, strict=True))
    arrays = (names, groups, labels, images, sha256, thumbnails)
    return _without_copies(External(folder, *arrays, left_out, notes))


def _without_copies(external: External) -> External:
    """Leaves out all but the first copy of a picture, and of one with two labels every copy.

    Copies are the same bytes, whatever the names, or nearly the same picture as the builder has it
    (`similarity.near_identical_pairs`).
    """
    thumbnails, names = external.thumbnails, external.names
    hashes = np.array([similarity.perceptual_hash(thumb) for thumb in thumbnails], np.uint64)
    pairs = similarity.near_identical_pairs(hashes, thumbnails)
    _, first = np.unique(external.sha256, return_inverse=True)
    same = [(int(i), int(j)) for i, j in np.argwhere(np.triu(first[:, None] == first[None], 1))]
    reasons = {}
    for copies in similarity.clusters([*pairs, *same]):
        labels = {int(external.labels[index]) for index in copies}
        for index in copies[len(labels) == 1 :]:
            other = copies[0] if index != copies[0] else copies[1]
            under = "" if len(labels) == 1 else ", under another label"
            reasons[index] = f"is the same picture as {names[other]}{under}"
    return _without(external, reasons, "no picture has one label alone")


def without_known(
    external: External, prepared: Path, table: pd.DataFrame, rows: NDArray[np.int64]
) -> External:
    """Leaves out what the run trains or chooses by: the same bytes, or nearly the same picture.

    Near-identical as the builder has it (`similarity.near_identical_pairs`): perceptual hashes
    within 8 bits, confirmed by the pixels of the originals.

    Args:
      external: of `load`.
      prepared: the dataset's versioned folder.
      table: of `read_table(prepared)`.
      rows: of the table, training and validation images.

    Raises:
      ExternalError: nothing is left.
    """
    used = table.iloc[np.unique(rows)]
    same = dict(zip(used["sha256"], used["image"], strict=True))
    reasons = {
        index: f"is {same[digest]}, which the run was trained with"
        for index, digest in enumerate(external.sha256)
        if digest in same
    }
    hashes = [similarity.perceptual_hash(thumb) for thumb in external.thumbnails]
    distances = similarity.hamming_distances(
        np.array(hashes, np.uint64), used["phash"].to_numpy(np.uint64)
    )
    near = distances <= similarity.MAX_DISTANCE
    near[list(reasons)] = False
    originals = _thumbnails(prepared, set(used["row"].to_numpy()[near.any(axis=0)].tolist()))
    for index, column in zip(*np.nonzero(near), strict=True):
        known = used.iloc[column]
        likeness = similarity.detail_correlation(
            external.thumbnails[index], originals[int(known["row"])]
        )
        if likeness >= similarity.MIN_CORRELATION:
            reasons[int(index)] = f"is nearly {known['image']}, which the run was trained with"
    return _without(external, reasons, "the run was trained with all of its images")


def _without(external: External, reasons: Mapping[int, str], if_all: str) -> External:
    """What is left without the images of these numbers. Raises ExternalError where nothing is."""
    kept = np.setdiff1d(np.arange(len(external.names)), list(reasons))
    if not len(kept):
        raise ExternalError(f"{external.folder}: {if_all}")
    found = {str(external.names[index]): reasons[index] for index in sorted(reasons)}
    columns = ("names", "groups", "labels", "images", "sha256", "thumbnails")
    return dataclasses.replace(
        external,
        left_out=external.left_out | found,
        **{column: getattr(external, column)[kept] for column in columns},
    )


def digest(external: External) -> str:
    """A hash of what is evaluated: files, labels and groups, wherever the folder lies."""
    rows = zip(external.names, external.groups, external.labels, external.sha256, strict=True)
    text = "\n".join(",".join(map(repr, map(str, row))) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()


def report(external: External) -> str:
    """What to print before the training: how many images, and which are left out why."""
    lines = [f"external: {len(external.names)} images of {external.folder}"]
    shown = list(external.left_out.items())[:10]
    lines += [f"  left out: {name}: {reason}" for name, reason in shown]
    if len(external.left_out) > len(shown):
        lines.append(f"  and {len(external.left_out) - len(shown)} more, see results.json")
    if external.notes:
        name, note = next(iter(external.notes.items()))
        lines.append(f"  notes on {len(external.notes)}, see results.json; {name}: {note}")
    return "\n".join(lines)


def evaluate(
    external: External,
    probabilities: NDArray[np.float64],
    threshold: float | None,
    classes: Sequence[str],
    folder: Path,
    *,
    phantom: bool,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes `predictions_external.csv` into the run's folder, and returns the figures.

    Args:
      external: what is left after `without_known`.
      probabilities: [n, classes], those that `covidjax.predict` gives: calibrated, the mean over
        the run's networks.
      threshold: on class 1's calibrated probability, the run's own (mean over its folds); None for
        more than two classes.
      classes: names.
      folder: the run's workdir.
      phantom: the run is synthetic.
      samples, seed: of the bootstrap over groups.

    Returns:
      What belongs under `splits` as `external` (figures with intervals; those that need two
      classes are undefined where the folder has one), and what belongs in `results.json` as
      `external`: {"folder", "images", "labels": {class: images}, "threshold", "confusion_matrix",
      "left_out": {image: reason}, "notes": {image: note}}.
    """
    results.write_predictions(
        folder / f"predictions_{SPLIT}.csv",
        list(external.names),
        list(external.groups),
        external.labels,
        None,
        probabilities,
        classes,
        phantom=phantom,
    )
    figures = intervals.metrics_with_intervals(
        external.labels, probabilities, external.groups, threshold, samples=samples, seed=seed
    )
    counts = np.bincount(external.labels, minlength=len(classes)).tolist()
    matrix = metrics.confusion_matrix(external.labels, probabilities, threshold)
    facts: Mapping[str, Any] = {
        "folder": external.folder.name,
        "images": len(external.names),
        "labels": dict(zip(classes, counts, strict=True)),
        "threshold": threshold,
        "confusion_matrix": matrix.tolist(),
        "left_out": external.left_out,
        "notes": {name: external.notes[name] for name in external.names if name in external.notes},
    }
    return figures, dict(facts)


def _read_csv(folder: Path, classes: Sequence[str]) -> pd.DataFrame:
    """image, label, group as text, checked against the classes and the files."""
    if not folder.is_dir():
        raise ExternalError(f"{folder}: there is no such folder")
    tables = sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables) or "none"
        raise ExternalError(f"{folder} must hold one CSV of image,label[,group]; there is {found}")
    path = tables[0]
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    try:
        names = pd.read_csv(path, nrows=0, index_col=False, **options).columns.str.strip()
        if missing := {"image", "label"} - set(names):
            raise ExternalError(
                f"{path} has no column {' or '.join(sorted(missing))}; it has "
                f"{', '.join(map(str, names))}, and needs image,label[,group]"
            )
        # The names are read as a row, so that a row with more fields than they is an error.
        rows = pd.read_csv(path, header=None, **options).apply(lambda column: column.str.strip())
    except ExternalError:
        raise
    except (ValueError, OSError) as error:  # pandas' parser and codec errors are ValueErrors
        raise ExternalError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    table = rows.iloc[1:].set_axis(rows.iloc[0].tolist(), axis=1).reset_index(drop=True)
    if twice_named := set(table.columns[table.columns.duplicated()]) & {"image", "label", "group"}:
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
    # An image without a group is its own; the mark keeps it apart from groups of that name.
    table["group"] = np.where(table["group"] == "", "image " + table["image"], table["group"])
    return table[["image", "label", "group"]]


def _thumbnails(prepared: Path, rows: set[int]) -> dict[int, NDArray[np.uint8]]:
    """Of the originals in these rows of the dataset."""
    found: dict[int, NDArray[np.uint8]] = {}
    start = 0
    for examples in read_examples(prepared):
        if len(found) == len(rows):
            break
        for row in rows & set(range(start, start + len(examples))):
            gray = decoding.decode_gray(examples[row - start]["image"])
            found[row] = similarity.thumbnail(gray)
        start += len(examples)
    return found
