"""A sweep: the points of a config's `sweep`, one run after the other, each in a folder of its own.

Every point is a command line of its own (a process, so that one that dies takes none along), and
what is known of it stands in `points/NAME.json`. The same command resumes where it was stopped;
`--shard=I/N` does every N-th point from the I-th on, so N machines that share the folder, or a
Slurm array, do all of them.
"""

import itertools
import runpy
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections

from covidjax.cli import sweep_table
from covidjax.cli.command_line import config_name, config_path
from covidjax.cli.sweep_point import Point, run_point, state_of
from covidjax.runs.flat import flatten, listed, nearest
from covidjax.training.signals import StoppedError
from tfds_coronahack.paths import expanded

FOLDS = "folds"  # the sweep whose points are the folds of one cross-validation
MERGED = "all"  # the folder of what is merged of them
OWN = ("sweep", "shard", "dry", "nodry", "merge", "nomerge", "workdir")  # no flag of a point
WITHOUT_VALUE = ("dry", "nodry", "merge", "nomerge")


def command(
    config: ml_collections.ConfigDict,
    explicit: Mapping[str, Any],
    arguments: Sequence[str],
    flags: Any,
) -> int:
    """What `launch.py --sweep` does; a mistake is one line on stderr.

    Args:
      config, explicit, arguments: of `run`.
      flags: `sweep` (None where it is not given), `shard`, `dry`, `merge` and `workdir`.

    Returns:
      The exit status.
    """
    name = f"{config_name(arguments)}-{(flags.sweep or 'sweep').replace(',', '-')}"
    workdir = Path(flags.workdir or f"runs/{name}")
    try:
        workdir = expanded(workdir)
        if flags.sweep is None:
            raise ValueError("--shard, --dry and --merge are for --sweep")
        return run(
            config,
            explicit,
            arguments,
            workdir,
            path=config_path(arguments),
            sweeps=flags.sweep,
            shard=flags.shard,
            dry=flags.dry,
            merge=flags.merge,
        )
    except StoppedError as error:
        print(f"{error}; the same command with --workdir={workdir} resumes", file=sys.stderr)
        return 128 + error.signal
    except (ValueError, OSError) as error:
        print(f"launch.py: {error}", file=sys.stderr)
        return 2


def run(
    config: ml_collections.ConfigDict,
    explicit: Mapping[str, Any],
    arguments: Sequence[str],
    workdir: Path,
    *,
    path: str,
    sweeps: str,
    shard: str = "",
    dry: bool = False,
    merge: bool = False,
) -> int:
    """Runs the points that are not finished, and writes `summary.csv`.

    Args:
      config: with what the command line sets.
      explicit: the fields that it sets.
      arguments: the whole command line, from the script on.
      workdir: of the sweep.
      path: of the config file.
      sweeps: names of its sweeps, comma between, all points with all; "" for its first one.
      shard: "I/N", I from 0 on; "" for all points.
      dry: lists the points with their commands, and runs and writes nothing.
      merge: makes one cross-validation of the finished folds, in `workdir/all`.

    Returns:
      The exit status: 0, or 1 where a point failed.

    Raises:
      ValueError: no such sweep or shard, a swept field is set too, or the folder is a run's.
      StoppedError: the point under way has saved, and the same command resumes.
    """
    if (workdir / "config.json").exists():
        raise ValueError(f"--workdir={workdir} holds a run; choose another folder for a sweep")
    points = make_points(config, explicit, arguments, workdir, path=path, sweeps=sweeps)
    mine = points[part_of(shard)]
    if merge:
        return merge_folds(points, sweeps, arguments, workdir)
    if dry:
        for point in mine:
            print(f"{point.name}  {state_of(point, workdir)['state']}\n  {shown(point.command)}")
        return 0
    for number, point in enumerate(mine, start=1):
        if state_of(point, workdir)["state"] != "finished":
            print(f"Point {number} of {len(mine)}: {point.name}", flush=True)
            run_point(point, workdir)
            write_summary(points, workdir)
    table = write_summary(points, workdir)
    swept = [point.fields for point in points]
    print(f"{sweep_table.text(table, swept)}\nsummary.csv and the points' folders are in {workdir}")
    failed = [point.name for point in mine if state_of(point, workdir)["state"] == "failed"]
    if failed:
        count = f"{len(failed)} of {len(mine)} points failed"
        print(f"launch.py: {count}: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def make_points(
    config: ml_collections.ConfigDict,
    explicit: Mapping[str, Any],
    arguments: Sequence[str],
    workdir: Path,
    *,
    path: str,
    sweeps: str,
) -> list[Point]:
    """The points of the sweeps, in their order; the arguments are those of `run`."""
    make = runpy.run_path(path).get("sweep")
    if make is None:
        raise ValueError(f"--sweep: {path} has no sweep()")
    known: dict[str, dict[str, dict[str, Any]]] = make(config)
    names = listed(sweeps) or list(known)[:1]
    for name in names:
        if name not in known:
            raise ValueError(f"--sweep={name}: {path} has no such sweep{nearest(name, [*known])}")
    fields = flatten(config.to_dict())
    base = _without_own(arguments)
    points = []
    for combined in itertools.product(*(known[name].items() for name in names)):
        changes: dict[str, Any] = {}
        for _, change in combined:
            changes |= change
        for field in changes:
            if field not in fields:
                raise ValueError(f"--sweep: the config has no field {field!r}")
            if field in explicit:
                raise ValueError(f"--config.{field} is swept by --sweep={','.join(names)}")
        name = "-".join(part for part, _ in combined)
        flags = [f"--config.{field}={value}" for field, value in changes.items()]
        if fields.get("checkpoint_dir"):  # or all points would write into one
            flags.append(f"--config.checkpoint_dir={fields['checkpoint_dir']}/{name}")
        command = [sys.executable, *base, *flags, f"--workdir={workdir / name}"]
        points.append(Point(name, changes, command))
    return points


