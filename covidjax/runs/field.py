"""What is known of one config field, and short ways to write it down."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a config.

    Attributes:
      default: its value where nobody gives another, and so its type.
      help: one line.
      choices: the texts that it may be; none: any.
      low, high: numbers that it may just be.
      above, below: numbers that it may not quite be.
      free: it does not decide the result: a run may be resumed with another value.
    """

    default: Any
    help: str
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    free: bool = False

    @property
    def limits(self) -> str:
        """Its range in words, such as "at least 1" or "in [0, 1)"; "" without one."""
        low, high = max(self.low, self.above), min(self.high, self.below)
        if low == -math.inf:
            return ""
        if high == math.inf:
            return f"above {low:g}" if self.above == low else f"at least {low:g}"
        if self.low == low and self.high == high:
            return f"from {low:.10g} to {high:.10g}"
        left, right = "(" if self.above == low else "[", ")" if self.below == high else "]"
        return f"in {left}{low:g}, {high:g}{right}"

    def holds(self, value: Any) -> bool:
        """Whether a number is in the range."""
        return self.low <= value <= self.high and self.above < value < self.below


Fields = Mapping[str, Field]


def number(default: float, help: str, low: float = 0, **limits: Any) -> Field:
    """A field whose value is at least `low`."""
    return Field(default, help, low=low, **limits)


def share(default: float, help: str, **limits: Any) -> Field:
    """A field in [0, 1)."""
    return Field(default, help, low=0, below=1, **limits)


def place(help: str, default: str = "") -> Field:
    """A field that says where something is, which decides nothing."""
    return Field(default, help, free=True)


def changed(
    fields: Fields, defaults: Mapping[str, Any], texts: Mapping[str, str] | None = None
) -> Fields:
    """The fields with other defaults and other texts."""
    texts = texts or {}
    return {
        name: dataclasses.replace(
            field, default=defaults.get(name, field.default), help=texts.get(name, field.help)
        )
        for name, field in fields.items()
    }


def below(section: str, fields: Fields) -> Fields:
    """The fields under `section.`."""
    return {f"{section}.{name}": field for name, field in fields.items()}
