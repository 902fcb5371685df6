"""Figures of speed: what they count, where they stand, and a trace that a profiler opens."""

import time
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from covidjax import models
from covidjax.training import flops, profile, speed


def test_operations_of_a_network_are_those_of_its_layers():
    class Small(nn.Module):
        @nn.compact
        def __call__(self, images, train=False):
            x = nn.Conv(8, (3, 3), strides=2, padding=1)(images)
            x = nn.Conv(16, (3, 3), feature_group_count=8, padding=1)(x)
            return nn.Dense(5)(x.mean((1, 2)))

    first, grouped, dense = 8 * 8 * 8 * 9, 8 * 8 * 16 * 9, 16 * 5
    found = flops.count(Small(), (16, 16, 1))
    assert found.forward == 2 * (first + grouped + dense)
    assert found.train == 3 * found.forward - 2 * first
    assert found.outputs == 8 * 8 * 8 + 8 * 8 * 16 + 5
    assert found.parameters == (9 * 8 + 8) + (9 * 16 + 16) + (16 * 5 + 5)


@pytest.mark.parametrize("kernels", ["plain", "auto"])
def test_they_agree_with_what_xla_counts_of_plain_convolutions(kernels):
    """XLA counts no taps beyond the edge, but the operations of every other layer."""
    options = dict(num_classes=2, widths=(16, 32, 64), convs=1, dropout=0.0)
    model = partial(models.create, "cnn", **options)
    shape = (96, 96, 1)
    plain = model(kernels="plain")
    variables = jax.eval_shape(plain.init, jax.random.key(0), jnp.zeros((1, *shape)))
    images = jax.ShapeDtypeStruct((4, *shape), jnp.float32)
    asked = jax.jit(plain.apply).lower(variables, images).cost_analysis()["flops"]
    assert 4 * flops.count(model(kernels=kernels), shape).forward == pytest.approx(asked, rel=0.1)


def test_the_clock_starts_with_the_first_step_after_a_pause(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    meter = speed.Meter(8, 100.0, tiny.one_device())

    def finish(step, at):
        now[0] = at
        meter.finished(step)

    assert meter.figures(now=True) is None
    finish(1, 50.0)  # it compiled
    assert meter.figures(now=True) is None
    finish(11, 52.0)
    assert meter.figures() is None  # not yet
    found = meter.figures(now=True)
    assert found["examples_per_second"] == 40.0
    assert found["flops_per_step"] == 100.0 and found["flops_per_second"] == 500.0
    assert 1e7 < found["host_rss_bytes"] < 1e11
    finish(12, 53.0)
    meter.pause()
    finish(13, 90.0)
    finish(15, 90.0 + 2 * speed.EVERY_SECONDS)
    assert meter.figures()["examples_per_second"] == 8 / speed.EVERY_SECONDS


def test_a_run_records_its_speed_apart_from_its_figures(straight):
    folder = straight[2]
    rows = tiny.lines(folder, "speed")
    assert [row["step"] for row in rows] == [4, 8, 12]
    assert all(row["examples_per_second"] > 0 for row in rows)
    assert not any("flops_per_step" in row for row in rows)  # not told
    assert all("examples_per_second" not in row for row in tiny.lines(folder, "train"))


def test_the_steps_asked_for_are_traced_and_change_nothing(tmp_path, straight, start, step_fn):
    folder = tmp_path / "profile"
    trace = profile.Trace(folder, "3:5")
    state, _ = tiny.fit(tmp_path, step_fn=step_fn, initial=start(), trace=trace, flops_per_step=9.0)
    tiny.assert_same(state, straight[0])
    assert {row["flops_per_step"] for row in tiny.lines(tmp_path, "speed")} == {9.0}
    (file,) = folder.glob("plugins/profile/*/*.xplane.pb")
    planes = jax.profiler.ProfileData.from_file(str(file)).planes
    events = [e for plane in planes for line in plane.lines for e in line.events]
    steps = [dict(e.stats)["step_num"] for e in events if e.name == "train"]
    assert sorted(steps) == [3, 4, 5]
    assert sum(e.duration_ns for e in events) > 0
    again = profile.Trace(folder, "1:2")  # the next network of the run, or the same resumed
    with again, again.step(1, 1):
        assert not again.running


def test_a_trace_that_a_stop_cuts_short_is_written(tmp_path):
    with profile.Trace(tmp_path / "profile", "2:9") as trace:
        with trace.step(1, 1):
            assert not trace.running
        with trace.step(2, 4):
            np.asarray(jnp.ones(3) + 1)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize("text", ["5", "a:b", "0:3", "9:5", "10:", "1:2:3"])
def test_what_is_no_range_of_steps_is_refused(text):
    with pytest.raises(ValueError, match="FIRST:LAST"):
        profile.parse(text)


def test_a_range_beyond_the_run_is_refused():
    assert profile.parse("10:15") == (10, 15) and profile.parse("") is None
    profile.check("10:15", 15)
    with pytest.raises(ValueError, match=r"config\.profile=10:15: the run has 14 steps"):
        profile.check("10:15", 14)
