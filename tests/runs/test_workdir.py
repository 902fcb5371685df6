"""Who may write to a run's folder."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import ml_collections
import pytest

from covidjax.data.source import Prepared
from covidjax.runs import workdir

PREPARED = Prepared(Path("prepared"), "phantom", "ab" * 32, {"archive": "archive.zip"})


def config(**changes: object) -> ml_collections.ConfigDict:
    fields = {"seed": 0, "quiet": False, "log_every": 10, "widths": (8, 16)}
    fields |= {"data": {"archive": "", "size": 32}}
    made = ml_collections.ConfigDict(fields)
    made.update_from_flattened_dict(changes)
    return made.lock()


def refused(folder: Path, given: ml_collections.ConfigDict, prepared: Prepared = PREPARED) -> str:
    with (
        pytest.raises(workdir.WorkdirError) as caught,
        workdir.claim(folder, given, prepared, "split"),
    ):
        pass
    return str(caught.value)


def test_a_new_folder_gets_a_config_json(tmp_path: Path) -> None:
    with workdir.claim(tmp_path / "new" / "run", config(), PREPARED, "split") as finished:
        assert finished is False
    saved = json.loads((tmp_path / "new" / "run" / "config.json").read_text())
    assert saved["config"]["data"] == {"archive": "", "size": 32}
    assert saved["data"] == {
        "kind": "PHANTOM",
        "fingerprint": "ab" * 32,
        "archive": "archive.zip",
        "split": "split",
        "external": "",
    }
    assert saved["versions"]["jax"][0].isdigit()
    assert saved["versions"].keys() > {"python", *workdir.PACKAGES[:3]}
    assert len(saved["devices"]) == 8


def test_a_run_is_finished_when_its_results_are_there(tmp_path: Path) -> None:
    for expected in (False, False, True):
        with workdir.claim(tmp_path, config(), PREPARED, "split") as finished:
            assert finished is expected
        if not expected:
            (tmp_path / "checkpoints").mkdir(exist_ok=True)
        written = (tmp_path / "checkpoints" / "x").exists()
        (tmp_path / "checkpoints" / "x").touch()
        if written:
            (tmp_path / "results.json").write_text("{}")


@pytest.mark.parametrize("field", ["seed", "data.size", "widths"])
def test_another_config_is_refused_naming_field_and_values(tmp_path: Path, field: str) -> None:
    with workdir.claim(tmp_path, config(), PREPARED, "split"):
        pass
    before = (tmp_path / "config.json").read_bytes()
    value: object = (8, 99) if field == "widths" else 99
    line = refused(tmp_path, config(**{field: value}))
    assert f"{field}: " in line and "99" in line and "another config" in line
    assert (tmp_path / "config.json").read_bytes() == before


def test_what_does_not_change_a_result_may_differ(tmp_path: Path) -> None:
    with workdir.claim(tmp_path, config(), PREPARED, "split"):
        pass
    other = config(**{"quiet": True, "log_every": 3, "data.archive": "elsewhere.zip"})
    with workdir.claim(tmp_path, other, PREPARED, "split") as finished:
        assert finished is False


def test_a_saved_field_that_is_gone_or_new_is_named(tmp_path: Path) -> None:
    with workdir.claim(tmp_path, config(), PREPARED, "split"):
        pass
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    saved["config"]["retired"] = saved["config"].pop("seed")
    path.write_text(json.dumps(saved))
    line = refused(tmp_path, config())
    assert "seed: missing there, 0 now" in line
    assert "retired: 0 there, missing now" in line


def test_a_run_of_before_micro_batches_goes_on_with_one_and_with_no_other(tmp_path: Path) -> None:
    def now(count: int) -> ml_collections.ConfigDict:
        return ml_collections.ConfigDict({**config().to_dict(), "accumulate": count})

    with workdir.claim(tmp_path, config(), PREPARED, "split"):
        pass
    with workdir.claim(tmp_path, now(1), PREPARED, "split") as finished:
        assert finished is False
    assert "accumulate: 1 there, 2 now" in refused(tmp_path, now(2))


def test_a_field_that_nothing_depends_on_any_more_stops_no_run_of_before(tmp_path: Path) -> None:
    with workdir.claim(tmp_path, config(), PREPARED, "split"):
        pass
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps(saved | {"config": saved["config"] | {"views": 3}}))
    with workdir.claim(tmp_path, config(), PREPARED, "split") as finished:
        assert finished is False


def test_other_data_are_refused(tmp_path: Path) -> None:
    with workdir.claim(tmp_path, config(), PREPARED, "split"):
        pass
    other = Prepared(Path("prepared"), "phantom", "cd" * 32, {"archive": "archive.zip"})
    assert f"fingerprint: {'ab' * 8} there, {'cd' * 8} now" in refused(tmp_path, config(), other)


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    assert "holds files but no run" in refused(tmp_path, config())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert "is a file" in refused(tmp_path / "thesis.tex", config())


def test_a_kill_before_config_json_leaves_a_usable_folder(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.json.123.abcd.tmp").write_text('{"conf')
    with workdir.claim(tmp_path, config(), PREPARED, "split") as finished:
        assert finished is False
    assert json.loads((tmp_path / "config.json").read_text())["config"]["seed"] == 0


@pytest.mark.parametrize("text", ["", '{"config": {', "[]", "3", '{"name": "other"}'])
def test_a_damaged_config_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert "config.json is damaged" in refused(tmp_path, config())
    assert (tmp_path / "config.json").read_text() == text


def hold(folder: Path, ready: Callable, done: Callable) -> None:
    with workdir.locking.try_exclusive(folder / ".lock") as held:
        assert held
        ready()
        done()


def test_a_running_process_keeps_others_out(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready.set, done.wait))
    process.start()
    try:
        assert ready.wait(60)
        assert "another process is running" in refused(tmp_path, config())
        assert not (tmp_path / "config.json").exists()
    finally:
        done.set()
        process.join()
    with workdir.claim(tmp_path, config(), PREPARED, "split") as finished:
        assert finished is False


def test_several_processes_may_join_one_run_of_one_config(tmp_path: Path) -> None:
    for _ in range(2):
        workdir.join(tmp_path, config(), PREPARED, "split")
    with pytest.raises(workdir.WorkdirError, match="seed: 0 there, 1 now"):
        workdir.join(tmp_path, config(seed=1), PREPARED, "split")


def test_nobody_joins_a_run_that_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workdir, "JOIN_TRIES", 2)
    with (
        workdir.claim(tmp_path, config(), PREPARED, "split"),
        pytest.raises(workdir.WorkdirError, match="another process is running"),
    ):
        workdir.join(tmp_path, config(), PREPARED, "split")


def test_checkpoints_elsewhere_carry_the_config_and_serve_a_new_workdir(tmp_path: Path) -> None:
    far = tmp_path / "far"
    made = config()
    with made.unlocked():
        made.checkpoint_dir = str(far)
    with workdir.claim(tmp_path / "one", made, PREPARED, "split"):
        assert json.loads((far / "config.json").read_text())["config"]["seed"] == 0
    with workdir.claim(tmp_path / "two", made, PREPARED, "split") as finished:
        assert not finished
    with made.unlocked():
        made.seed = 1
    said = refused(tmp_path / "three", made)
    assert f"--config.checkpoint_dir={far} holds a run with another config (seed: 0 there" in said


def test_a_run_may_go_on_on_other_devices(tmp_path: Path) -> None:
    made = config()
    fields = ("sharding", "shards", "shard_from", "keep", "checkpoint_dir")
    for values in (("data", 0, 9, 2, ""), ("fsdp", 2, 0, 3, str(tmp_path / "far"))):
        with made.unlocked():
            made.update(dict(zip(fields, values, strict=True)))
        with workdir.claim(tmp_path / "run", made, PREPARED, "split"):
            pass
    assert not workdir.decisive(made).keys() & {f"config.{name}" for name in fields}
    assert workdir.decisive(made)["config.seed"] == "0"


def test_a_process_waits_for_the_coordinator_s_folder_and_must_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workdir, "SEEN_SECONDS", 0.2)
    monkeypatch.setattr(workdir.hosts, "is_coordinator", lambda: False)
    monkeypatch.setattr(workdir.hosts, "share", lambda _: True)
    said = refused(tmp_path / "run", config())
    assert f"does not see the coordinator's --workdir={tmp_path / 'run'}" in said
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with workdir.claim(tmp_path / "run", config(), PREPARED, "split") as finished:
        assert finished


def with_checkpoints(folder: str) -> ml_collections.ConfigDict:
    fields = {"experiment": "classify", "checkpoint_dir": folder}
    return ml_collections.ConfigDict(config().to_dict() | fields).lock()


@pytest.mark.parametrize("name", ["run[seed=0]", "run*", "run?", "back\\slash", "caf\udce9"])
def test_a_folder_that_checkpoints_could_not_be_read_from_is_refused_before_training(
    tmp_path: Path, name: str
) -> None:
    for setting, folder, checkpoint_dir in (
        ("--workdir", tmp_path / name, ""),
        ("--config.checkpoint_dir", tmp_path / "run", str(tmp_path / name)),
    ):
        given = with_checkpoints(checkpoint_dir)
        with (
            pytest.raises(workdir.WorkdirError, match=f"{setting}: checkpoints cannot be kept in"),
            workdir.claim(folder, given, PREPARED, "s"),
        ):
            pass
        assert not folder.exists()


@pytest.mark.parametrize("name", ["a b", "Müller 💡", "100%", "{x}", "a#b;c", "run]"])
def test_other_odd_names_work(tmp_path: Path, name: str) -> None:
    given = with_checkpoints("")
    with workdir.claim(tmp_path / name, given, PREPARED, "s") as finished:
        assert not finished
