"""Predicts radiographs with a finished run: `python -m covidjax.predict --run=WORKDIR PATH...`

PATH is an image (JPEG, PNG, TIFF, DICOM) or a folder, whose files are all tried. Prints a table and
writes the same as CSV. The probability is the mean over all networks of the run, on the scale that
the run's results name; it means no more than the run's shortcut audit, whose verdict stands beside
it. What is seen to be no frontal chest radiograph is refused: color photographs, far from square
images, DICOM
files of other modalities and views. A lateral image without a DICOM header is seen only sometimes.

    python -m covidjax.predict --run=runs/cnn xray.dcm
    python -m covidjax.predict --run=runs/cnn folder --out=called.csv --heatmap=maps
    python -m covidjax.predict --run=runs/cnn folder --json

Exit status: 0; 1 where a file could not be read (its own line says why); 2 where nothing was done;
130 where it was stopped by Ctrl-C (what was done by then is written).
"""

import argparse
import contextlib
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from covidjax import locking
from covidjax.classify import heatmaps, trained
from covidjax.cli.commands import documented, make_folder, path_argument, run_command
from covidjax.data.source import cache_root
from covidjax.images.reading import reason
from covidjax.kernels import build
from covidjax.runs import results
from tfds_coronahack.paths import files_below, readable


class PredictError(ValueError):
    """A command line that cannot be followed; the message says what to change."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    return run_command("predict", lambda: _run(options))


def _run(given: argparse.Namespace) -> int:
    out = given.out or (None if given.json else Path("predictions.csv"))
    if out and out.exists() and (out.is_dir() or not given.overwrite):
        mend = "" if out.is_dir() else ", or --overwrite"
        raise PredictError(f"{out} is there; give another --out{mend}")
    files = find_files(given.paths)
    run = trained.load(given.run)
    build.load(cache_root() / "kernels")
    rows: list[dict[str, Any]] = []
    stopped = False
    # Opened before the work: what cannot be written to should not be found out after it.
    with _opened(out) as csv_file:
        if given.heatmap:
            make_folder(given.heatmap)
        width = max(len(readable(path)) for path in files)
        hidden = not given.json or not sys.stderr.isatty()  # a table's lines show the progress
        with tqdm(total=len(files), unit=" images", disable=hidden, leave=False) as progress:
            try:
                for row in predict_files(run, files, given.heatmap):
                    rows.append(row)
                    progress.update()
                    if not given.json:
                        print(_line(run, row, width), flush=True)
            except KeyboardInterrupt:
                stopped = True
        if csv_file:
            csv_file.write(csv_text(run, rows).encode())
    if given.json:
        print(results.as_json(_summary(run, rows)))
    else:
        print(_footer(run, rows, out or Path()), file=sys.stderr)
    if stopped:
        print(f"predict: stopped after {len(rows)} of {len(files)} files", file=sys.stderr)
        return 130
    return int(any(row["error"] for row in rows))


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files, and all files in the folders and below, but hidden ones; each once, in order.

    Raises:
      PredictError: a path that does not exist, or no file at all.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise PredictError(f"{path}: there is no such file or folder")
        if not path.is_dir():
            found[path] = None
            continue
        found |= dict.fromkeys(files_below(path))
    if not found:
        raise PredictError(f"no file in {', '.join(map(str, paths))}")
    return list(found)


def predict_files(
    run: trained.Trained, files: Sequence[Path], maps: Path | None = None
) -> Iterator[dict[str, Any]]:
    """One row a file, in order; with `maps`, also writes a picture of each into that folder.

    Rows: `image` (path), `call` (a class; "" where the file is not read), `probabilities` ([k],
    calibrated, or None), `threshold` (on the probability of class 1, or None), `verdict` (of the
    run's audit), `notes` (of the reading), `error` ("" where all went well), `data` (PHANTOM where
    the run is synthetic).
    """
    predict = trained.make_predict(run)
    explain = heatmaps.make_explain(run) if maps else None
    for path, target in zip(files, _picture_names(files), strict=True):
        row: dict[str, Any] = {
            "image": readable(path),
            "call": "",
            "probabilities": None,
            "threshold": run.threshold,
            "verdict": run.verdict,
            "notes": "",
            "error": "",
            "data": "PHANTOM" if run.phantom else "coronahack",
        }
        try:
            reading, image = trained.prepare(run, path)
            probabilities = predict(image)
            called = call(run, probabilities)
            row |= {
                "call": run.classes[called],
                "probabilities": [float(p) for p in probabilities],
                "notes": "; ".join(reading.notes),
            }
            if maps and explain:
                shown = called if len(run.classes) > 2 else 1
                heat = explain(image, shown)
                heatmaps.write(run, maps / target, row, reading.gray, heat, shown)
        except Exception as error:  # whatever is wrong with one file is that file's alone
            row["error"] = reason(error)
        yield row


def call(run: trained.Trained, probabilities: NDArray[np.float64]) -> int:
    """The called class: by the threshold for two classes, else the most probable."""
    if run.threshold is None:
        return int(np.argmax(probabilities))
    return int(probabilities[1] >= run.threshold)


def csv_text(run: trained.Trained, rows: Sequence[dict[str, Any]]) -> str:
    """`image,call,p_CLASS...,threshold,verdict,notes,error,data`, one line a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"p_{name}" for name in run.classes]
    writer.writerow(["image", "call", *names, "threshold", "verdict", "notes", "error", "data"])
    for row in rows:
        shares = row["probabilities"] or [""] * len(names)
        others = [row[name] for name in ("threshold", "verdict", "notes", "error", "data")]
        writer.writerow([row["image"], row["call"], *shares, *others])
    return text.getvalue()


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO | None]:
    """The file to write, which appears under its name at the end; None for none."""
    if path is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        if locking.being_written(path):
            raise PredictError(f"another process is writing {path}; give another --out")
        try:
            file = stack.enter_context(locking.temporary(path))
        except OSError as error:
            raise PredictError(f"cannot write {path}: {error.strerror or error}") from error
        yield file


