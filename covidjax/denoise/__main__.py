"""Denoises radiographs: `python -m covidjax.denoise --run=WORKDIR IN... --out=DIR`

WORKDIR is a finished run of the experiment denoise. IN is an image (PNG, TIFF, JPEG, DICOM) or a
folder, whose files are all tried; what is in its folders goes to such folders below DIR. The
picture keeps its size and its depth: 16 bits in, 16 bits out, 8 in, 8 out. PNG and TIFF stay what
they are, other pictures become PNG, DICOM stays DICOM with the same header (a derived image with a
UID of its own; window and rescale as they were). Large images are done in tiles, so memory stays
bounded.

The network knows the noise that its run was trained on, and images of about its run's size; how
much of a diagnosis it keeps stands in that run's results.json. It makes pictures for research. Do
not read patients' radiographs by them.

    python -m covidjax.denoise --run=runs/dae radiograph.png --out=denoised
    python -m covidjax.denoise --run=runs/dae folder other/radiograph.dcm --out=denoised

Exit status: 0; 1 where a file could not be read or written (its own line says why); 2 where nothing
was done; 130 where it was stopped by Ctrl-C.
"""

import argparse
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import covidjax
from covidjax.cli.commands import documented, make_folder, path_argument, run_command
from covidjax.denoise import denoiser, tiles
from covidjax.images import full_depth, reading
from tfds_coronahack.paths import files_below, readable

# The endings of other pictures that are read.
PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".dib", ".gif", ".webp", ".apng"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".pbm", ".pgm", ".ppm", ".pnm"),
)


class DenoiseError(ValueError):
    """A command line that cannot be followed; the message says what to change."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    return run_command("denoise", lambda: _run(options))


def _run(given: argparse.Namespace) -> int:
    targets = find_targets(given.paths, given.out)
    if not given.overwrite and (there := [path for path in targets.values() if path.exists()]):
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise DenoiseError(f"{there[0]}{more}: there already; give another --out, or --overwrite")
    run = denoiser.load_denoiser(given.run)
    make_folder(given.out)
    bad = done = 0
    with tqdm(
        total=len(targets), unit=" images", disable=not sys.stderr.isatty(), leave=False
    ) as progress:
        try:
            for line, well in denoise_files(run, targets):
                tqdm.write(line)
                bad, done = bad + (not well), done + 1
                progress.update()
        except KeyboardInterrupt:
            print(f"denoise: stopped after {done} of {len(targets)} files", file=sys.stderr)
            return 130
    if bad:
        print(f"{bad} of {len(targets)} files were not denoised", file=sys.stderr)
    if run.phantom:
        print(
            "PHANTOM: trained on synthetic images; this network knows nothing of patients' films",
            file=sys.stderr,
        )
    return int(bad > 0)


def find_targets(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """{file to read: file to write}, each once, in order; hidden files of folders are left out.

    Raises:
      DenoiseError: a path that does not exist, no file at all, two files that would be written to
        the same place, or a file that would be written over itself.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise DenoiseError(f"{path}: there is no such file or folder")
        if not path.is_dir():
            found[path] = target(out / path.name)
            continue
        for file in files_below(path, left_out=[out]):  # what an earlier call wrote
            found[file] = target(out / file.relative_to(path))
    if not found:
        raise DenoiseError(f"no file in {', '.join(map(str, paths))}")
    written: dict[Path, Path] = {}
    for source, destination in found.items():
        if (other := written.setdefault(destination, source)) != source:
            raise DenoiseError(
                f"{other} and {source} would both be written to {destination}; denoise them apart"
            )
        if os.path.realpath(destination) == os.path.realpath(source):
            raise DenoiseError(f"{source} would be written over itself; give another --out")
    return found


def target(path: Path) -> Path:
    """The path with the suffix that what is read there is written with."""
    suffix = path.suffix.lower()
    if suffix in (*full_depth.LOSSLESS, ".dcm", ".dicom"):
        return path
    # A picture becomes PNG. DICOM files may have no suffix, or what looks like one (1.2.840.113).
    return path.with_suffix(".png") if suffix in PICTURES else path


def denoise_files(run: denoiser.Denoiser, targets: dict[Path, Path]) -> Iterator[tuple[str, bool]]:
    """Denoises each file into its target; one line for a person, and whether all went well."""
    mark = "  PHANTOM" if run.phantom else ""
    made_by = (
        f"{'PHANTOM ' if run.phantom else ''}denoised by covidjax {covidjax.__version__} "
        f"({run.name}, trained on {run.noise.kind} noise); not for diagnosis"
    )
    for source, destination in targets.items():
        name, place = readable(source), readable(destination)
        try:
            radiograph = full_depth.read_radiograph(source)
            gray = denoise_gray(run, radiograph.gray)
            full_depth.write_radiograph(destination, radiograph, gray, made_by)
        except OSError as error:
            yield f"{name}  not written to {place}: {reading.reason(error)}{mark}", False
            continue
        except Exception as error:  # whatever is wrong with one file is that file's alone
            yield f"{name}  not read: {reading.reason(error)}{mark}", False
            continue
        height, width = gray.shape
        change = 255 * float(np.sqrt(np.mean((gray - radiograph.gray) ** 2)))
        notes = "".join(f"; {note}" for note in radiograph.notes)
        yield (
            (
                f"{name} -> {place}  {width} x {height}, {radiograph.bits} bits, changed by "
                f"{change:.1f} of 255 levels (RMS){notes}{mark}"
            ),
            True,
        )


def denoise_gray(run: denoiser.Denoiser, gray: full_depth.Gray) -> full_depth.Gray:
    """Float32 [height, width] of any size; a noise map's level is estimated on all of it."""
    levels = None
    if run.config.model.get("noise_map"):
        levels = denoiser.estimated_levels(gray[None])
    return tiles.denoise_image(functools.partial(run, levels=levels), gray)


def _parser() -> argparse.ArgumentParser:
    parser = documented("covidjax.denoise", __doc__)
    parser.add_argument(
        "paths", nargs="+", type=path_argument, metavar="IN", help="image or folder"
    )
    parser.add_argument(
        "--run", type=path_argument, required=True, metavar="WORKDIR", help="a finished run"
    )
    parser.add_argument(
        "--out", type=path_argument, required=True, metavar="DIR", help="folder to write to"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
