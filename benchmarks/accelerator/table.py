"""The rows of a session in Markdown, for `benchmarks/README.md`."""

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.accelerator import expected
from benchmarks.accelerator.parts import PARTS, Row

NOT_SHOWN = ("part", "name")


def page(rows: Sequence[Row]) -> str:
    """All that was measured so far: a table a part, what was not as computed, what failed."""
    return "\n".join(_page(rows)).rstrip() + "\n"


def _page(rows: Sequence[Row]) -> Iterator[str]:
    names = [row["name"] for row in expected.of_part(rows, "devices") if "devices" in row]
    yield f"## {', '.join(names) or 'Devices unknown'}, {datetime.date.today()}"
    yield ""
    for part in PARTS:
        found = expected.of_part(rows, part.name)
        if not found:
            continue
        yield f"### {part.name}: {part.about}"
        yield ""
        if any("test" in row for row in found):
            outcomes = [row.get("test", "failed") for row in found]
            counts = (f"{outcomes.count(name)} {name}" for name in ("passed", "failed", "skipped"))
            yield f"{', '.join(counts)}."
            found = [row for row in found if "failed" in row]
            yield ""
        yield from _table([_with_share(row, rows) for row in found])
        yield ""
    differing = list(expected.lines(rows))
    yield "### Not as computed in docs/scaling.md"
    yield ""
    yield from (f"- {line}" for line in differing or ["Nothing that was measured."])


def _with_share(row: Row, rows: Sequence[Row]) -> Row:
    """The row, with the share of the measured matrix speed that its step reaches."""
    speed = expected.ceilings(rows, row.get("dtype", ""))[0]
    if "TFLOP/s" not in row or not speed:
        return row
    cells: Row = {}
    for name, value in row.items():
        cells[name] = value
        if name == "TFLOP/s":
            cells["of matrix speed"] = f"{1e12 * value / speed / row['devices']:.0%}"
    return cells


def _table(rows: Sequence[Row]) -> Iterator[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row if _shown(name)))
    if not rows:
        return
    yield f"| | {' | '.join(columns)} |"
    texts = {"dtype", "note", "failed", "step", "test"}
    rules = ("---" if name in texts else "---:" for name in columns)
    yield f"| --- | {' | '.join(rules)} |" if columns else "| --- |"
    for row in rows:
        cells = (cell(row.get(name, "")) for name in columns)
        yield f"| {cell(row['name'])} | {' | '.join(cells)} |"


def line(row: Row) -> str:
    """A row as one line of progress."""
    cells = [f"{name} {cell(value)}" for name, value in row.items() if _shown(name)]
    return f"  {row['name']}: {', '.join(cells)}"


def _shown(name: str) -> bool:
    return name not in NOT_SHOWN and not name.startswith("_")


def cell(value: Any) -> str:
    """Three digits of a number, or all before the point; a bar would end the cell."""
    if isinstance(value, float):
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
        return f"{value:,.{digits}f}"
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(str(value).split()).replace("|", "/")
