"""The queue and the run: independent of grouping, going on after a kill, nothing kept in memory."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from configs.dip import get_config
from covidjax.dip import engine as dip_engine
from covidjax.dip import experiment as dip
from covidjax.dip import fit as dip_fit
from covidjax.dip import queue as dip_queue
from covidjax.dip import tasks as dip_tasks
from covidjax.dip import warm as dip_warm
from covidjax.models.unet import SkipHourglass

RECIPE = dip_fit.Recipe(steps=6, channels=3, window=2, chunk=3)
PICTURES = np.random.default_rng(0).uniform(0.2, 0.8, (3, 32, 32)).astype(np.float32)
JOBS = list(dip_queue.make_jobs([0, 1, 2], ["a.png", "b.png", "c c.png"], ["a", "b", "c"], 1))


@pytest.fixture(scope="module")
def engine() -> dip_engine.Engine:
    return dip_engine.make_engine(SkipHourglass(width=4, skip=2, scales=1), RECIPE, lambda y: y)


def make_work(engine, folder, calls=None) -> dip_queue.Work:
    def problem(row, key):
        if calls is not None:
            calls.append(row)
        return dip_tasks.make_problem("inpaint", PICTURES[row], key)

    def start(key):
        return dip_fit.make_input(key, (32, 32), RECIPE), None

    return dip_queue.Work(engine, 7, problem, start, folder, phantom=True, frames=3)


def pictures(folder):
    return [dip_queue.read_arrays(folder, job)["picture"] for job in JOBS]


@pytest.fixture(scope="module")
def alone(engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    for job in JOBS:
        dip_queue.do(make_work(engine, folder), job, jax.devices()[0])
    return folder


def test_order_and_number_at_once_change_nothing(engine, alone, tmp_path, monkeypatch):
    devices = jax.devices()[:2]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    done = []
    dip_queue.run_all(make_work(engine, tmp_path), JOBS[::-1], 1, done.append)
    assert sorted(job.row for job in done) == [0, 1, 2]
    for ours, expected in zip(pictures(tmp_path), pictures(alone), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_what_is_done_is_not_done_again_and_half_a_job_is(engine, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: jax.local_devices()[:1])
    for path in alone.iterdir():
        shutil.copy(path, tmp_path)
    # As a kill leaves it: arrays written, figures not, and another file cut off.
    (tmp_path / f"{JOBS[1].name}.json").unlink()
    (tmp_path / f"{JOBS[2].name}.json").write_text('{"row": ')
    calls: list[int] = []
    dip_queue.run_all(make_work(engine, tmp_path, calls), JOBS, 1, lambda _: None)
    assert calls == [1, 2]
    for ours, expected in zip(pictures(tmp_path), pictures(alone), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_every_file_of_a_phantom_says_so(alone):
    for job in JOBS:
        assert json.loads((alone / f"{job.name}.json").read_text())["data"] == "PHANTOM"
        assert dip_queue.read_arrays(alone, job)["mark"] == "PHANTOM"
        with np.load(alone / f"{job.name}-frames.npz") as kept:
            assert kept["frames"].shape == (2, 32, 32)


def test_members_see_the_same_task_and_differ(engine, tmp_path):
    jobs = list(dip_queue.make_jobs([1], ["b.png"], ["b"], 2))
    for job in jobs:
        dip_queue.do(make_work(engine, tmp_path), job, jax.devices()[0])
    one, other = (dip_queue.read_arrays(tmp_path, job) for job in jobs)
    np.testing.assert_array_equal(one["given"], other["given"])
    assert np.abs(one["picture"] - other["picture"]).max() > 0


def test_weights_come_back_with_their_input_and_refuse_what_they_have_seen(engine, tmp_path):
    fit = engine.begin(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    weights = dip_warm.Weights(fit.params, jax.random.key(9), ("a.png",))
    dip_warm.save(tmp_path, weights, phantom=True)
    found = dip_warm.load(f"run:{tmp_path}", fit.params, ["b.png"])
    jax.tree.map(np.testing.assert_array_equal, found.params, fit.params)
    assert (jax.random.key_data(found.input_key) == jax.random.key_data(weights.input_key)).all()
    with pytest.raises(dip_warm.WarmStartError, match="was fitted to a.png"):
        dip_warm.load(f"run:{tmp_path}", fit.params, ["a.png"])
    with pytest.raises(dip_warm.WarmStartError, match="holds another network, see out/kernel"):
        smaller = fit.params | {"out": {"kernel": jnp.zeros((1, 1, 9, 1)), "bias": jnp.zeros(1)}}
        dip_warm.load(f"run:{tmp_path}", smaller, [])
    with pytest.raises(dip_warm.WarmStartError, match="a run writes it with --config.save_weights"):
        dip_warm.load(f"run:{tmp_path / 'nowhere'}", fit.params, [])


@pytest.mark.parametrize("warm", [False, True])
def test_saved_weights_keep_the_input_that_the_fit_had_and_all_images(engine, tmp_path, warm):
    params = engine.begin(jax.random.key(0), jnp.zeros((1, 32, 32, 3))).params
    before = dip_warm.Weights(params, jax.random.key(9), ("a.png",)) if warm else None
    config, job = get_config("data=phantom,size=32"), JOBS[1]
    config.save_weights = True
    work = dip.make_work(config, PICTURES, engine, before, tmp_path, True, None)
    own = jax.random.key(5)
    inputs, _ = work.start(own)
    picture = PICTURES[1]
    fitted = dip_fit.Fitted(picture, 1, 1, "steps", 0, {}, picture, params)
    work.keep(job, fitted, own)
    found = dip_warm.load(f"run:{tmp_path}", params)
    np.testing.assert_array_equal(dip_fit.make_input(found.input_key, (32, 32), RECIPE), inputs)
    assert found.images == (("a.png", "b.png") if warm else ("b.png",))


def test_too_many_images_are_an_error_that_names_the_field():
    columns = {"kaggle_split": ["TRAIN"] * 3, "group": ["a", "b", "b"]}
    with pytest.raises(ValueError, match=r"config.reptile.images=3 is more than the 2 patients"):
        dip.choose(pd.DataFrame(columns), "validation", 3, 0, "reptile.images")


def test_reptile_moves_towards_the_fitted_weights(engine):
    """One round with the whole way gives the fitted weights, and with a part a part of the way."""
    inputs = dip_fit.make_input(jax.random.key(1), (32, 32), RECIPE)
    picture = jnp.asarray(PICTURES[0])[..., None]
    target = dip_fit.Target(picture, jnp.ones_like(picture), picture)
    made = {
        rate: dip_warm.reptile(
            engine, inputs, [lambda: target], jax.random.key(2), rounds=1, steps=3, rate=rate
        )
        for rate in (0.0, 0.25, 1.0)
    }
    jax.tree.map(
        lambda start, part, whole: np.testing.assert_allclose(
            part, start + 0.25 * (whole - start), atol=1e-6
        ),
        *made.values(),
    )
    assert any(
        np.abs(a - b).max() > 0
        for a, b in zip(*map(jax.tree.leaves, (made[0.0], made[1.0])), strict=True)
    )  # noqa: E501


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stop.rule": "wvm"}, "config.stop.rule='wvm' is unknown, did you mean wmv"),
        ({"data.size": 100}, "5 scales need sides that are multiples of 32"),
        ({"task": "super", "factor": 3}, "config.factor=3: known are 2, 4"),
        ({"level": 0.0}, "config.level must be above 0, got 0.0"),
        ({"compare": "bm4d"}, "no method is called 'bm4d'"),
        ({"frames": 70}, "config.frames=70 must be a multiple of config.chunk=50"),
        ({"init": "run:runs/other"}, "config.stop.rule=emv ends a warm start far too late: give"),
        ({"average": 1.0}, r"config.average must be in \[0, 1\), got 1.0"),
    ],
)
def test_a_mistake_in_the_config_is_one_line(changes, message):
    config = get_config()
    with config.unlocked():
        for name, value in changes.items():
            config.update_from_flattened_dict({name: value})
    with pytest.raises(ValueError, match=message) as error:
        dip.check(config)
    assert "\n" not in str(error.value)


def test_an_unknown_argument_names_the_nearest():
    with pytest.raises(ValueError, match="task='inpant' is unknown, did you mean inpaint"):
        get_config("task=inpant")