def part_of(shard: str) -> slice:
    """Which points are those of "I/N", of which the first is "0/N"; of "" all.

    Raises:
      ValueError: it is none of them.
    """
    if not shard:
        return slice(None)
    first, _, count = shard.partition("/")
    if not (first.isdigit() and count.isdigit() and int(first) < int(count)):
        raise ValueError(
            f"--shard={shard}: write I/N with I from 0 to N - 1 (a Slurm array: --array=0-3 and "
            "--shard=$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT)"
        )
    return slice(int(first), None, int(count))


def merge_folds(
    points: Sequence[Point], sweeps: str, arguments: Sequence[str], workdir: Path
) -> int:
    """One cross-validation of the folds' networks: what `fold=all` would have given."""
    if listed(sweeps) != [FOLDS]:
        raise ValueError(f"--merge is for --sweep={FOLDS}")
    missing = [p.name for p in points if state_of(p, workdir)["state"] != "finished"]
    if missing:
        raise ValueError(f"--merge: not finished in {workdir}: {', '.join(missing)}")
    flags = ["--config.fold=all", f"--config.folds_from={workdir}"]
    command = [sys.executable, *_without_own(arguments), *flags, f"--workdir={workdir / MERGED}"]
    return subprocess.call(command)


def write_summary(points: Sequence[Point], workdir: Path) -> sweep_table.Rows:
    """Writes `summary.csv` of all points, whichever shard did them, and returns its rows."""
    rows = [
        sweep_table.row(point.name, point.fields, state_of(point, workdir), workdir / point.name)
        for point in points
    ]
    if sweep_table.chooses([point.fields for point in points]):
        rows = sweep_table.without_tests(rows)
    sweep_table.write(workdir / "summary.csv", rows)
    return rows


def shown(command: Sequence[str]) -> str:
    """A command line to copy."""
    return shlex.join(["python", *command[1:]])


def _without_own(arguments: Sequence[str]) -> list[str]:
    """The command line without the flags that are the sweep's."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        name, equals, _ = argument.lstrip("-").partition("=")
        if skip and not argument.startswith("-"):  # a lone --sweep has no value
            skip = False
            continue
        skip = False
        if argument.startswith("-") and name in OWN:
            skip = not equals and name not in WITHOUT_VALUE
        else:
            kept.append(argument)
    return kept
