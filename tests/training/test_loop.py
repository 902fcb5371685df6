"""The loop: stopping anywhere and going on ends where an undisturbed run ends."""

import dataclasses
import signal

import jax
import jax.numpy as jnp
import pytest
import tiny

from covidjax.training import figures, loop, signals
from covidjax.training.checkpoint import Checkpoints, evaluated_part


class CutOffError(Exception):
    """Stands for the kill of a process."""


def cut_off():
    raise CutOffError


def test_a_run_trains_every_step_and_records_it(straight, start):
    state, progress, folder = straight
    assert state.step == tiny.TOTAL and tiny.differs(state.params, start().params)
    assert [row["step"] for row in tiny.lines(folder, "train")] == list(range(1, tiny.TOTAL + 1))
    assert [row["step"] for row in tiny.lines(folder, "validation")] == [4, 8, 12]
    assert (progress.best_step, progress.best_value, progress.finished) == (12, 12.0, True)


def test_figures_are_written_when_it_is_their_turn_and_at_the_end(tmp_path, start, step_fn):
    options = dict(steps=7, eval_every=3, log_every=5, label="fold3")
    tiny.fit(tmp_path, step_fn=step_fn, initial=start(), **options)
    assert [row["step"] for row in tiny.lines(tmp_path, "train")] == [5, 7]
    assert [row["step"] for row in tiny.lines(tmp_path, "validation")] == [3, 6, 7]
    assert {row["fold"] for row in tiny.lines(tmp_path, "train")} == {"fold3"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("steps", [1, 6])  # 5 batches are an epoch
def test_a_stop_saves_and_the_same_call_goes_on_bit_for_bit(
    tmp_path, straight, start, step_fn, number, steps
):
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    stopping = tiny.after(steps, step_fn, lambda: signal.raise_signal(number))
    with pytest.raises(signals.StoppedError, match=f"step {steps}/12 of fold1, saved") as caught:
        tiny.fit(tmp_path, step_fn=stopping, initial=start(), label="fold1")
    assert caught.value.signal == number
    assert handlers == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    state, progress = tiny.fit(tmp_path, step_fn=step_fn, initial=start())
    tiny.assert_same(state, straight[0])
    assert progress == straight[1]
    assert [row["step"] for row in tiny.lines(tmp_path, "train")] == list(range(1, tiny.TOTAL + 1))


def test_a_stop_during_an_evaluation_ends_as_any_other(tmp_path, straight, start, step_fn):
    def evaluate(current):
        if current.step == 8:
            signal.raise_signal(signal.SIGTERM)
        return tiny.rising(current)

    with pytest.raises(signals.StoppedError, match="stopped at step 8/12, saved"):
        tiny.fit(tmp_path, step_fn=step_fn, initial=start(), evaluate=evaluate)
    ended = tiny.fit(tmp_path, step_fn=step_fn, initial=start())
    tiny.assert_ends_as(straight, *ended, tmp_path)


def test_a_stop_at_the_last_step_is_not_lost_and_leaves_nothing_to_train(
    tmp_path, straight, start, step_fn
):
    stopping = tiny.after(12, step_fn, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(signals.StoppedError, match="step 12/12"):
        tiny.fit(tmp_path, step_fn=stopping, initial=start())
    ended = tiny.fit(tmp_path, step_fn=tiny.after(1, step_fn, cut_off), initial=start())
    tiny.assert_ends_as(straight, *ended, tmp_path)


def test_a_second_signal_acts_as_ever(tmp_path, start, step_fn):
    # A shell starts what it puts into the background with this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tiny.fit(tmp_path, step_fn=tiny.after(2, step_fn, twice), initial=start())


def test_a_killed_run_goes_on_from_its_last_evaluation(tmp_path, straight, start, step_fn):
    with pytest.raises(CutOffError):
        tiny.fit(tmp_path, step_fn=tiny.after(7, step_fn, cut_off), initial=start())
    resumed = []
    counting = tiny.after(1, step_fn, lambda: resumed.append(None))
    ended = tiny.fit(tmp_path, step_fn=counting, initial=start())
    assert resumed
    tiny.assert_ends_as(straight, *ended, tmp_path)
    steps = [row["step"] for row in tiny.lines(tmp_path, "train")]
    assert steps == [1, 2, 3, 4, 5, *range(5, 13)]  # a step is read after the next is sent


class KilledWhileSaving(Checkpoints):
    """Loses its process between the best of step 8 and the progress that names it."""

    def save_last(self, state, batches, progress):
        if state.step == 8:
            raise CutOffError
        super().save_last(state, batches, progress)


def test_a_run_killed_between_its_two_saves_goes_on(tmp_path, straight, start, step_fn):
    with pytest.raises(CutOffError):
        kept = KilledWhileSaving(tmp_path / "checkpoints")
        tiny.fit(tmp_path, step_fn=step_fn, initial=start(), checkpoints=kept)
    kept = Checkpoints(tmp_path / "checkpoints")
    assert (kept.last.latest_step(), kept.best.latest_step()) == (4, 8)
    kept.restore_best(start(), 4)  # what the progress names is still there
    kept.close()
    ended = tiny.fit(tmp_path, step_fn=step_fn, initial=start())
    tiny.assert_ends_as(straight, *ended, tmp_path)
    found = Checkpoints(tmp_path / "checkpoints").restore_best(start(), 12)
    tiny.assert_same(found, evaluated_part(straight[0]))


def test_a_finished_run_is_not_trained_again(straight, start):
    expected, progress, folder = straight

    def never(*_):
        raise AssertionError("a step was taken")

    state, found = tiny.fit(folder, step_fn=never, evaluate=never, initial=start())
    tiny.assert_same(state, expected)
    assert found == progress


def test_the_best_is_the_last_of_the_highest_figures(tmp_path, start, step_fn):
    seen = {}

    def evaluate(current):
        seen[int(current.step)] = jax.tree.map(jnp.copy, evaluated_part(current))
        return {"score": {2: 0.3, 4: 0.7, 6: 0.7, 8: 0.1, 10: 0.69, 12: 0.5}[int(current.step)]}

    options = dict(eval_every=2, log_every=100)
    state, progress = tiny.fit(
        tmp_path, step_fn=step_fn, evaluate=evaluate, initial=start(), **options
    )
    assert (progress.best_step, progress.best_value) == (6, 0.7)
    assert progress.evaluations_since_best == 4
    kept = Checkpoints(tmp_path / "checkpoints")
    tiny.assert_same(kept.restore_best(state, 6), seen[6])
    assert tiny.differs(seen[6], seen[4]) and tiny.differs(seen[6], seen[12])
    restored, _ = kept.restore_last(start(), tiny.make_batches())
    tiny.assert_same(evaluated_part(restored), seen[12])
    kept.close()


STALLING = {2: 0.5, 4: 0.6, 6: 0.6, 8: 0.4, 10: 0.9, 12: 0.9}


def test_patience_ends_the_run_and_survives_a_stop(tmp_path, start, step_fn):
    options = dict(eval_every=2, log_every=100, patience=2, evaluate=tiny.scripted(STALLING))
    state, progress = tiny.fit(tmp_path / "a", step_fn=step_fn, initial=start(), **options)
    assert state.step == 8 and progress.finished
    assert (progress.best_step, progress.evaluations_since_best) == (6, 2)
    stopping = tiny.after(7, step_fn, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(signals.StoppedError):
        tiny.fit(tmp_path / "b", step_fn=stopping, initial=start(), **options)
    resumed, found = tiny.fit(tmp_path / "b", step_fn=step_fn, initial=start(), **options)
    tiny.assert_same(resumed, state)
    assert found == progress


def test_without_patience_a_stalling_run_goes_to_its_end(tmp_path, start, step_fn):
    options = dict(eval_every=2, log_every=100, evaluate=tiny.scripted(STALLING))
    state, progress = tiny.fit(tmp_path, step_fn=step_fn, initial=start(), **options)
    assert state.step == 12 and progress.best_step == 12


def test_an_undefined_first_figure_does_not_stand_in_the_way_of_a_best(tmp_path, start, step_fn):
    figures = {4: float("nan"), 8: 0.4, 12: float("nan")}
    state, progress = tiny.fit(
        tmp_path, step_fn=step_fn, initial=start(), evaluate=tiny.scripted(figures)
    )
    assert (progress.best_step, progress.best_value) == (8, 0.4)


@pytest.mark.parametrize("figure", ["loss", "gradient_norm"])
@pytest.mark.parametrize("bad_step", [6, 8, 12])  # 8 and 12 are evaluated
def test_a_figure_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(
    tmp_path, start, step_fn, figure, bad_step
):
    def spoiled(state, batch, key):
        state, metrics = step_fn(state, batch, key)
        value = jnp.where(state.step == bad_step, jnp.nan, metrics[figure])
        return state, {**metrics, figure: value}

    with pytest.raises(figures.NonFiniteError, match=f"{figure} is nan at step {bad_step}; .*rate"):
        tiny.fit(tmp_path, step_fn=spoiled, initial=start())
    kept = Checkpoints(tmp_path / "checkpoints")
    assert kept.last.latest_step() == kept.best.latest_step() == (bad_step - 1) // 4 * 4
    restored, progress = kept.restore_last(start(), tiny.make_batches())
    kept.close()
    assert progress.best_step == restored.step
    assert [row["step"] for row in tiny.lines(tmp_path, "train")] == list(range(1, bad_step))


def test_an_error_waits_for_the_save_under_way(tmp_path, made):
    """Else the end of the process would break it off."""
    large = made.replace(ema_batch_stats={"large": jnp.zeros(8_000_000)})

    def step(state, batch, key):
        state = state.replace(step=state.step + 1)
        return state, {"loss": jnp.where(state.step == 5, jnp.inf, 1.0)}

    kept = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(figures.NonFiniteError, match="loss is inf at step 5"):
        tiny.fit(tmp_path, step_fn=step, initial=large, checkpoints=kept)
    saved = [
        sorted(f.name for f in (tmp_path / "checkpoints").glob(f"{kind}/*"))
        for kind in ("last", "best")
    ]
    kept.close()
    assert saved == [["4"], ["4"]]


def test_a_stop_never_saves_a_state_that_is_not_finite(tmp_path, start, step_fn):
    def spoiled(state, batch, key):
        state, metrics = step_fn(state, batch, key)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGTERM)
        seen.append(None)
        return state, {**metrics, "loss": metrics["loss"] * (jnp.nan if len(seen) == 6 else 1)}

    seen: list[None] = []
    with pytest.raises(figures.NonFiniteError, match="loss is nan at step 6"):
        tiny.fit(tmp_path, step_fn=spoiled, initial=start())
    kept = Checkpoints(tmp_path / "checkpoints")
    assert kept.last.latest_step() == 4
    kept.close()


@pytest.mark.parametrize(
    ("evaluations", "patience", "finished", "since"),
    [([0.1], 1, False, 0), ([0.5, 0.5], 1, True, 1), ([0.5, 0.4, 0.6, 0.6], 2, False, 1)],
)
def test_judging_counts_the_evaluations_since_the_best(evaluations, patience, finished, since):
    schedule = loop.Schedule(steps=100, batch_size=1, eval_every=1, log_every=1, patience=patience)
    progress = loop.Progress()
    for step, value in enumerate(evaluations, start=1):
        loop._judge(progress, step, value, schedule)
    assert dataclasses.asdict(progress) == {
        "best_step": len(evaluations) - evaluations[::-1].index(max(evaluations)),
        "best_value": max(evaluations),
        "evaluations_since_best": since,
        "finished": finished,
    }


def test_a_report_sees_every_evaluation_and_what_it_raises_ends_the_run(tmp_path, start, step_fn):
    seen = []

    def report(step, figure):
        seen.append((step, figure))
        if step == 8:
            raise CutOffError

    with pytest.raises(CutOffError):
        tiny.fit(tmp_path, step_fn=step_fn, initial=start(), report=report)
    written = tiny.last_line_of_each_step(tmp_path, "validation")
    assert [step for step, _ in seen] == [4, 8] == list(written)
    assert [figure for _, figure in seen] == [line["score"] for line in written.values()]
