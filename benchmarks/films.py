"""Full-size radiographs for the input and the build: an archive's, or synthetic ones."""

import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import cores
from covidjax.data import source, table
from tfds_coronahack import phantom, phantom_plan

DRAWN = 12  # radiographs; drawing one takes a second
FILMS = 240
SIZE = 1050  # of the shorter side, about: most radiographs come out at 1,300 x 1,000 px or so
QUALITY = 90  # of the JPEGs, which are then of about 200 kB


def archive(folder: Path) -> Path:
    """Synthetic JPEG images in the archive's own layout, below `folder`; made on the first call.

    Each is one of a few drawn images, cut a little differently: as much work to decode, and not the
    same picture.
    """
    made = folder / "films"
    if made.exists():
        return made
    unfinished = folder / "unfinished"
    rows = [
        dataclasses.replace(row, name=row.name.rpartition(".")[0] + ".jpeg")
        for row in phantom_plan.plan(FILMS, 0)
    ]
    with ThreadPoolExecutor(cores()) as pool:
        drawn = list(pool.map(draw, rows[:DRAWN]))
        contents = pool.map(lambda row: _cut(drawn[row.index % DRAWN], row.index // DRAWN), rows)
        for row, content in zip(rows, contents, strict=True):
            path = unfinished / row.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    marker = {"phantom": True, "note": "Synthetic images for benchmarks."}
    (unfinished / phantom.MARKER).write_text(json.dumps(marker), "utf-8")
    metadata = unfinished / "Chest_xray_Corona_Metadata.csv"
    metadata.write_text(phantom_plan.metadata_csv(rows), "utf-8")
    return unfinished.rename(made)


def draw(row: phantom_plan.Row) -> NDArray[np.uint8]:
    """One synthetic radiograph, uint8 [height, width]."""
    encoded = np.frombuffer(phantom.make_image(row, 0, SIZE), np.uint8)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)


def _cut(film: NDArray[np.uint8], step: int) -> bytes:
    margin = 2 * step
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return cv2.imencode(".jpeg", film[margin:, margin:], options)[1].tobytes()


def prepared(settings_archive: Path | None, folder: Path) -> source.Prepared:
    """The dataset prepared from the archive given, or else from synthetic radiographs."""
    chosen = settings_archive or archive(folder)
    return source.resolve("auto", "", str(chosen), progress=False)


def files(dataset: source.Prepared, folder: Path) -> Sequence[Path]:
    """The dataset's images as files below `folder`, in the bytes of the archive."""
    paths: list[Path] = []
    for examples in table.read_examples(dataset.path):
        for example in examples:
            path = folder / f"{len(paths)}-{example['image/name'].decode()}"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(example["image"])
            paths.append(path)
    return paths
