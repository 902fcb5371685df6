"""Checkpoints give back all that was saved, bit for bit, and keep what the progress names."""

import dataclasses
import os
import shutil
from pathlib import Path

import jax
import ml_collections
import numpy as np
import pytest
import tiny

from covidjax.training.checkpoint import (
    CheckpointError,
    Checkpoints,
    Progress,
    evaluated_part,
)
from covidjax.training.saved import absolute, check_place, root


@pytest.fixture
def trained(start):
    """A state in which every leaf differs from a fresh one."""
    leaves, tree = jax.tree.flatten(start())
    changed = [leaf + np.asarray(i + 1, leaf.dtype) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(tree, changed)


def at(state, step: int):
    return dataclasses.replace(state, step=state.step * 0 + step)


def reopened(folder, state):
    """What a new process finds: state, progress and the next batch."""
    kept, stream = Checkpoints(folder), tiny.make_batches()
    restored, progress = kept.restore_last(state, stream)
    kept.close()
    return restored, progress, next(stream)


PROGRESS = Progress(best_step=4, best_value=0.1 + 0.2, evaluations_since_best=3, finished=True)


@pytest.mark.parametrize("progress", [PROGRESS, Progress(), Progress(8, float("nan"), 1)])
def test_state_batches_and_progress_come_back_exactly(tmp_path, start, trained, progress):
    stream = tiny.make_batches()
    for _ in range(7):  # 5 are an epoch
        next(stream)
    kept = Checkpoints(tmp_path)
    if progress.best_step >= 0:
        kept.save_best(at(trained, progress.best_step))
    kept.save_last(at(trained, 7), stream, progress)
    kept.close()
    expected = next(stream)
    restored, found, batch = reopened(tmp_path, start())
    tiny.assert_same(restored, at(trained, 7))
    assert repr(found) == repr(progress)  # NaN is not equal to itself
    tiny.assert_same(batch, expected)


def test_without_a_checkpoint_everything_stays_as_given(tmp_path, trained):
    restored, progress, batch = reopened(tmp_path / "none", trained)
    assert restored is trained and progress == Progress()
    tiny.assert_same(batch, tiny.first_batch())


def test_a_restored_state_lies_on_the_devices_of_the_state_given(tmp_path, trained, made_on_eight):
    kept = Checkpoints(tmp_path)
    kept.save_last(at(trained, 1), tiny.make_batches(), Progress())
    kept.close()
    restored, _, _ = reopened(tmp_path, made_on_eight)
    assert all(len(leaf.sharding.device_set) == 8 for leaf in jax.tree.leaves(restored))
    tiny.assert_same(restored, at(trained, 1))


@pytest.mark.parametrize("keep", [1, 2])
def test_the_newest_is_the_one_to_go_on_from_and_as_many_are_kept_as_asked(tmp_path, start, keep):
    kept = Checkpoints(tmp_path, keep=keep)
    for step in (2, 9, 10):
        kept.save_best(at(start(), step))
        kept.save_last(at(start(), step), tiny.make_batches(), Progress(best_step=step))
    kept.close()
    restored, progress, _ = reopened(tmp_path, start())
    assert restored.step == 10 and progress.best_step == 10
    steps = {int(folder.name) for folder in (tmp_path / "last").iterdir() if folder.is_dir()}
    assert steps == {2: {9, 10}, 1: {10}}[keep]


def test_the_best_holds_the_averages_and_the_one_before_it_stays(tmp_path, start, trained):
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 4):
        kept.save_best(at(start(), step))
    kept.save_best(at(trained, 6))
    tiny.assert_same(kept.restore_best(start(), 6), evaluated_part(trained))
    tiny.assert_same(kept.restore_best(trained, 4), evaluated_part(start()))
    assert sorted(kept.best.all_steps()) == [2, 4, 6]  # one more than of the last
    kept.close()
    assert set(evaluated_part(trained)) == {"params", "batch_stats"}
    tiny.assert_same(evaluated_part(trained)["params"], trained.ema_params)
    tiny.assert_same(evaluated_part(trained)["batch_stats"], trained.ema_batch_stats)
    assert tiny.differs(trained.params, trained.ema_params)


def test_a_best_step_that_is_there_already_is_replaced(tmp_path, start, trained):
    for state in (start(), trained):
        kept = Checkpoints(tmp_path)
        kept.save_best(at(state, 4))
        kept.close()
    tiny.assert_same(Checkpoints(tmp_path).restore_best(start(), 4), evaluated_part(trained))


def test_a_half_written_checkpoint_is_not_taken_for_one(tmp_path, start, trained):
    kept = Checkpoints(tmp_path)
    kept.save_best(at(trained, 4))
    kept.save_last(at(trained, 3), tiny.make_batches(), PROGRESS)
    kept.close()
    left_behind = tmp_path / "last" / "5.orbax-checkpoint-tmp"
    left_behind.mkdir()
    (left_behind / "state").mkdir()
    restored, _, _ = reopened(tmp_path, start())
    assert restored.step == 3


