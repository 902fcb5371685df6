"""Flat names and hints."""

from covidjax.runs import fields


def test_flatten_and_nearest() -> None:
    assert fields.flatten({"a": 1, "b": {"c": {"d": 2}}}) == {"a": 1, "b.c.d": 2}
    assert fields.nearest("epoch", ["epochs", "seed"]) == ", did you mean epochs?"
    assert fields.nearest("zzz", ["epochs", "seed"]) == "; known: epochs, seed"
