"""Radiographs from elsewhere, evaluated at the end of a run: a folder with a CSV.

The CSV, the only one in the folder, has the columns `image` (path below the folder), `label` (a
class of the task) and perhaps `group` or `patient` (without them every image is its own). Of adults
of the COVID-19 Image Data Collection the patient is written `cohen-46`: other images of patients
that the run trains or validates with are left out.
`load` and `without_known` look at all of it before the training starts; `external_figures` does the
rest.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.classify.external_csv import ExternalError, read_csv
from covidjax.data import cache, preprocess
from covidjax.data.table import read_examples
from covidjax.images import reading
from tfds_coronahack import decoding, similarity
from tfds_coronahack.groups import adults, base_name


@dataclasses.dataclass(frozen=True)
class External:
    """The images of a folder that can be used, [n] each, and why the others cannot.

    Attributes:
      folder: where they are.
      names: as in the CSV.
      groups: of the intervals.
      patients: as in the CSV, or as CoronaHack's table of adults has them; "" where not known.
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
    patients: NDArray[np.str_]
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
    table = read_csv(folder, classes)
    number = {name.casefold(): index for index, name in enumerate(classes)}
    rows: list[tuple[Any, ...]] = []
    left_out: dict[str, str] = {}
    notes: dict[str, str] = {}
    columns = [table[column] for column in ("image", "label", "group", "patient")]
    for name, label, group, patient in zip(*columns, strict=True):
        try:
            # As the pixel cache decodes: see `cache.DECODE_SCALE`.
            image = reading.read_image(folder / name, min_side=cache.DECODE_SCALE * size)
            row = (
                *(name, group, patient, number[label.casefold()]),
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
    names, groups, patients, labels, images, sha256, thumbnails = map(
        np.array, zip(*rows, strict=True)
    )
    arrays = (names, groups, patients, labels, images, sha256, thumbnails)
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
    """Leaves out what the run trains or chooses by: bytes, nearly the same picture, patients.

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
    seen = patients_of(used["image"])
    for index, patient in enumerate(external.patients.tolist()):
        if index not in reasons and (image := seen.get(patient.casefold())):
            reasons[index] = f"is of patient {patient}, whose {image} the run was trained with"
    return _without(external, reasons, "the run was trained with all of its images or patients")


def patients_of(images: Iterable[str]) -> dict[str, str]:
    """The adult patients of images, in lower case, and one image of each."""
    table = adults()
    known = {image: table.get(base_name(image), {}).get("patient", "") for image in images}
    return {patient.casefold(): image for image, patient in known.items() if patient}


def _without(external: External, reasons: Mapping[int, str], if_all: str) -> External:
    """What is left without the images of these numbers. Raises ExternalError where nothing is."""
    kept = np.setdiff1d(np.arange(len(external.names)), list(reasons))
    if not len(kept):
        raise ExternalError(f"{external.folder}: {if_all}")
    found = {str(external.names[index]): reasons[index] for index in sorted(reasons)}
    columns = ("names", "groups", "patients", "labels", "images", "sha256", "thumbnails")
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


def _thumbnails(prepared: Path, rows: set[int]) -> dict[int, NDArray[np.uint8]]:
    """Of the originals in these rows of the dataset."""
    found: dict[int, NDArray[np.uint8]] = {}
    if not rows:
        return found
    start = 0
    for examples in read_examples(prepared):
        if len(found) == len(rows):
            break
        for row in rows & set(range(start, start + len(examples))):
            gray = decoding.decode_gray(examples[row - start]["image"])
            found[row] = similarity.thumbnail(gray)
        start += len(examples)
    return found
