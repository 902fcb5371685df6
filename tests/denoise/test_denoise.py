"""A denoiser's config, its validation, and training that stops and goes on."""

from pathlib import Path

import jax
import ml_collections
import numpy as np
import pandas as pd
import pytest

from configs import common, dae
from covidjax.data import source, splits
from covidjax.denoise import check as denoise_check
from covidjax.denoise import experiment as denoise
from covidjax.denoise import train as denoise_train
from covidjax.denoise.train import Data
from covidjax.training import fitting, record, saved, sharding
from covidjax.training.fitting import Network

SIDE = 16


def config(arg: str = "", **changes: object) -> ml_collections.ConfigDict:
    made = dae.get_config(arg)
    made.update_from_flattened_dict(changes)
    return fitting.resolved(made, "phantom").lock()


SMALL = {
    "data.size": SIDE,
    "model.width": 4,
    "model.blocks": (1, 1),
    "batch_size": 4,
    "steps": 6,
    "evaluations": 3,
    "validation_images": 3,
    "log_every": 1,
    "quiet": True,
}


@pytest.fixture(scope="module")
def data() -> Data:
    """Smooth pictures: 16 to train on, 6 to validate, 4 to test."""
    draw = np.random.default_rng(0)
    waves = np.cos(np.linspace(0, 3, SIDE)[:, None] * draw.uniform(0, 2, (26, 1, SIDE)))
    images = np.round(127 * (1 + waves)).astype(np.uint8)
    rows = np.arange(26)
    fold = splits.Fold("", 0, rows[:16], rows[16:22], rows[22:])
    prepared = source.Prepared(Path(), "phantom", "", {})
    return Data(prepared, images, pd.DataFrame({"image": rows.astype(str)}), fold)


@pytest.fixture(scope="module")
def small() -> ml_collections.ConfigDict:
    return config(**SMALL)


@pytest.fixture(scope="module")
def network(small: ml_collections.ConfigDict, data: Data) -> Network:
    return denoise.make_network(small, data, sharding.make_mesh(jax.devices()[:1]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise.kind": "gausian"}, "config.noise.kind='gausian' is unknown, did you mean gauss"),
        ({"noise.low": 30.0, "noise.high": 20.0}, "noise.low=30.0 and config.noise.high=20.0"),
        ({"noise.blur": -1.0}, "config.noise.blur must be at least 0"),
        ({"noise.validation": "15,x"}, "config.noise.validation='15,x': write numbers"),
        ({"loss.name": "l2"}, "config.loss.name='l2' is unknown"),
        ({"patch": 256}, "config.patch=256 is more than the 128 pixels"),
        ({"patch": 8, "loss.ssim": 1.0}, "config.loss.ssim needs patches of 11 pixels"),
        ({"patch": 4}, "4 pixels are too few for the 3 halvings"),
        ({"model.blocks": (2, 0)}, "config.model.blocks must be whole numbers above 0"),
        ({"model.noise_map": True, "noise.kind": "low_dose"}, "needs config.noise.kind=gaussian"),
        ({"noise.kind": "salt_and_pepper", "noise.dead": 0.1}, "config.noise.dead is what"),
        ({"ensemble": "all"}, "config.ensemble='all' is unknown"),
        ({"ema": 1.0}, r"config.ema must be in \[0, 1\)"),
        ({"optimizer.learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"validation_fraction": 0.6}, r"validation_fraction must be in \(0, 0.5\]"),
    ],
)
def test_what_cannot_work_is_one_line_that_names_the_field(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        denoise_check.check(config(**changes))
    assert "\n" not in str(caught.value)


def test_levels_behind_the_colon_are_a_number_or_a_range():
    assert common.level_range("25", "gaussian") == (25, 25)
    assert common.level_range("5-55", "gaussian") == (5, 55)
    assert common.level_range("", "low_dose") == (0.05, 1.0)
    with pytest.raises(ValueError, match="level='much': write a number, or LOW-HIGH"):
        dae.get_config("level=much")
    with pytest.raises(ValueError, match="net='unett' is unknown, did you mean unet"):
        dae.get_config("net=unett")
    with pytest.raises(ValueError, match="noise='gaus' is unknown, did you mean gaussian"):
        dae.get_config("noise=gaus")


def test_validation_is_at_the_usual_levels_inside_the_trained_range():
    assert denoise_check.validation_levels(config()) == (15, 25, 50)
    assert denoise_check.validation_levels(config("level=5-30")) == (15, 25)
    assert denoise_check.validation_levels(config("level=7")) == (7,)
    given = config(**{"noise.validation": "10,70"})
    assert denoise_check.validation_levels(given) == (10, 70)


def test_validation_has_the_same_noise_always_and_another_for_each_case(small, data, network):
    cases = denoise_train.validation_cases(small, data)
    assert cases.images.shape == (9, SIDE, SIDE)
    np.testing.assert_array_equal(cases.images[:3], data.images[[16, 18, 20]])
    assert cases.levels.tolist() == [15] * 3 + [25] * 3 + [50] * 3
    assert len(set(cases.numbers.tolist())) == 9
    # With a network that gives back what it gets, the PSNR is the noise's.
    shapes = jax.eval_shape(
        lambda: network.model.init(jax.random.key(0), np.zeros((1, SIDE, SIDE, 1)))
    )
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    variables = {"params": zeros["params"], "batch_stats": {}}
    found = denoise_train.scores(small, network, variables, cases)
    np.testing.assert_array_equal(found, denoise_train.scores(small, network, variables, cases))
    some = denoise_train.Cases(*(column[5:] for column in cases))
    np.testing.assert_allclose(
        denoise_train.scores(small, network, variables, some), found[5:], atol=1e-4
    )
    figures = denoise_train.validate(small, network, variables, cases)
    assert figures["psnr"] == pytest.approx(found.mean())
    for level in (15, 25, 50):
        assert figures[f"psnr_{level}"] >= -20 * np.log10(level / 255) - 0.7  # clipping helps


def trained(config, data, network, folder, report=None):
    folder.mkdir(exist_ok=True)
    with record.Record(folder) as log:
        return denoise_train.train(config, data, network, folder, log, report)


def test_training_that_stops_goes_on_to_the_same_weights(small, data, network, tmp_path):
    seen = []
    straight, progress = trained(
        small, data, network, tmp_path / "straight", lambda *what: seen.append(what)
    )
    assert [step for step, _ in seen] == [2, 4, 6]
    assert progress.finished and progress.best_value == max(value for _, value in seen)

    class PrunedError(Exception):
        pass

    def prune(step, _):
        if step == 4:
            raise PrunedError

    with pytest.raises(PrunedError):
        trained(small, data, network, tmp_path / "stopped", prune)
    again = []
    resumed, _ = trained(
        small, data, network, tmp_path / "stopped", lambda *what: again.append(what)
    )
    assert again == seen[1:]
    jax.tree.map(np.testing.assert_array_equal, resumed, straight)
    kept = saved.read_evaluated(tmp_path / "stopped" / "checkpoints", "best")
    jax.tree.map(np.testing.assert_array_equal, kept["params"], jax.device_get(straight["params"]))


def test_a_schedule_that_cannot_be_is_refused(small):
    with pytest.raises(ValueError, match="config.batch_size=4 is more than the 3 training images"):
        fitting.make_schedule(small, 3)
    with pytest.raises(ValueError, match="accumulate=7 is more than the 6 batches"):
        fitting.make_schedule(config(**SMALL | {"optimizer.accumulate": 7}), 20)
