"""Phantom archive: synthetic chest radiographs in the layout of Kaggle's CoronaHack archive.

    python -m tfds_coronahack.phantom --out=phantom.zip --images=500 --seed=0

makes a zip (or, where the name has no `.zip`, a folder) that the builder reads like the real one.
It serves to try the whole chain where the real images are not at hand, and to test an audit: with
no shortcut planted, size, mode, frame, marker and exposure of a image are drawn without a look at
the diagnosis; a planted shortcut ties one of them to it.

Where it departs from the original on purpose: COVID-19 has 8 % of the images instead of 1 % (enough
patients for five folds), the rare causes have at least a image or two each (from 100 images on),
every row has its file, and numbers of persons and images do not recur between TRAIN and TEST. The
names of adult images are `phantom-patientNNN-M`, their group is the part before the last hyphen.

The file PHANTOM.json in the archive marks it as synthetic and holds its parameters.
"""

import argparse
import difflib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tfds_coronahack.phantom_anatomy import draw_chest
from tfds_coronahack.phantom_film import draw_film, expose
from tfds_coronahack.phantom_opacities import lost_air
from tfds_coronahack.phantom_patient import draw_patient, draw_posture
from tfds_coronahack.phantom_plan import Row, metadata_csv, plan, summary_csv

VERSION = 1  # goes up when the same parameters give other images
SHORTCUTS = ("letter", "size", "border", "brightness")
MARKER = "PHANTOM.json"
FEWEST, MOST = 12, 10_000  # images; more would run out of film numbers
SMALLEST, LARGEST = 48, 1024  # pixels

# A planted shortcut says the truth about "sick or not" this often.
_FAITHFUL = 0.95


class PhantomError(ValueError):
    """Parameters or a destination that no phantom archive can be made for."""


# --- one image ----------------------------------------------------------------------------------


def make_image(row: Row, seed: int, size: int, shortcuts: Sequence[str] = ()) -> bytes:
    """The encoded image of one row: JPEG or PNG by the name's ending, gray or (one in ten) RGB.

    Depends on nothing but the arguments. With a shortcut planted, 95 % of the sick patients' images
    show it and 5 % of the healthy ones'.
    """
    patient = np.random.default_rng([seed, 1, row.patient])
    rng = np.random.default_rng([seed, 2, row.index])
    anatomy, disease = draw_patient(patient), int(patient.integers(2**31))
    posture, film = draw_posture(rng), draw_film(rng, size)
    quality, rgb = int(rng.integers(86, 95)), rng.random() < 0.1
    # Drawn whatever is planted, so that the rest of the radiograph does not change with it.
    shown = {name: (row.cause != "none") == (rng.random() < _FAITHFUL) for name in SHORTCUTS}
    if "letter" in shortcuts:
        film = replace(film, letter=shown["letter"])
    if "size" in shortcuts:
        k = 0.75 if shown["size"] else 1.25
        film = replace(film, height=round(k * film.height), width=round(k * film.width))
    if "border" in shortcuts:
        film = replace(film, frame=0.05 if shown["border"] else 0.0)
    if "brightness" in shortcuts:
        film = replace(film, target=film.target + (34 if shown["brightness"] else -34))
    side = round(1.5 * size)
    solid, air, vessels, lungs = draw_chest(anatomy, posture, side)
    lost = lost_air(row.cause, disease, side, lungs)
    lung = vessels - air
    gray = expose(solid + (1 - lost) * lung, solid + (1 - lost / 2) * lung, film, rng)
    pixels = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR) if rgb else gray
    ending = row.name[row.name.rindex(".") :]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if ending == ".jpeg" else []
    done, data = cv2.imencode(ending, pixels, options)
    if not done:
        raise PhantomError(f"OpenCV cannot write {ending} images; reinstall opencv-python-headless")
    return data.tobytes()


# --- the archive --------------------------------------------------------------------------------


def _members(
    rows: Sequence[Row], parameters: dict[str, object], threads: int
) -> Iterator[tuple[str, bytes]]:
    """(path, content) of every file of the archive, in a fixed order."""
    seed, size, shortcuts = (parameters[key] for key in ("seed", "size", "shortcuts"))
    yield MARKER, (json.dumps(parameters, indent=2) + "\n").encode()
    yield "Chest_xray_Corona_Metadata.csv", metadata_csv(rows).encode()
    yield "Chest_xray_Corona_dataset_Summary.csv", summary_csv(rows).encode()
    with ThreadPoolExecutor(threads) as pool:
        images = pool.map(lambda row: make_image(row, seed, size, shortcuts), rows)  # type: ignore[arg-type]
        for row, data in zip(rows, images, strict=True):
            yield row.path, data


