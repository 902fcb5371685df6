"""Imports go down only: a room knows those on lower floors, and none beside it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From the ground up, as CONTRIBUTING.md has them. `locking` writes files, for every floor.
FLOORS = (
    ("tfds_coronahack",),
    ("locking",),
    ("images",),
    ("data", "kernels"),
    ("training",),
    ("runs", "models"),
    ("evidence", "cli"),
    ("audit", "transfer"),
    ("classify",),
    ("denoise",),
    ("report",),
    ("tune", "dip", "eda"),
    ("predict", "export", "compare", "ladder"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str:
    """The room of a dotted name; "" for the package itself, whose version all may read."""
    top, _, rest = module.partition(".")
    return top if top == "tfds_coronahack" else rest.partition(".")[0]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all imports of our own in a file, those within functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] in ("covidjax", "tfds_coronahack"):
                yield node.lineno, name


def rising(root: Path) -> list[str]:
    """`FILE:LINE imports NAME` for each import that does not go down."""
    found = []
    for path in sorted(root.joinpath("covidjax").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        own = room_of(module)
        for line, name in imports(path):
            other = room_of(name)
            if own == "__init__" or other in (own, "", "__version__"):
                continue
            if FLOOR[other] >= FLOOR[own]:
                found.append(f"{path.relative_to(root)}:{line} imports {name}")
    return found


def test_no_import_goes_up_or_sideways():
    assert rising(ROOT) == []


def test_every_room_has_a_floor():
    parts = {path.stem for path in ROOT.joinpath("covidjax").iterdir()}
    parts -= {"__init__", "__pycache__", "py"}
    assert parts == set(FLOOR) - {"tfds_coronahack"}


def test_an_import_that_goes_up_is_named_with_file_and_line(tmp_path):
    room = tmp_path / "covidjax" / "data"
    room.mkdir(parents=True)
    (room / "low.py").write_text("import os\n\n\ndef f():\n    from covidjax.report import draft\n")
    (room / "side.py").write_text("from covidjax import kernels\n")
    assert rising(tmp_path) == [
        "covidjax/data/low.py:5 imports covidjax.report.draft",
        "covidjax/data/side.py:1 imports covidjax.kernels",
    ]
