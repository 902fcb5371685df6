"""Builds the CoronaHack dataset: `python -m tfds_coronahack --archive=PATH [--data_dir=DIR]`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tfds_coronahack.kaggle import download
from tfds_coronahack.paths import NoHomeError, expanded
from tfds_coronahack.preparation import prepare, prepared_dir
from tfds_coronahack.report import format_report, read_report
from tfds_coronahack.terminal import keep_printing


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line, builds, prints the report. Returns the exit status: 0, or 2."""
    keep_printing()
    args = _parser().parse_args(arguments)
    try:
        try:
            data_dir = expanded(args.data_dir)
        except NoHomeError as error:
            raise ValueError(f"{error}: give --data_dir, or set TFDS_DATA_DIR") from error
        if not args.download and not all(args.archive):
            raise ValueError("--archive is empty: give the path of the zip or folder")
        given = ",".join(args.archive or ())
        archive = given or download(data_dir / "downloads" / "kaggle")
        before = prepared_dir(data_dir)
        prepared = prepare(archive, data_dir, beam_options=args.beam_pipeline_options)
        if before:  # a build prints its report itself
            print(format_report(read_report(prepared)))
    except (ValueError, OSError) as error:  # OSError: no space, no permission
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{'already prepared' if before else 'prepared'} in {prepared}")
    return 0


def _parser() -> argparse.ArgumentParser:
    default_dir = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    parser = argparse.ArgumentParser(
        prog="python -m tfds_coronahack",
        description="Builds the CoronaHack chest X-ray dataset as array_record, without "
        "TensorFlow. What is odd in the archive is listed and written to build_report.json.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--archive",
        action="append",
        metavar="[NAME=]PATH",
        help="Kaggle's zip, or the folder it unpacks to; given several times, or with commas "
        "between, all become one dataset, each image with the NAME of its source",
    )
    source.add_argument(
        "--download",
        action="store_true",
        help="download the archive from Kaggle (about 1.2 GB) to DATA_DIR/downloads/kaggle",
    )
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=Path(default_dir),
        metavar="DIR",
        help=f"where the data go (default: {default_dir}; TFDS_DATA_DIR changes it)",
    )
    parser.add_argument(
        "--beam_pipeline_options",
        type=lambda text: [f"--{option}" for option in text.split(",") if option],
        default=[],
        metavar="OPTION=VALUE,...",
        help="write the examples by Apache Beam, as in runner=DirectRunner (as tfds build has it)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
