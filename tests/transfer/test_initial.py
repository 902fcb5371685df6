"""Runs start from runs: the right network of them, and only where it never saw the test images."""

import dataclasses
import json
import shutil
import types
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import plain_resnet
import pytest

from covidjax import models
from covidjax.data import batches, manifest, splits
from covidjax.runs import folder as runs
from covidjax.training import checkpoint, optimizer, sharding, state
from covidjax.transfer import convert, initial, sources, widen

MODEL = models.create("cnn", num_classes=2, widths=(4, 8), convs=1)
SHAPE = (16, 16, 1)
ROWS = 40
PHANTOM = types.SimpleNamespace(kind="phantom", fingerprint="f1")


def make_state(seed: int, model=MODEL) -> state.TrainState:
    tx = optimizer.create("adamw", learning_rate=0.1, steps=10)
    return state.create(model, tx, SHAPE, jax.random.key(seed), sharding.make_mesh())


def table() -> pd.DataFrame:
    """Two images a group."""
    rows = range(ROWS)
    return pd.DataFrame(
        {"image": [f"a{i}.png" for i in rows], "group": [f"g{i // 2}" for i in rows]}
    )


def folds() -> list[splits.Fold]:
    """Three folds; fold k tests rows 12 k to 12 k + 11, and validates on the four after 36."""
    every, made = np.arange(ROWS), []
    for number in range(3):
        test = every[12 * number : 12 * number + 12]
        train = np.setdiff1d(every[:36], test)
        made.append(splits.Fold(f"fold{number}", number, train, every[36:], test))
    return made


def save(folder: Path, best: state.TrainState, final: state.TrainState, step: int = 4) -> None:
    """Checkpoints as training leaves them: the best at `step`, its successor at the end."""
    stream = batches.train_batches(
        np.zeros((8, 4, 4), np.uint8),
        np.arange(8),
        np.zeros(8, int),
        np.ones(8),
        batch_size=8,
        seed=0,
        balanced=False,
        process_index=0,
        process_count=1,
    )
    kept = checkpoint.Checkpoints(folder)
    at = lambda given, number: dataclasses.replace(given, step=given.step * 0 + number)  # noqa: E731
    kept.save_best(at(best, step))
    progress = checkpoint.Progress(step, 0.5, finished=True)
    kept.save_last(at(final, step + 2), stream, progress)
    kept.close()


def finish(folder: Path, select: str = "best", fingerprint: str = "f1") -> None:
    config = {"config": {"select": select}, "data": {"kind": "PHANTOM", "fingerprint": fingerprint}}
    (folder / "config.json").write_text(json.dumps(config))
    results = {"experiment": "classify", "data": "phantom", "splits": {}}
    (folder / "results.json").write_text(json.dumps(results))
    manifest.write(folder / "split.csv", folds(), table(), phantom=True)


@pytest.fixture(scope="module")
def states() -> list[state.TrainState]:
    return [jax.tree.map(lambda leaf, i=i: leaf + i, make_state(0)) for i in range(3)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, states: list[state.TrainState]) -> Path:
    """Two folds, whose best networks are the first two states."""
    folder = tmp_path_factory.mktemp("run")
    for number in range(2):
        save(folder / "checkpoints" / f"fold{number}", states[number], states[2])
    finish(folder)
    return folder


def assert_same(one, other) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    ("suffix", "network", "number"),
    [
        ("", "fold1", 1),
        ("", "fold1-member2", 1),
        ("", "fold4", 0),
        ("", "", 0),
        ("#fold1", "fold0", 1),
    ],
)
def test_the_network_of_the_same_fold_is_taken_unless_one_is_named(
    run: Path, states, suffix: str, network: str, number: int
) -> None:
    began = initial.begin(f"run:{run}{suffix}", network, make_state(7))
    expected = checkpoint.evaluated_part(states[number])
    assert_same({"params": began.params, "batch_stats": began.batch_stats}, expected)
    assert_same(checkpoint.evaluated_part(began), expected)
    assert int(began.step) == 0
    leaves, averages = jax.tree.leaves(began.params), jax.tree.leaves(began.ema_params)
    for old, new, average in zip(jax.tree.leaves(states[0].params), leaves, averages, strict=True):
        assert new.sharding == old.sharding
        pointers = [part.data.unsafe_buffer_pointer() for part in new.addressable_shards]
        others = [part.data.unsafe_buffer_pointer() for part in average.addressable_shards]
        assert not set(pointers) & set(others)  # both are donated to the step


def test_a_run_that_evaluated_its_last_weights_gives_those(tmp_path: Path, states) -> None:
    save(tmp_path / "checkpoints", states[0], states[2])
    finish(tmp_path, select="last")
    began = initial.begin(f"run:{tmp_path}", "fold3", make_state(7))
    assert_same(checkpoint.evaluated_part(began), checkpoint.evaluated_part(states[2]))


def test_networks_are_listed_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("fold10-member1", "fold2-member0", "fold10-member0"):
        (tmp_path / "checkpoints" / name / "best").mkdir(parents=True)
    finish(tmp_path)
    expected = ["fold2-member0", "fold10-member0", "fold10-member1"]
    assert runs.networks(runs.read(tmp_path)) == expected


