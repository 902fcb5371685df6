"""Config fields as text: nested ones in a flat form, lists, and the nearest to a mistyped one."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields as `a.b`: value."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def listed(text: str) -> list[str]:
    """The parts of "a, b,c"; none of ""."""
    return [part.strip() for part in text.split(",") if part.strip()]


def positive_numbers(parts: Sequence[str], setting: str) -> tuple[float, ...]:
    """The numbers that the parts of a text spell.

    Raises:
      ValueError: something that is no finite number above 0; begins with `setting`.
    """
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError:
        numbers = (-1.0,)
    if not all(0 < number < math.inf for number in numbers):
        raise ValueError(f"{setting}: write numbers above 0, as in 15,25,50")
    return numbers


def nearest(name: str, known: list[str]) -> str:
    """ ", did you mean ...?" with the nearest known names, for an error line."""
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    return f", did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}"
