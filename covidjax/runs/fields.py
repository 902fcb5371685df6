"""Config fields: nested ones in a flat form, the nearest to a mistyped one, and limits."""

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


def check_values(
    fields: Mapping[str, Any],
    values: Mapping[str, Sequence[str]],
    ranges: Mapping[str, tuple[float, float | None]],
    below_one: Sequence[str],
) -> None:
    """Raises ValueError, one line, where a field has none of its values or is out of its range.

    Args:
      fields: flat.
      values: field -> the texts that it may be.
      ranges: field -> lowest and highest, both allowed; None for no limit.
      below_one: fields that must be in [0, 1).
    """
    for name, known in values.items():
        if name in fields and fields[name] not in known:
            hint = nearest(str(fields[name]), [value for value in known if value])
            raise ValueError(f"config.{name}={fields[name]!r} is unknown{hint}")
    for name, (low, high) in ranges.items():
        if name in fields and not low <= fields[name] <= (math.inf if high is None else high):
            limits = f"at least {low}" if high is None else f"from {low} to {high}"
            raise ValueError(f"config.{name} must be {limits}, got {fields[name]}")
    for name in below_one:
        if name in fields and not 0 <= fields[name] < 1:
            raise ValueError(f"config.{name} must be in [0, 1), got {fields[name]}")