def test_another_network_or_none_is_refused(run: Path) -> None:
    other = make_state(0, models.create("cnn", num_classes=2, widths=(4, 6), convs=1))
    with pytest.raises(convert.MismatchError, match="Conv_1/kernel.* instead of"):
        initial.begin(f"run:{run}", "fold0", other)
    with pytest.raises(sources.SourceError, match="no such network; it has fold0, fold1"):
        initial.begin(f"run:{run}#fold7", "fold0", other)


def test_a_damaged_checkpoint_is_said(tmp_path: Path, states) -> None:
    save(tmp_path / "checkpoints", states[0], states[2])
    finish(tmp_path)
    for file in (tmp_path / "checkpoints" / "best").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(runs.RunError, match="the checkpoint .* cannot be read"):
        initial.begin(f"run:{tmp_path}", "", states[1])


def check(init: str, number: int, **facts: object) -> str:
    fold = folds()[number]
    prepared = types.SimpleNamespace(**vars(PHANTOM) | facts)
    return initial.check(init, MODEL, SHAPE, [(fold.name, fold)], table(), prepared)


def test_a_run_that_saw_test_images_is_refused(run: Path) -> None:
    assert check(f"run:{run}", 0) == f"Starting from run:{run}"
    assert check(f"run:{run}", 1)
    with pytest.raises(splits.LeakError, match="12 of the 12 test images of fold0, such as a0"):
        check(f"run:{run}#fold1", 0)
    with pytest.raises(splits.LeakError, match="test images of fold2.*covidjax.transfer.widen"):
        check(f"run:{run}", 2)  # it has no fold2: fold0 was trained on what fold2 tests
    # Other images, though of the same names.
    assert check(f"run:{run}", 2, fingerprint="f2")
    assert check(f"run:{run}", 2, kind="coronahack")


def test_an_image_of_a_patient_who_was_seen_is_a_leak_too(tmp_path: Path, states) -> None:
    save(tmp_path / "checkpoints", states[0], states[2])
    finish(tmp_path)
    odd = [splits.Fold("", 0, np.arange(1, 20, 2), np.arange(36, 40), np.arange(20, 36))]
    manifest.write(tmp_path / "split.csv", odd, table())
    fold = splits.Fold("", 0, np.arange(20, 36), np.arange(36, 40), np.arange(0, 20, 2))
    with pytest.raises(splits.LeakError, match="10 of the 10 test images of the split, such as a0"):
        initial.check(f"run:{tmp_path}", MODEL, SHAPE, [("", fold)], table(), PHANTOM)
    clean = dataclasses.replace(fold, test=np.arange(20, 36))
    assert initial.check(f"run:{tmp_path}", MODEL, SHAPE, [("", clean)], table(), PHANTOM)


def test_a_file_is_checked_and_the_fresh_layer_said(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(plain_resnet.weights(18), tmp_path / "a.safetensors")
    model = models.create("resnet", num_classes=2, depth=18)
    arguments = (model, (32, 32, 1), [("fold0", folds()[0])], table(), PHANTOM)
    path = tmp_path / "a.safetensors"
    assert initial.check(str(path), *arguments) == f"Starting from {path}, with a fresh fc"
    with pytest.raises(convert.MismatchError, match="a.safetensors: the weights do not fit"):
        initial.check(str(path), MODEL, SHAPE, *arguments[2:])


def test_a_widened_split_adds_every_patient_that_is_not_held_out() -> None:
    labels = np.where(np.arange(ROWS) % 5 == 4, -1, 0)
    for fold, wide in zip(folds(), widen.widened(folds(), table(), labels), strict=True):
        kept = np.flatnonzero(labels >= 0)
        held = np.concatenate([fold.validation, fold.test])
        groups = table()["group"].to_numpy()
        np.testing.assert_array_equal(wide.test, np.intersect1d(fold.test, kept))
        np.testing.assert_array_equal(wide.validation, np.intersect1d(fold.validation, kept))
        assert (wide.name, wide.number) == (fold.name, fold.number)
        assert not set(groups[wide.train]) & set(groups[held])
        assert set(wide.train) == {row for row in kept if groups[row] not in set(groups[held])}


def test_widen_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert widen.main([f"--run={tmp_path}", f"--out={tmp_path / 'split.csv'}"]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert not (tmp_path / "split.csv").exists()


def test_the_help_of_widen_shows_every_command_of_the_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        widen.main(["--help"])
    shown = capsys.readouterr().out
    assert shown.startswith("usage: python -m covidjax.transfer.widen")
    assert shown.count("python launch.py") == 3 and "init=run:runs/pretrained" in shown


def test_an_edited_split_of_the_earlier_run_is_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "edited"
    shutil.copytree(run, folder)
    text = (folder / "split.csv").read_text()
    (folder / "split.csv").write_text(text.replace("train", "test", 1))
    with pytest.raises(sources.SourceError, match="was changed since it was written"):
        check(f"run:{folder}", 0)