def damaged_copies(folder):
    """Copies of a run's checkpoints, in each of which one file of the newest is cut or gone."""
    newest = folder / "last" / "8"
    for path in sorted(path for path in newest.rglob("*") if path.is_file()):
        for keep in (0.5, None) if "/d/" in str(path) or "/state/" not in str(path) else (0.5,):
            copy = folder.with_name("copy")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder, copy)
            target = copy / path.relative_to(folder)
            if keep is None:
                target.unlink()
            else:
                os.truncate(target, int(path.stat().st_size * keep))
            yield copy, f"{path.relative_to(newest)} {'cut' if keep else 'gone'}"


def test_of_a_broken_checkpoint_the_one_before_is_used_with_a_warning(
    tmp_path, start, trained, capsys
):
    """Whichever file is damaged: it is noticed, or it does not matter; never is anything wrong."""
    kept, stream = Checkpoints(tmp_path / "kept"), tiny.make_batches()
    for step, state in ((4, start()), (8, trained)):
        for _ in range(4):
            next(stream)
        kept.save_best(at(state, step))
        kept.save_last(at(state, step), stream, Progress(best_step=step))
    kept.close()
    expected = {4: (at(start(), 4), tiny.make_batches()), 8: (at(trained, 8), tiny.make_batches())}
    batch = {}
    for step, (_, stream) in expected.items():
        batch[step] = [next(stream) for _ in range(step + 1)][-1]
    noticed = []
    for copy, what in damaged_copies(tmp_path / "kept"):
        restored, progress, following = reopened(copy, start())
        step, said = int(restored.step), capsys.readouterr().err
        assert progress.best_step == step, what
        tiny.assert_same(restored, expected[step][0])
        tiny.assert_same(following, batch[step])
        if step == 4:
            noticed.append(what)
            assert said.startswith("WARNING: the checkpoint") and "last/8 is broken" in said
            assert (copy / "last" / "broken-8").is_dir()
        else:
            assert not said, what
    assert sum("/d/" in what for what in noticed) >= 2  # a process's arrays


def test_training_goes_past_a_step_whose_broken_checkpoint_was_set_aside(tmp_path, start, trained):
    for state in (start(), trained):
        kept = Checkpoints(tmp_path)
        for step in (4, 8):
            if step > (kept.last.latest_step() or 0):
                kept.save_last(at(state, step), tiny.make_batches(), Progress())
        kept.close()
        found, _, _ = reopened(tmp_path, start())
        assert found.step == 8
        tiny.assert_same(found, at(state, 8))
        shutil.rmtree(tmp_path / "last" / "8" / "state")  # as a host's disk that did not sync
        found, _, _ = reopened(tmp_path, start())
        assert found.step == 4


def test_where_all_are_broken_the_run_ends_with_what_to_do(tmp_path, start):
    kept = Checkpoints(tmp_path)
    kept.save_last(at(start(), 4), tiny.make_batches(), Progress())
    kept.close()
    shutil.rmtree(tmp_path / "last" / "4" / "state")
    with pytest.raises(CheckpointError, match="no checkpoint in .* can be read; put a copy back"):
        reopened(tmp_path, start())


def test_a_best_that_a_kill_left_unwritten_is_made_of_the_last(tmp_path, trained, start):
    kept = Checkpoints(tmp_path)
    kept.save_last(at(trained, 4), tiny.make_batches(), Progress(best_step=4))
    kept.close()
    reopened(tmp_path, start())
    tiny.assert_same(Checkpoints(tmp_path).restore_best(start(), 4), evaluated_part(trained))


def test_a_position_that_grain_wrote_in_earlier_versions_is_read(tmp_path, start):
    kept = Checkpoints(tmp_path)
    kept.save_last(at(start(), 4), tiny.make_batches(), Progress())
    kept.close()
    shutil.rmtree(tmp_path / "last" / "4" / "position")
    (tmp_path / "last" / "4" / "batches").mkdir()
    old = tmp_path / "last" / "4" / "batches" / "process_0-of-1.json"
    old.write_text('{"next_index": 3}')
    _, _, batch = reopened(tmp_path, start())
    stream = tiny.make_batches()
    tiny.assert_same(batch, [next(stream) for _ in range(4)][-1])


def test_an_address_of_a_store_stays_as_it_is(tmp_path):
    store = ml_collections.ConfigDict({"checkpoint_dir": "gs://bucket/folder"})
    assert str(root(store, tmp_path) / "fold0") == "gs://bucket/folder/fold0"
    nowhere = ml_collections.ConfigDict({"checkpoint_dir": ""})
    assert str(root(nowhere, tmp_path)) == str(tmp_path / "checkpoints")
    assert str(absolute(Path("runs/a"))) == str(Path("runs/a").absolute())


@pytest.mark.parametrize("name", ["a b", "Müller 💡", "100%", "{x}", "a#b;c", "run]", "~"])
def test_checkpoints_are_read_again_from_folders_with_odd_names(tmp_path, start, trained, name):
    check_place(tmp_path / name)
    with Checkpoints(tmp_path / name) as kept:
        kept.save_last(trained, tiny.make_batches(), Progress())
    state, _, _ = reopened(tmp_path / name, start())
    jax.tree.map(np.testing.assert_array_equal, state, trained)


def test_a_tilde_is_the_home_folder_and_an_address_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(absolute("~/kept")) == "/home/somebody/kept"
    assert str(absolute("gs://bucket/~/kept")) == "gs://bucket/~/kept"
