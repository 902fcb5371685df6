"""A classifier looks at denoised images as it would at its own, and only at those it never saw."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from configs import cnn
from covidjax.classify import check as classify_check
from covidjax.classify import trained
from covidjax.data import manifest, preprocess, source, splits
from covidjax.denoise import diagnosis as denoise_diagnosis
from covidjax.denoise.diagnosis import DiagnosisError

SIDE = 32
RNG = np.random.default_rng(0)
IMAGES = RNG.random((5, SIDE, SIDE)).astype(np.float32)
TABLE = pd.DataFrame(
    {
        "image": [f"{i}.png" for i in range(24)],
        "group": [f"p{i // 2}" for i in range(24)],
        "cause": ["none", "viral"] * 12,
    }
)
ROWS = np.arange(24)
PREPARED = source.Prepared(Path(), "phantom", "abc", {})


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> trained.Trained:
    """Two folds of one member each, with random weights, in a folder with split.csv."""
    config = cnn.get_config("task=pneumonia")
    config.model.widths, config.model.convs, config.data.size = (4, 8), 1, SIDE
    model = classify_check.create_model(config)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, SIDE, SIDE, 1)))
    networks = {}
    for seed in (0, 1):
        draw = np.random.default_rng(seed)
        networks[f"fold{seed}"] = {
            "params": jax.tree.map(
                lambda leaf, draw=draw: draw.normal(0, 0.5, leaf.shape).astype(leaf.dtype),
                shapes["params"],
            ),
            "batch_stats": jax.tree.map(
                lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes["batch_stats"]
            ),
        }
    folder = tmp_path_factory.mktemp("classifier")
    (folder / "config.json").write_text(json.dumps({"data": {"fingerprint": "abc"}}))
    fold = splits.Fold("", 0, ROWS[:8], ROWS[8:12], ROWS[12:23])
    manifest.write(folder / "split.csv", [fold], TABLE)
    return trained.Trained(
        *(folder, config, ("Normal", "Pneumonia"), True),
        *({"method": "platt", "slope": 0.7, "shift": [0.0, 0.3]}, "platt", 0.5, "", networks),
    )


def load(run, monkeypatch, rows=ROWS[12:], changes=None, table=TABLE, **data):
    run = dataclasses.replace(run, **(changes or {}))
    monkeypatch.setattr(trained, "load", lambda folder: run)
    own = cnn.get_config("task=pneumonia").data
    own.update({"size": SIDE, "equalize": "none", "resize": "squash"} | data)
    return denoise_diagnosis.load("run:somewhere", own, PREPARED, table, rows)


def test_images_reach_it_as_its_own_do(run, monkeypatch):
    found = load(run, monkeypatch)
    alone = trained.make_predict(run)
    gray = np.rint(IMAGES * 255).astype(np.uint8)
    expected = [alone(preprocess.prepare_image(g, SIDE, "clahe", "squash"))[1] for g in gray]
    np.testing.assert_allclose(found.predict(IMAGES), expected, atol=1e-6)
    assert np.ptp(expected) > 1e-4
    assert found.labels.tolist() == [0, 1] * 6
    assert found.how == "rounded to 8 bits, equalised (clahe), at 32 px"


def test_images_of_another_size_are_resized_before_they_are_equalised(run, monkeypatch):
    found = load(run, monkeypatch, size=48)
    large = RNG.random((2, 48, 48)).astype(np.float32)
    gray = np.rint(large * 255).astype(np.uint8)
    alone = trained.make_predict(run)
    expected = [alone(preprocess.prepare_image(g, SIDE, "clahe", "squash"))[1] for g in gray]
    np.testing.assert_allclose(found.predict(large), expected, atol=1e-6)
    assert "resized from 48 to 32 px, equalised (clahe)" in found.how
    assert "not equalised again" in load(run, monkeypatch, equalize="clahe").how


def test_images_that_it_was_trained_or_chosen_with_are_refused(run, monkeypatch):
    for known in (0, 9):
        with pytest.raises(DiagnosisError, match=f"trained with 1 of the 2 .*{known}.png"):
            load(run, monkeypatch, rows=np.array([known, 20]))
    # Another image of a patient that it was trained on.
    table = TABLE.assign(group=[*TABLE["group"][:-1], "p0"])
    with pytest.raises(DiagnosisError, match="others of their patients"):
        load(run, monkeypatch, rows=ROWS[-1:], table=table)


def test_what_cannot_judge_these_images_is_refused_in_one_line(run, monkeypatch, tmp_path):
    cases = [
        ({"changes": {"threshold": None}}, "give one of two"),
        ({"resize": "pad"}, "give both resize=squash"),
        ({"equalize": "histogram"}, "must be none or clahe"),
    ]
    for arguments, message in cases:
        with pytest.raises(DiagnosisError, match=message) as caught:
            load(run, monkeypatch, **arguments)
        assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text(json.dumps({"data": {"fingerprint": "other"}}))
    with pytest.raises(DiagnosisError, match="trained on other data"):
        load(run, monkeypatch, changes={"folder": tmp_path})
    for text in ("somewhere", "run:"):
        with pytest.raises(DiagnosisError, match="write run:WORKDIR"):
            denoise_diagnosis.load(text, None, PREPARED, TABLE, ROWS)


def test_images_that_are_no_part_of_its_task_are_left_out(run, monkeypatch):
    table = TABLE.assign(cause=[*TABLE["cause"][:-1], "unknown"])
    found = load(run, monkeypatch, table=table)
    assert found.labels[-1] == -1
    scores = RNG.random(12)
    report = denoise_diagnosis.report(
        *(found, TABLE["group"][12:], scores, {"gaussian/25": {"noisy": scores}}, {}),
        samples=20,
        seed=0,
    )
    assert report["clean"]["auroc"]["n"] == 11
    assert report["cases"]["gaussian/25"]["noisy"]["flips"]["value"] == 0
    assert report["images_reach_it"] == found.how
