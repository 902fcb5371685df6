"""Which runs a report is about: read only, and none of them stops the others."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from covidjax.runs.folder import Run, look
from tfds_coronahack.paths import encodable, expanded


def collect(patterns: Sequence[str], without: Path | None = None) -> list[Run]:
    """The runs that paths and patterns such as `runs/*` name, in the order of their names.

    Arguments as `find`.
    """
    found, missing = find(patterns, without)
    return [look(folder, name) for name, folder in found.items()] + missing


def find(patterns: Sequence[str], without: Path | None = None) -> tuple[dict[str, Path], list[Run]]:
    """The folders by the names of their runs, unread, and what is not there.

    Args:
      patterns: a path that is not there, or a pattern that fits nothing, is a missing run.
      without: a folder that is left out: the report's own.
    """
    found: dict[Path, str] = {}
    missing: list[Run] = []
    for pattern in patterns:
        path = expanded(pattern)  # one that is there is no pattern, whatever its name
        paths = [str(path)] if path.exists() else sorted(glob.glob(str(path)), key=natural)
        folders = [path for path in map(Path, paths) if path.is_dir()]
        if not paths:
            missing.append(Run(pattern, Path(pattern), "missing", "nothing is there"))
        elif not folders:
            missing.append(Run(pattern, Path(pattern), "no run", "it is a file, not a folder"))
        for folder in folders:
            if without is None or folder.resolve() != without.resolve():
                found.setdefault(folder.resolve(), str(folder))
    folders = [Path(path) for path in found.values()]
    return dict(zip(unlike(folders), folders, strict=True)), missing


# Folders of a run that hold no other run.
PASSED_OVER = ("checkpoints", "figures", "tables", "tensorboard", "profile")


def looks_at_test(runs: Sequence[Run]) -> int:
    """How many finished runs below the common folder of these have tested on the same TEST.

    Runs that nobody reports have looked too, and may be why the reported ones were chosen. Counted
    are those with the data's fingerprint of one of these runs and figures of the split `test`.
    """
    prints = {_fingerprint(run) for run in runs} - {""}
    root = os.path.commonpath([run.folder.resolve().parent for run in runs])
    count = 0
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if name not in PASSED_OVER]
        if "results.json" in files and "config.json" in files:
            run = look(Path(folder))
            count += "test" in run.results.get("splits", {}) and _fingerprint(run) in prints
    return count


def _fingerprint(run: Run) -> str:
    return str(run.data.get("fingerprint") or "")


def natural(text: str) -> list[tuple[int, str]]:
    """A key by which run-2 comes before run-10."""
    parts: list[str] = []
    for character in text:
        if parts and character.isdigit() == parts[-1][-1].isdigit():
            parts[-1] += character
        else:
            parts.append(character)
    return [(int(p), "") if p.isdecimal() and p.isascii() else (-1, p) for p in parts]


def unlike(folders: Sequence[Path]) -> list[str]:
    """The last parts of each path that tell it from the others."""
    parts = [folder.resolve().parts for folder in folders]
    names = []
    for place, own in enumerate(parts):
        others = parts[:place] + parts[place + 1 :]
        count = 1
        while count < len(own) and any(own[-count:] == other[-count:] for other in others):
            count += 1
        names.append(encodable("/".join(own[-count:])))
    return names
