"""A run's folder is read in one place, and what is no finished run is refused."""

import json
from pathlib import Path

import pytest

from covidjax.runs import folder as runs

RESULTS = {"experiment": "classify", "data": "phantom", "splits": {}}
ABOUT = {"config": {"experiment": "classify", "model": {"name": "cnn"}}, "data": {"kind": "x"}}


def write(folder: Path, about: object = None, results: object = None) -> Path:
    folder.mkdir()
    for name, contents in (("config.json", about), ("results.json", results)):
        if contents is not None:
            text = contents if isinstance(contents, str) else json.dumps(contents)
            (folder / name).write_text(text)
    return folder


def test_a_finished_run_is_read_with_its_config(tmp_path: Path) -> None:
    run = runs.read(write(tmp_path / "a", ABOUT, RESULTS), "classify")
    assert run.state == "finished" and run.phantom
    assert run.config.model.name == run.setting("model.name") == "cnn"


@pytest.mark.parametrize(
    ("about", "results", "message"),
    [
        (None, None, "holds no run: it has no config.json"),
        (ABOUT, None, "is not finished; launch.py with its --workdir resumes it"),
        (None, RESULTS, "config.json is damaged or missing"),
        ("{}", RESULTS, "config.json is damaged or missing"),
        ('{"config": 1', RESULTS, "config.json is damaged"),
        ({"config": [], "data": {}}, RESULTS, "config.json is damaged: its config or data"),
        (ABOUT, "[]", "results.json is damaged: no object"),
        (ABOUT, {"experiment": "classify"}, "results.json is damaged: its data"),
        (ABOUT, RESULTS | {"experiment": "dip"}, "holds a run of dip, not of classify"),
    ],
)
def test_what_is_no_finished_run_is_one_line(
    tmp_path: Path, about: object, results: object, message: str
) -> None:
    folder = write(tmp_path / "a", about, results)
    with pytest.raises(runs.RunError, match=message) as caught:
        runs.read(folder, "classify")
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_networks_without_checkpoints_are_none_and_a_missing_one_is_named(tmp_path: Path) -> None:
    run = runs.read(write(tmp_path / "a", ABOUT, RESULTS))
    assert runs.networks(run) == []
    with pytest.raises(runs.RunError, match="checkpoints.* cannot be read"):
        runs.read_network(run, "fold0")
