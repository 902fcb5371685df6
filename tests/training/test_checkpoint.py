"""Checkpoints give back all that was saved, bit for bit, and keep what the progress names."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

from covidjax.training.checkpoint import Checkpoints, Progress, evaluated_part


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
