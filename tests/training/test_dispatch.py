"""What is sent to the devices, and when: batches ahead of their steps, several steps at once."""

import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from covidjax.training import figures, signals
from covidjax.training.checkpoint import Checkpoints


class Counting:
    """Batches that count how many were pulled."""

    def __init__(self):
        self.batches, self.pulled = tiny.make_batches(), 0

    def __next__(self):
        self.pulled += 1
        return next(self.batches)

    def __iter__(self):
        return self


class Remembering(Checkpoints):
    """Notes how many batches were pulled at each save."""

    def restore_last(self, state, batches):
        return super().restore_last(state, batches.batches)

    def save_last(self, state, batches, progress):
        self.seen = [*getattr(self, "seen", []), (int(state.step), batches.pulled)]
        super().save_last(state, batches.batches, progress)


def test_the_next_batch_is_pulled_while_a_step_runs_but_not_before_a_save(tmp_path, start, step_fn):
    stream, pulled_at_step = Counting(), []

    def step(state, batch, key):
        pulled_at_step.append(stream.pulled)
        return step_fn(state, batch, key)

    kept = Remembering(tmp_path / "checkpoints")
    tiny.fit(tmp_path, step_fn=step, initial=start(), checkpoints=kept, stream=stream)
    kept.close()
    assert kept.seen == [(4, 4), (8, 8), (12, 12)]
    assert pulled_at_step == list(range(1, 13))  # one ahead between the steps, not at them


def test_a_stop_while_the_next_batch_is_pulled_trains_on_it_and_loses_nothing(
    tmp_path, straight, start, step_fn
):
    class Stopping(Counting):
        def __next__(self):
            if self.pulled == 6:
                signal.raise_signal(signal.SIGTERM)
            return super().__next__()

    kept = Remembering(tmp_path / "checkpoints")
    with pytest.raises(signals.StoppedError, match="stopped at step 7/12, saved"):
        tiny.fit(tmp_path, step_fn=step_fn, initial=start(), checkpoints=kept, stream=Stopping())
    kept.close()
    assert kept.seen == [(4, 4), (7, 7)]
    ended = tiny.fit(tmp_path, step_fn=step_fn, initial=start())
    tiny.assert_ends_as(straight, *ended, tmp_path)


def counted(several_fn, sizes: list[int]):
    def several(state, batches, key):
        sizes.append(len(batches["labels"]))
        return several_fn(state, batches, key)

    return several


def test_several_steps_a_dispatch_end_as_single_ones_and_stop_for_evaluations(
    tmp_path, start, step_fn, several_fn
):
    singles, sizes = [], []

    def single(state, batch, key):
        singles.append(int(state.step) + 1)
        return step_fn(state, batch, key)

    options = dict(steps=12, eval_every=5)
    expected, _ = tiny.fit(tmp_path / "one", step_fn=step_fn, initial=start(), **options)
    state, progress = tiny.fit(
        tmp_path / "two",
        step_fn=single,
        several_fn=counted(several_fn, sizes),
        initial=start(),
        steps_per_dispatch=2,
        **options,
    )
    assert sizes == [2] * 5 and singles == [5, 10]
    assert progress.best_step == 12
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    for split in ("train", "validation"):
        one, two = (tiny.lines(tmp_path / name, split) for name in ("one", "two"))
        assert [row["step"] for row in one] == [row["step"] for row in two]
        for a, b in zip(one, two, strict=True):
            for name in a.keys() - {"split"}:
                assert b[name] == pytest.approx(a[name], rel=1e-3, abs=1e-5)


def test_a_stop_between_dispatches_of_several_steps_goes_on(tmp_path, start, step_fn, several_fn):
    options = dict(several_fn=several_fn, steps_per_dispatch=3, eval_every=6)
    expected, progress = tiny.fit(tmp_path / "a", step_fn=step_fn, initial=start(), **options)
    stopping = tiny.after(3, several_fn, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(signals.StoppedError, match="step 9/12, saved"):
        tiny.fit(
            tmp_path / "b", step_fn=step_fn, initial=start(), **(options | {"several_fn": stopping})
        )
    state, found = tiny.fit(tmp_path / "b", step_fn=step_fn, initial=start(), **options)
    tiny.assert_same(state, expected)
    assert found == progress
    assert tiny.last_line_of_each_step(tmp_path / "a", "train") == tiny.last_line_of_each_step(
        tmp_path / "b", "train"
    )


def test_a_figure_that_is_not_finite_is_found_among_several(tmp_path, start, step_fn, several_fn):
    def spoiled(state, batches, key):
        state, metrics = several_fn(state, batches, key)
        loss = jnp.where(jnp.arange(4) == 2, jnp.inf, metrics["loss"])
        return state, {**metrics, "loss": loss}

    with pytest.raises(figures.NonFiniteError, match="loss is inf at step 3"):
        tiny.fit(
            tmp_path, step_fn=step_fn, several_fn=spoiled, initial=start(), steps_per_dispatch=4
        )
    assert [row["step"] for row in tiny.lines(tmp_path, "train")] == [1, 2]


def test_several_steps_need_their_function(tmp_path, start, step_fn):
    with pytest.raises(ValueError, match="steps_per_dispatch=4 needs Compiled.several"):
        tiny.fit(tmp_path, step_fn=step_fn, initial=start(), steps_per_dispatch=4)
