"""Turns and ratios."""

import json
import time

import pytest

from benchmarks import report
from benchmarks.compare import TURN_SECONDS, Result, in_turns, paired_ratios, repeated


def test_the_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_the_medians():
    # The machine slows down for both sides in the last pairs.
    result = Result("x", "images/s", [10.0, 30.0, 4.0], [5.0, 10.0, 8.0])
    found = result.figures()
    assert (found["low"], found["ratio"], found["high"]) == (0.5, 2.0, 3.0)
    assert (found["ours"], found["theirs"]) == (10.0, 8.0)


def test_above_one_is_better_for_seconds_too():
    assert paired_ratios([2.0], [6.0], less_is_better=True) == [3.0]
    assert paired_ratios([2.0], [6.0], less_is_better=False) == [pytest.approx(1 / 3)]


def test_sides_of_different_length_are_refused():
    with pytest.raises(ValueError, match="zip"):
        paired_ratios([1.0, 2.0], [1.0], less_is_better=False)


def test_the_sides_take_turns_and_ours_begins():
    order: list[str] = []
    lines: list[str] = []

    def turn(name: str) -> float:
        order.append(name)
        return float(len(order))

    ours, theirs = in_turns(lambda: turn("ours"), lambda: turn("theirs"), 3, lines.append)
    assert order == ["ours", "theirs"] * 3
    assert (ours, theirs) == ([1.0, 3.0, 5.0], [2.0, 4.0, 6.0])
    assert lines[-1] == "3/3  ours 5  theirs 6"


def test_a_turn_lasts_long_enough_and_gives_a_speed():
    counts: list[int] = []

    def run(times: int) -> None:
        counts.append(times)
        time.sleep(0.02 * times)

    speed = repeated(run, amount=10)()
    assert counts[0] == 1
    assert 0.5 < counts[-1] * 0.02 / TURN_SECONDS < 1.05
    assert speed == pytest.approx(500, rel=0.3)


def test_json_has_the_six_fields_and_null_without_a_rival(tmp_path):
    results = [
        Result("a", "images/s", [8.0, 8.0], [4.0, 2.0], "somebody"),
        Result("b/1", "s", [3.0], less_is_better=True),
    ]
    report.write_json(tmp_path / "figures.json", results)
    found = json.loads((tmp_path / "figures.json").read_text())
    fields = ["ratio", "low", "high", "ours", "theirs", "unit"]
    assert list(found["a"]) == list(found["b/1"]) == fields
    assert found["a"] == dict(zip(fields, [3.0, 2.0, 4.0, 8.0, 3.0, "images/s"], strict=True))
    assert found["b/1"] == dict(zip(fields, [None, None, None, 3.0, None, "s"], strict=True))


def test_the_table_lines_up_and_names_the_rival():
    results = [
        Result("long_name", "images/s", [12345.6], [1.0], "torch eager"),
        Result("b", "s", [0.5], less_is_better=True),
    ]
    lines = report.table(results).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        *("long_name", "12345.60", "12345.60 - 12345.60", "12,346", "1.00", "images/s"),
        "torch eager",
    ]
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == [
        *("b", "-", "-", "0.50", "-", "s", "-")
    ]