def _parser() -> argparse.ArgumentParser:
    parser = documented("covidjax.predict", __doc__)
    parser.add_argument(
        "paths", nargs="+", type=path_argument, metavar="PATH", help="image or folder"
    )
    parser.add_argument(
        "--run", type=path_argument, required=True, metavar="WORKDIR", help="a finished run"
    )
    parser.add_argument(
        "--out", type=path_argument, metavar="FILE", help="CSV; predictions.csv, with --json none"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace that file")
    parser.add_argument(
        "--heatmap",
        type=path_argument,
        metavar="DIR",
        help="write a picture of each image's Grad-CAM there",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _picture_names(files: Sequence[Path]) -> list[str]:
    """A picture's name for each file: its own, numbered where two files share one."""
    names: list[str] = []
    used: set[str] = set()
    for path in files:
        name, number = f"{path.name}.png", 2
        while name in used:
            name, number = f"{path.name}-{number}.png", number + 1
        used.add(name)
        names.append(name)
    return names


def _line(run: trained.Trained, row: dict[str, Any], width: int) -> str:
    mark = "  PHANTOM" if run.phantom else ""
    if not row["call"]:
        return f"{row['image']:<{width}}  not read: {row['error']}{mark}"
    names = max(map(len, run.classes))
    shown = range(len(run.classes)) if run.threshold is None else (1,)
    shares = "".join(f"  p({run.classes[i]})={row['probabilities'][i]:.3f}" for i in shown)
    cut = "" if run.threshold is None else f"  threshold {run.threshold:.3f}"
    notes = f"  ({row['notes']})" if row["notes"] else ""
    failed = f"  heatmap not written: {row['error']}" if row["error"] else ""
    return f"{row['image']:<{width}}  {row['call']:<{names}}{shares}{cut}{mark}{notes}{failed}"


def _footer(run: trained.Trained, rows: Sequence[dict[str, Any]], out: Path) -> str:
    bad = sum(not row["call"] for row in rows)
    lines = [f"{bad} of {len(rows)} files could not be read"] if bad else []
    lines.append(f"Probabilities: {run.scale}")
    lines.append(f"Audit of the run: {run.verdict}")
    if run.phantom:
        lines.append("PHANTOM: trained on synthetic images; this says nothing about patients")
    return "\n".join([*lines, f"Written to {readable(out)}"])


def _summary(run: trained.Trained, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What --json prints."""
    return {
        "run": str(run.folder),
        "task": run.config.task,
        "data": "PHANTOM" if run.phantom else "coronahack",
        "classes": list(run.classes),
        "networks": len(run.networks),
        "probabilities": run.scale,
        "threshold": run.threshold,
        "predictions": list(rows),
    }


if __name__ == "__main__":
    sys.exit(main())
