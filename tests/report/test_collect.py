"""Reading runs: every state is told, and no folder stops the others."""

import json
import os

import made_runs
import pytest

from covidjax.report import collect
from covidjax.runs.folder import look


def states(home) -> dict[str, str]:
    return {run.name: run.state for run in collect.collect([f"{home}/*"])}


def test_every_state_is_told(tmp_path) -> None:
    made_runs.all_kinds(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    found = states(tmp_path)
    assert found["cnn-0"] == found["dae"] == found["eda"] == "finished"
    assert (found["going"], found["damaged"], found["empty"]) == ("unfinished", "damaged", "no run")
    assert "notes.txt" not in found


def test_what_is_not_there_is_a_missing_run(tmp_path) -> None:
    [run] = collect.collect([f"{tmp_path}/none-*"])
    assert (run.state, run.name) == ("missing", f"{tmp_path}/none-*")


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "nonsense", "[" * 100_000, '{"experiment": "classify"}', '{"splits": {}}',
        '{"experiment": "classify", "data": "phantom", "splits": {"test": 3}}',
        '{"experiment": "classify", "data": "phantom", "splits": {"test": {"auroc": 0.9}}}',
        '{"experiment": "c", "data": "p", "splits": {"t": {"a": {"value": "x", "ci95": null}}}}',
        '{"experiment": "c", "data": "p", "splits": {"t": {"a": {"value": NaN, "ci95": null}}}}',
        '{"experiment": "c", "data": "p", "splits": {"t": {"a": {"value": 1, "ci95": [1]}}}}',
    ],
)  # fmt: skip
def test_damaged_results_are_said_to_be_so(tmp_path, text) -> None:
    made_runs.classify(tmp_path / "a")
    made_runs.classify(tmp_path / "b")
    (tmp_path / "a" / "results.json").write_text(text)
    one, other = collect.collect([f"{tmp_path}/*"])
    assert (one.state, other.state) == ("damaged", "finished")
    assert "results.json" in one.note and "\n" not in one.note and one.results == {}


def test_a_damaged_config_leaves_the_results(tmp_path) -> None:
    made_runs.classify(tmp_path / "a")
    (tmp_path / "a" / "config.json").write_text("{")
    [run] = collect.collect([str(tmp_path / "a")])
    assert run.state == "finished" and run.about == {} and "config.json" in run.note


def test_the_note_says_how_far_a_run_is_and_that_it_diverged(tmp_path) -> None:
    folder = made_runs.unfinished(tmp_path / "a", lines=7)
    assert "last line at step 7" in look(folder, "a").note
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "split": "train", "loss": null}\n{"step": 9, "spl')
    note = look(folder, "a").note
    assert "step 8" in note and "loss not finite" in note


def test_runs_come_in_natural_order_once_and_without_the_report(tmp_path) -> None:
    for name in ("run-10", "run-2", "report"):
        made_runs.classify(tmp_path / name)
    os.symlink(tmp_path / "run-2", tmp_path / "run-3")
    found = collect.collect([f"{tmp_path}/*", str(tmp_path / "run-2")], tmp_path / "report")
    assert [run.name for run in found] == ["run-2", "run-10"]


def test_a_folder_whose_name_looks_like_a_pattern_is_found(tmp_path) -> None:
    folder = made_runs.classify(tmp_path / "run[1]*")
    assert [run.name for run in collect.collect([str(folder)])] == ["run[1]*"]


def test_names_tell_runs_of_several_folders_apart(tmp_path) -> None:
    for place in ("x/a", "y/a", "y/b"):
        made_runs.classify(tmp_path / place)
    assert [run.name for run in collect.collect([f"{tmp_path}/*/*"])] == ["x/a", "y/a", "b"]


def test_a_phantom_is_known_by_its_results_or_its_config(tmp_path) -> None:
    folder = made_runs.classify(tmp_path / "a", phantom=True)
    assert look(folder, "a").phantom
    (folder / "results.json").unlink()
    assert look(folder, "a").phantom
    results = made_runs.classify(tmp_path / "b", phantom=True)
    (results / "config.json").unlink()
    assert look(results, "b").phantom
    assert not look(made_runs.classify(tmp_path / "c"), "c").phantom


def test_nothing_is_written(tmp_path) -> None:
    made_runs.all_kinds(tmp_path)
    before = sorted((str(p), p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    collect.collect([f"{tmp_path}/*"])
    assert before == sorted((str(p), p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    assert json.loads((tmp_path / "cnn-0" / "results.json").read_text())
