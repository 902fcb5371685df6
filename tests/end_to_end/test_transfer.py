"""A run starts from an earlier one: each strategy trains what it says, and no more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from covidjax.runs import folder as run_folder

SHRUNK = [
    *("--config.phantom.images=200", "--config.phantom.size=96", "--config.data.size=28"),
    *("--config.batch_size=16", "--config.validation_fraction=0.3"),
    *("--config.bootstrap_samples=50", "--config.evaluations=1", "--config.quiet"),
    *("--config.epochs=1", "--config.model.kernels=plain", "--config.select=last"),
    *("--noconfig.audit", "--noconfig.saliency"),
]
STRATEGIES = {
    "frozen statistics": ["--config.transfer.freeze_batch_norm", "--config.ema=0.0"],
    "probe": ["--config.transfer.strategy=probe"],
}


@pytest.fixture(scope="module")
def runs(launch_all: Callable, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("transfer")
    begun = f"--config=configs/resnet.py:task=cause,init=run:{folder / 'pretrained'}"
    lines = {"pretrained": ["--config=configs/resnet.py:task=pneumonia"]}
    lines |= {name: [begun, *arguments] for name, arguments in STRATEGIES.items()}
    done = launch_all(
        [[*line, *SHRUNK, f"--workdir={folder / name}"] for name, line in lines.items()]
    )
    for status, _, err in done:
        assert status == 0, err
    assert "Starting from run:" in done[1][1] and "with a fresh fc" in done[1][1]
    return {name: folder / name for name in lines}


def layers(run: Path) -> dict[str, Any]:
    """The leaves by the path of their names, as they were evaluated."""
    finished = run_folder.read(run)
    (network,) = run_folder.networks(finished)
    held = run_folder.read_network(finished, network)
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(held)}


def changed(run: Path, other: Path) -> set[str]:
    one, two = layers(run), layers(other)
    assert one.keys() == two.keys()
    return {
        name
        for name in one
        if one[name].shape != two[name].shape or not np.array_equal(one[name], two[name])
    }


def test_frozen_statistics_stay_while_all_weights_learn(runs: dict[str, Path]) -> None:
    found = changed(runs["frozen statistics"], runs["pretrained"])
    assert found == {name for name in layers(runs["pretrained"]) if "batch_stats" not in name}


def test_a_probe_trains_the_classifier_alone_on_kept_features(
    runs: dict[str, Path], environment: dict[str, str]
) -> None:
    found = changed(runs["probe"], runs["pretrained"])
    assert found == {"['params']['fc']['kernel']", "['params']['fc']['bias']"}
    assert list((Path(environment["COVIDJAX_CACHE"]) / "features").glob("*.npy"))


def test_a_start_that_has_seen_test_images_is_refused_before_anything_is_written(
    runs: dict[str, Path], launch: Callable, tmp_path: Path
) -> None:
    begun = f"--config=configs/resnet.py:task=covid,init=run:{runs['pretrained']}"
    status, _, err = launch(begun, *SHRUNK, "--config.folds=2", f"--workdir={tmp_path / 'run'}")
    assert status == 2 and "Such a score would mean nothing" in err
    assert "covidjax.transfer.widen" in err and not (tmp_path / "run").exists()
