"""Names of config fields: nested ones in a flat form, and the nearest to a mistyped one."""

import difflib
from collections.abc import Mapping
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


def nearest(name: str, known: list[str]) -> str:
    """ ", did you mean ...?" with the nearest known names, for an error line."""
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    return f", did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}"
