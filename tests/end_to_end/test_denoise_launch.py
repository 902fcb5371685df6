"""A whole denoising run on the phantom, shrunk by flags, and what its folder serves for."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covidjax.classify import trained
from covidjax.denoise import __main__ as denoise
from covidjax.denoise import denoiser

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
    "--config.evaluate.methods=noisy,gaussian,bm3d_fast",
    "--config.evaluate.images=12",
    "--config.evaluate.tuning_images=2",
    "--config.evaluate.timing_images=2",
    "--config.evaluate.edges=2",
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
    assert figure["n"] == 12 and figure["value"] > 21
    assert figure["ci95"][0] < figure["value"] < figure["ci95"][1]
    assert found["splits"]["test"]["noisy/gaussian/25/psnr"]["value"] < figure["value"]
    assert "unet_minus_bm3d_fast/gaussian/25/psnr" in found["splits"]["test"]
    assert found["denoising"]["times_faster"]["gaussian"]["unet/bm3d_fast"] > 0
    assert "PHANTOM" in (folder / "denoised_test.csv").read_text()
    assert len(list((folder / "figures").glob("*.png"))) == 4
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


def test_a_finished_run_is_not_run_again_but_evaluated_where_that_is_asked_for(
    folder: Path, launch_all: Callable
) -> None:
    before = (folder / "metrics.jsonl").read_text()
    again = [*DENOISE, f"--workdir={folder}"]
    other = [*again, "--config.evaluate.levels=40", "--config.evaluate.methods=noisy"]
    (status, out, err), (other_status, other_out, other_err) = launch_all([again, other])
    assert status == 0 and "is finished" in out, err
    assert other_status == 0 and "evaluated again" in other_out, other_err
    found = json.loads((folder / "results.json").read_text())["splits"]["test"]
    assert {key.split("/")[2] for key in found} == {"40"}
    assert (folder / "metrics.jsonl").read_text() == before


def test_the_command_denoises_a_picture_by_the_run(folder: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    noisy = np.clip(0.5 + draw.normal(0, 25 / 255, (70, 50)), 0, 1)
    Image.fromarray(np.uint16(noisy * 65535)).save(tmp_path / "film.png")
    arguments = [f"--run={folder}", str(tmp_path / "film.png"), f"--out={tmp_path / 'out'}"]
    assert denoise.main(arguments) == 0
    with Image.open(tmp_path / "out" / "film.png") as image:
        found = np.array(image) / 65535
    assert found.shape == noisy.shape
    assert np.std(found) < 0.95 * np.std(noisy)


def test_a_denoiser_is_no_classifier(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(trained.RunError, match="holds a run of denoise, not of classify"):
        trained.load(folder)
    with pytest.raises(trained.RunError, match="holds no run"):
        denoiser.load_denoiser(tmp_path)
