"""The table and the JSON file."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import Result
from covidjax.locking import temporary

COLUMNS = ("name", "ratio", "low - high", "ours", "theirs", "unit", "against")
LEFT = ("name", "unit", "against")


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table whose columns also line up as plain text."""
    rows = [COLUMNS, *map(_row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if column in LEFT else text.rjust(width)
            for text, width, column in zip(row, widths, COLUMNS, strict=True)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    rule = [
        "-" * width if column in LEFT else "-" * (width - 1) + ":"
        for width, column in zip(widths, COLUMNS, strict=True)
    ]
    lines.insert(1, f"| {' | '.join(rule)} |")
    return "\n".join(lines)


def _row(result: Result) -> tuple[str, ...]:
    found = result.figures()
    if found["ratio"] is None:
        ratio = spread = theirs = "-"
    else:
        ratio = f"{found['ratio']:.2f}"
        spread = f"{found['low']:.2f} - {found['high']:.2f}"
        theirs = number(found["theirs"])
    return (
        result.name,
        ratio,
        spread,
        number(found["ours"]),
        theirs,
        result.unit,
        result.against or "-",
    )


def number(value: float | str | None) -> str:
    """Three digits, or all digits before the point."""
    assert isinstance(value, int | float)
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def write_json(path: Path, results: Sequence[Result]) -> None:
    """Writes {NAME: {"ratio", "low", "high", "ours", "theirs", "unit"}}.

    Raises OSError where the file cannot be written.
    """
    text = json.dumps({result.name: result.figures() for result in results}, indent=1)
    with temporary(path) as file:
        file.write(f"{text}\n".encode())
