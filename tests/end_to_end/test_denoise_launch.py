"""A whole denoising run on the phantom, shrunk by flags, and what its folder serves for."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from covidjax.experiments import denoiser, trained

DENOISE = [
    "--config=configs/dae.py:size=32,level=25",
    "--config.phantom.images=200",
    "--config.phantom.size=64",
    "--config.model.width=4",
    "--config.model.blocks=(1,1)",
    "--config.batch_size=8",
    "--config.validation_fraction=0.3",
    "--config.validation_images=8",
    "--config.bootstrap_samples=50",
    "--config.steps=60",
    "--config.evaluations=2",
    "--config.log_every=1",
    "--config.quiet=True",
]


@pytest.fixture(scope="module")
def folder(launch: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("denoise") / "run"
    status, _, err = launch(*DENOISE, f"--workdir={folder}")
    assert status == 0, err
    assert "THESE ARE NOT PATIENTS" in err
    return folder


def test_the_run_leaves_its_figures_and_beats_the_noise(folder: Path) -> None:
    found = json.loads((folder / "results.json").read_text())
    assert (found["experiment"], found["data"], found["task"]) == ("denoise", "phantom", "gaussian")
    assert "PHANTOM" in found["warning"]
    figure = found["splits"]["test"]["unet/gaussian/25/psnr"]
    assert figure["n"] > 10 and figure["value"] > 21
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {line["data"] for line in lines} == {"PHANTOM"}
    assert [line["step"] for line in lines if line["split"] == "validation"] == [30, 60]
    assert (folder / "split.csv").exists()


def test_the_denoiser_of_a_run_takes_any_size_and_number(folder: Path) -> None:
    denoise = denoiser.load_denoiser(folder)
    assert (denoise.name, denoise.phantom, denoise.noise.kind) == ("unet", True, "gaussian")
    draw = np.random.default_rng(0)
    clean = np.full((3, 37, 51), 0.5, np.float32)
    noisy = clean + draw.normal(0, 25 / 255, clean.shape).astype(np.float32)
    output = denoise(noisy)
    assert output.shape == noisy.shape and output.dtype == np.float32
    assert output.min() >= 0 and output.max() <= 1
    assert np.mean((output - clean) ** 2) < 0.85 * np.mean((noisy - clean) ** 2)
    np.testing.assert_allclose(denoise(noisy[1:2])[0], output[1], atol=1e-5)
    assert denoise(noisy[:0]).shape == (0, 37, 51)
    with pytest.raises(ValueError, match=r"must be \[n, height, width\]"):
        denoise(noisy[0])


def test_the_level_of_white_noise_is_estimated_from_the_image() -> None:
    draw = np.random.default_rng(0)
    smooth = np.broadcast_to(np.linspace(0, 1, 65, dtype=np.float32), (2, 65, 65))
    noisy = smooth + draw.normal(0, 1, smooth.shape) * np.array([10, 50])[:, None, None] / 255
    found = denoiser.estimated_levels(noisy.astype(np.float32))
    np.testing.assert_allclose(found, [10, 50], rtol=0.06)


def test_a_finished_run_is_not_run_again(folder: Path, launch: Callable) -> None:
    status, out, err = launch(*DENOISE, f"--workdir={folder}")
    assert status == 0 and "is finished" in out, err


def test_a_denoiser_is_no_classifier(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(trained.RunError, match="holds a run of denoise, not of classify"):
        trained.load(folder)
    with pytest.raises(trained.RunError, match="holds no run"):
        denoiser.load_denoiser(tmp_path)
