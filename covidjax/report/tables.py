"""Tables of figures with intervals: how they are written, and when one of them is the best."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from covidjax.report.markdown import (
    Cell,
    Grid,
    Markdown,
    as_cell,
    escape,
    marked,
    md,
    plain,
    struck,
)

Value = Mapping[str, Any]  # {"value", "ci95", "n"} of results.json
BOLD_RULE = (
    "Bold: the best of a column, where its interval lies beyond those of all others in the table."
)


class Column(NamedTuple):
    """A figure's column. `larger`: whether more is better; None where none is best."""

    key: str
    title: str
    larger: bool | None = True
    digits: int = 3


class Row(NamedTuple):
    """One line: what stands before the figures, the figures, and those that must not be trusted."""

    lead: tuple[str, ...]
    figures: Mapping[str, Value]
    struck: tuple[str, ...] = ()
    phantom: bool = False


def shown(figure: Value | None, digits: int = 3) -> str:
    """A figure of `results.json` in words: 0.974 [0.961, 0.985]; "undefined", or "" for none."""
    if figure is None:
        return ""
    value, interval = figure["value"], figure["ci95"]
    if value is None:
        return "undefined"
    edges = f" [{written(interval[0], digits)}, {written(interval[1], digits)}]" if interval else ""
    return f"{written(value, digits)}{edges}"


def written(value: float, digits: int) -> str:
    """A number with so many decimals, without a minus before nothing."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def best_of(figures: Sequence[Value | None], larger: bool | None) -> int | None:
    """The place of the best figure, where its interval parts from the intervals of all others.

    None where they overlap, where there is nothing to compare, or where one has no interval: then
    it is not known.
    """
    known = [(place, figure) for place, figure in enumerate(figures) if figure is not None]
    if larger is None or len(known) < 2:
        return None
    if any(figure["value"] is None or not figure["ci95"] for _, figure in known):
        return None
    sign = 1 if larger else -1
    place, best = max(known, key=lambda one: sign * one[1]["value"])
    low = min(sign * edge for edge in best["ci95"])
    others = [max(sign * e for e in figure["ci95"]) for at, figure in known if at != place]
    return place if low > max(others) else None


def compared(
    name: str,
    caption: Markdown,
    leads: Sequence[str],
    rows: Sequence[Row],
    columns: Sequence[Column],
) -> Grid:
    """A table of figures; columns that no row has are left out.

    The caption ends with the rule of the bold ones where there is one, and begins with PHANTOM
    where a row is of synthetic images, which then says so too.
    """
    columns = [one for one in columns if any(one.key in row.figures for row in rows)]
    best = {
        one.key: best_of([row.figures.get(one.key) for row in rows], one.larger) for one in columns
    }
    cells = []
    for place, row in enumerate(rows):
        lead = [as_cell(text) for text in row.lead]
        for one in columns:
            lead.append(_figure_cell(row, one, best[one.key] == place))
        cells.append(tuple(lead))
    bold = any(place is not None for place in best.values())
    several = len(rows) > 1 and any(one.larger is not None for one in columns)
    if bold:
        caption = Markdown(f"{caption} {BOLD_RULE}")
    elif several:
        caption = Markdown(f"{caption} No best is marked: intervals overlap, or are unknown.")
    if any(row.struck for row in rows):
        caption = Markdown(f"{caption} Struck through: the image's border alone comes near it.")
    return marked(
        Grid(
            name,
            (*leads, *(one.title for one in columns)),
            tuple(cells),
            caption,
            _frame(leads, rows, columns),
            any(row.phantom for row in rows),
        )
    )


def _figure_cell(row: Row, column: Column, best: bool) -> Cell:
    figure = row.figures.get(column.key)
    text = shown(figure, column.digits)
    value = None if figure is None else figure["value"]
    if column.key in row.struck:
        return Cell(struck(text), value)
    return Cell(md("**{text}**", text=text) if best else escape(text), value)


def _frame(leads: Sequence[str], rows: Sequence[Row], columns: Sequence[Column]) -> pd.DataFrame:
    """The numbers with all digits: value, low, high and n of each figure."""
    lines = []
    for row in rows:
        line: dict[str, Any] = {
            lead: plain(text) for lead, text in zip(leads, row.lead, strict=True)
        }
        for one in columns:
            figure = row.figures.get(one.key)
            low, high = (figure and figure["ci95"]) or (None, None)
            line |= {
                one.key: figure and figure["value"],
                f"{one.key}_low": low,
                f"{one.key}_high": high,
                f"{one.key}_n": figure and figure.get("n"),
            }
        lines.append(line | {"data": "PHANTOM" if row.phantom else "coronahack"})
    return pd.DataFrame(lines)
