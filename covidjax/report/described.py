"""A look's sections as JSON, for other reports, and small facts of the files they name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covidjax.report.document import Figure, Section, Table


def png_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, of its header."""
    with path.open("rb") as file:
        header = file.read(24)[16:]
    return int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")


def relative(path: Path, folder: Path) -> str:
    """A path below `folder` as links write it."""
    return path.relative_to(folder).as_posix()


def as_json(sections: Sequence[Section], folder: Path) -> list[dict[str, Any]]:
    """The sections as JSON values, paths relative to `folder`; rows of tables are in the CSV."""
    found = []
    for section in sections:
        blocks = [_block_json(b, folder) for b in section.blocks if isinstance(b, Figure | Table)]
        found.append(
            {
                "key": section.key,
                "title": section.title,
                "paragraphs": list(section.paragraphs),
                "figures": [block for block in blocks if "png" in block],
                "tables": [block for block in blocks if "csv" in block],
            }
        )
    return found


def _block_json(block: Figure | Table, folder: Path) -> dict[str, Any]:
    common = {"name": block.name, "caption": block.caption}
    if isinstance(block, Figure):
        svg = relative(block.svg, folder) if block.svg else None
        return {**common, "alt": block.alt, "png": relative(block.png, folder), "svg": svg}
    columns = [str(name) for name in block.frame.columns]
    return {
        **common,
        "csv": relative(block.csv, folder),
        "columns": columns,
        "rows": len(block.frame),
    }
