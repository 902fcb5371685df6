"""Runs and measures covidjax on the accelerator at hand, within minutes, and writes a table.

    python -m benchmarks.accelerator --out=runs/accelerator
    python -m benchmarks.accelerator --minutes=8 --archive=archive.zip --out=runs/accelerator
    python -m benchmarks.accelerator --dry-run --out=/tmp/dry    # tiny sizes, on any machine

Each part runs in a process of its own and is stopped when its share of the time is over; a part
that fails or is stopped is a row that says so, and the rest goes on. Rows are written to
OUT/results.jsonl as they come, and OUT/table.md is written anew after each of them: a session that
is killed leaves what it had. No network is needed. docs/accelerators.md tells how to come with a
folder of wheels to a machine that has none, and how to a TPU VM.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.accelerator import table
from benchmarks.accelerator.parts import PARTS, Part, Row, Settings, run
from benchmarks.compare import progress
from covidjax.cli.commands import path_argument, run_command
from covidjax.locking import temporary
from covidjax.runs.flat import nearest


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0, 1 where something failed or was stopped, 2 for a mistake."""
    options = _parser().parse_args(arguments)
    return run_command("accelerator", lambda: session(options), on_device=False)


def session(options: argparse.Namespace) -> int:
    """Runs the parts, keeps their rows, and prints the table; returns the exit status.

    Raises:
      ValueError, OSError: a mistake in the options, or a folder that cannot be written to.
    """
    results = options.out / "results.jsonl"
    names = options.only or [part.name for part in PARTS]
    if problem := _problem(names, options, results):
        raise ValueError(problem)
    options.out.mkdir(parents=True, exist_ok=True)
    archive = str(options.archive.resolve()) if options.archive else ""
    settings = Settings(options.dry_run, archive, str(options.out.resolve()))
    rows: list[Row] = []
    stopped = False
    try:
        with results.open("a", encoding="utf-8") as file:
            for row in measure(names, settings, 60 * options.minutes):
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
                progress(table.line(row))
                with temporary(options.out / "table.md") as page:
                    page.write(table.page(rows).encode())
    except KeyboardInterrupt:
        stopped = True
    print(table.page(rows))
    failed = sum("failed" in row for row in rows)
    if stopped or failed:
        what = "broken off" if stopped else f"{failed} of {len(rows)} rows failed"
        progress(f"accelerator: {what}; the logs are in {options.out}")
    return 130 if stopped else int(bool(failed))


def measure(names: Sequence[str], settings: Settings, seconds: float) -> Iterator[Row]:
    """The rows of all parts; each part gets its share of the time that is left to those behind."""
    end = time.monotonic() + seconds
    parts = [part for part in PARTS if part.name in names]
    for index, part in enumerate(parts):
        limit = share(parts[index:], end - time.monotonic())
        progress(f"{part.name}: {part.about} (at most {limit:.0f} s)")
        for row in run(part, settings, limit):
            yield {"part": part.name, **row}


def share(parts: Sequence[Part], seconds: float) -> float:
    """What the first of some parts gets of the seconds that are left to all of them."""
    return max(0.0, seconds) * parts[0].share / sum(part.share for part in parts)


def _problem(names: Sequence[str], options: argparse.Namespace, results: Path) -> str:
    """What is wrong with the command, in one line; "" where nothing is."""
    known = [part.name for part in PARTS]
    for name in names:
        if name not in known:
            return f"--only: no part is called {name!r}{nearest(name, known)}"
    if options.minutes <= 0:
        return f"--minutes={options.minutes}: more than 0"
    if options.archive and not options.archive.exists():
        return f"--archive={options.archive}: there is no such file or folder"
    if results.exists():
        return f"{results} is there; give another --out"
    if options.out.exists() and not options.out.is_dir():
        return f"--out={options.out}: is no folder"
    return ""


def _parser() -> argparse.ArgumentParser:
    about = "\n".join(f"  {part.name:<10} {part.about}" for part in PARTS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator",
        description=__doc__,
        epilog=f"parts:\n{about}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--minutes", type=float, default=8.0, metavar="M", help="of the session (default 8)"
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        default=Path("runs/accelerator"),
        metavar="DIR",
        help="for results.jsonl, table.md and the parts' logs (default runs/accelerator)",
    )
    parser.add_argument(
        "--archive", type=path_argument, metavar="PATH", help="CoronaHack's zip or folder"
    )
    parser.add_argument(
        "--only",
        type=lambda text: [name for name in text.split(",") if name],
        metavar="PART[,PART...]",
        help="the parts to run (default: all)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="tiny sizes, to see that every part works"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
