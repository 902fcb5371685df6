"""Runs in words: values that are alike are said once, others with their runs or their table."""

import made_runs
import pytest

from covidjax.report import words
from covidjax.report.collect import collect
from covidjax.report.markdown import plain
from covidjax.runs.folder import Run


def runs(*sizes: int) -> list[Run]:
    return [
        Run(f"r{n}", None, "finished", "", {}, {"config": {"experiment": "dip", "size": size}})  # type: ignore[arg-type]
        for n, size in enumerate(sizes)
    ]


def test_a_value_that_all_have_is_said_once() -> None:
    assert plain(words.alike(runs(64, 64), "size")) == "64"
    assert plain(words.alike(runs(64), "size", lambda n: f"{n} px")) == "64 px"
    assert plain(words.alike(runs(64), "depth")) == "unknown"
    assert plain(words.alike(runs(64), "depth", without="none")) == "none"


def test_values_that_differ_are_said_with_their_runs() -> None:
    assert plain(words.alike(runs(64, 96, 64), "size")) == "64 (r0 and r2) and 96 (r1)"


def test_of_many_runs_the_table_of_settings_is_named() -> None:
    assert words.alike(runs(64, 96, 64, 64, 64), "size") == "64 or 96 (see Settings)"
    assert plain(words.names(runs(*range(9)))).endswith("r3 and 5 more")


def test_only_what_differs_and_is_no_place_is_a_setting_that_differs() -> None:
    found = runs(64, 96)
    assert words.differing(found) == ["size"]
    assert words.differing(found[:1]) == []


def test_runs_of_one_config_are_those_that_differ_in_the_seed_alone(tmp_path) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 1)):
        made_runs.classify(tmp_path / name, seed=seed)
    made_runs.classify(tmp_path / "d", seed=2, phantom=True)
    [group] = words.same_but_seed(collect([f"{tmp_path}/*"]))
    assert [run.name for run in group] == ["a", "b", "c"]
    assert words.same_but_seed(collect([f"{tmp_path}/[bc]"])) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.4, "12 s"), (187.3, "3 min"), (7200, "2.0 h"), (89, "89 s")]
)
def test_durations_are_about_right(seconds, text) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [("bm3d", "BM3D"), ("unet_minus_bm3d_fast", "U-Net minus BM3D, fast"), ("dae_unet", "U-Net"),
     ("new_one", "new one")],
)  # fmt: skip
def test_methods_have_names_for_readers(name, text) -> None:
    assert words.method(name) == text
