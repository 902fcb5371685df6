"""The epoch's benchmark, on a phantom as small as can be."""

import jax
import pytest

from benchmarks import epoch_sides
from covidjax.training import sharding


@pytest.fixture
def measured(tmp_path, monkeypatch):
    monkeypatch.setenv("COVIDJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(epoch_sides, "FEWEST_STEPS", 3)
    # One of the test's eight devices: the small fold fills no larger batch.
    one = sharding.make_mesh(jax.devices()[:1])
    monkeypatch.setattr(epoch_sides.sharding, "make_mesh", lambda: one)
    changes = {"phantom.images": 60, "phantom.size": 64, "batch_size": 8, "model.convs": 1}
    return epoch_sides.Epoch("data=phantom,size=28", None, tmp_path, changes)


def test_both_sides_take_the_same_steps_and_the_real_one_pulls_its_batches(measured, monkeypatch):
    taken, pulled = [], []
    step, place = measured.step, sharding.to_device
    monkeypatch.setattr(sharding, "to_device", lambda *a: pulled.append(1) or place(*a))
    measured.step = lambda *arguments: taken.append(1) or step(*arguments)
    assert measured.steps >= 3
    assert measured.resident() > 0
    assert len(taken) == measured.steps and not pulled
    assert measured.real() > 0
    assert len(taken) == 2 * measured.steps == 2 * len(pulled)