def _check(destination: Path, images: int, seed: int, size: int, shortcuts: Sequence[str]) -> None:
    for name in shortcuts:
        if name not in SHORTCUTS:
            near = difflib.get_close_matches(name, SHORTCUTS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PhantomError(f"unknown shortcut {name!r}: {', '.join(SHORTCUTS)}{hint}")
    if not FEWEST <= images <= MOST:
        raise PhantomError(f"images={images}: must lie in {FEWEST} to {MOST}")
    if seed < 0:
        raise PhantomError(f"seed={seed}: must be 0 or more")
    if not SMALLEST <= size <= LARGEST:
        raise PhantomError(f"size={size}: must lie in {SMALLEST} to {LARGEST} pixels")
    if destination.suffix.lower() == ".zip":
        if destination.exists() and not is_phantom(destination):
            raise PhantomError(f"{destination} exists and is no phantom; it is left as it is")
    elif destination.exists() and not (destination.is_dir() and not any(destination.iterdir())):
        raise PhantomError(f"{destination} exists and is not an empty folder; remove it first")


def is_phantom(archive: Path) -> bool:
    """Whether a zip or a folder carries the phantom's marker file."""
    if archive.is_dir():
        return (archive / MARKER).is_file()
    if not zipfile.is_zipfile(archive):
        return False
    with zipfile.ZipFile(archive) as opened:
        return MARKER in opened.namelist()


def write_archive(
    destination: Path,
    *,
    images: int = 500,
    seed: int = 0,
    size: int = 128,
    shortcuts: Sequence[str] = (),
    threads: int | None = None,
) -> Path:
    """Writes a phantom archive and returns its path.

    destination: ends in `.zip`, or names a folder that is empty or not there. It appears whole or
    not at all; a phantom zip of that name is replaced, anything else is left alone. size: about
    the shorter side of the images in pixels; each varies by itself. shortcuts: any of SHORTCUTS.
    threads: default all cores; the bytes written do not depend on it, nor on the day.

    Raises PhantomError (a ValueError) for parameters out of range and a destination in the way.
    """
    destination = Path(destination)
    _check(destination, images, seed, size, shortcuts)
    parameters: dict[str, object] = {
        "phantom": True,
        "note": "Synthetic images. Nothing measured on them says anything about patients.",
        "version": VERSION,
        "images": images,
        "seed": seed,
        "size": size,
        "shortcuts": [name for name in SHORTCUTS if name in shortcuts],
    }
    members = _members(plan(images, seed), parameters, threads or os.cpu_count() or 1)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".phantom-", dir=destination.parent) as scratch:
        made = Path(scratch) / "archive"
        if destination.suffix.lower() == ".zip":
            with zipfile.ZipFile(made, "w") as opened:
                for path, data in members:
                    opened.writestr(zipfile.ZipInfo(path), data)  # dated 1980: same bytes always
        else:
            for path, data in members:
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_bytes(data)
        os.replace(made, destination)
    return destination


def _parser() -> argparse.ArgumentParser:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m tfds_coronahack.phantom",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="a name ending in .zip, or a folder"
    )
    parser.add_argument("--images", type=int, default=500, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--size", type=int, default=128, help="pixels (default %(default)s)")
    parser.add_argument(
        "--shortcuts",
        default="",
        metavar="NAME[,NAME...]",
        help=f"shortcuts to plant, of {', '.join(SHORTCUTS)} (default none). Sick films have: a "
        "letter P in the upper right corner; 0.6 times the size; a black frame; lighter grays",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    shortcuts = [name for name in options.shortcuts.split(",") if name]
    try:
        path = write_archive(
            options.out,
            images=options.images,
            seed=options.seed,
            size=options.size,
            shortcuts=shortcuts,
        )
    except (PhantomError, OSError) as error:
        print(f"phantom: {error}", file=sys.stderr)
        return 2
    print(
        f"{options.images} synthetic films in {path}; shortcuts: {', '.join(shortcuts) or 'none'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
