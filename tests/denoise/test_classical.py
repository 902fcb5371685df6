"""Classical denoisers: each helps, tuning chooses by PSNR, what is missing is left out."""

import importlib.util

import numpy as np
import pytest
from scipy import ndimage

from covidjax.data.noise import Noise
from covidjax.denoise.measures import anscombe, classical
from covidjax.denoise.measures.image_quality import psnr

GAUSSIAN, LOW_DOSE = Noise("gaussian"), Noise("low_dose")
LEVEL, DOSE = 25.0, 0.2
FAST = [name for name in classical.METHODS if name != "bm3d"]  # which takes 0.6 s an image


def film(side: int = 32) -> np.ndarray:
    """A bright middle with soft edges, darker fields beside it, and ribs."""
    y, x = np.mgrid[:side, :side] / side
    picture = 0.75 - 0.45 * (np.abs(x - 0.5) > 0.12) + 0.1 * (np.sin(40 * y + 8 * x) > 0.3)
    return ndimage.gaussian_filter(picture, 0.7).astype(np.float32)


CLEAN = np.stack([film(), film().T.copy()])
NOISY = CLEAN + np.random.default_rng(0).normal(0, LEVEL / 255, CLEAN.shape).astype(np.float32)


def low_dose(clean: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    full = DOSE * LOW_DOSE.photons
    counts = rng.poisson(full * np.exp(-LOW_DOSE.absorption * clean))
    counts = counts + rng.normal(0, LOW_DOSE.electronic, clean.shape)
    return (-np.log(np.maximum(counts, 1) / full) / LOW_DOSE.absorption).astype(np.float32)


def needs(name: str) -> None:
    for package in classical.METHODS[name].packages:
        pytest.importorskip(package)


@pytest.mark.parametrize("name", [name for name in FAST if name != "noisy"])
def test_every_method_beats_the_noisy_input(name):
    needs(name)
    found = classical.tune(name, CLEAN, NOISY, GAUSSIAN, LEVEL)
    output = found.denoise(NOISY)
    assert output.shape == NOISY.shape and output.dtype == np.float32
    assert output.min() >= 0 and output.max() <= 1
    before = psnr(CLEAN, np.clip(NOISY, 0, 1)).mean()
    assert psnr(CLEAN, output).mean() == pytest.approx(found.psnr)
    assert found.psnr > before + 1.5
    assert found.tried == len(classical.grid_of(name, GAUSSIAN))


def test_tuning_takes_the_best_of_the_grid_and_counts_every_image():
    seen = []
    found = classical.tune("gaussian", CLEAN, NOISY, GAUSSIAN, LEVEL, lambda: seen.append(1))
    by_hand = {
        pixels: psnr(
            CLEAN, np.clip(np.stack([ndimage.gaussian_filter(x, pixels) for x in NOISY]), 0, 1)
        ).mean()
        for pixels in classical.METHODS["gaussian"].grid["pixels"]
    }
    assert found.parameters == {"pixels": max(by_hand, key=by_hand.get)}
    assert found.psnr == pytest.approx(max(by_hand.values()), abs=1e-4)
    assert len(seen) == len(by_hand) * len(CLEAN)


def test_low_doses_are_denoised_in_the_counts_without_bias():
    pytest.importorskip("bm3d")
    assert {p["transform"] for p in classical.grid_of("bm3d_fast", LOW_DOSE)} == {
        "anscombe",
        "none",
    }
    assert {p["transform"] for p in classical.grid_of("bm3d_fast", GAUSSIAN)} == {"none"}
    flat = np.full((32, 32), 0.7, np.float32)
    dark = low_dose(flat)
    output = classical.bm3d(
        dark, 0.1, LOW_DOSE, DOSE, factor=1.0, transform="anscombe", exact=False
    )
    # The mean of the logarithms lies above 0.7, the logarithm of the mean does not.
    assert dark.mean() - 0.7 > 2 * abs(output.mean() - 0.7)
    assert output.std() < 0.2 * dark.std()
    noisy = low_dose(CLEAN)
    found = classical.tune("bm3d_fast", CLEAN, noisy, LOW_DOSE, DOSE)
    assert found.psnr > psnr(CLEAN, np.clip(noisy, 0, 1)).mean() + 3


def test_the_transform_and_back_is_the_image_where_there_is_no_noise(monkeypatch):
    package = pytest.importorskip("bm3d")
    monkeypatch.setattr(package, "bm3d", lambda image, sigma, profile: image)
    clean = film()
    output = classical.bm3d(clean, 0.1, LOW_DOSE, 1.0, factor=1.0, transform="anscombe")
    # The inverse is that of the mean over noise: a quarter of a count beside the algebraic one.
    np.testing.assert_allclose(output, clean, atol=0.002)
    assert anscombe.forward(np.array([4.0]), 0)[0] == pytest.approx(2 * np.sqrt(4.375))


def test_methods_whose_package_is_missing_are_left_out_with_one_line(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bm3d" else found(name)
    )
    names, line = classical.available(["noisy", "bm3d", "median"])
    assert names == ["noisy", "median"]
    assert line.startswith("Left out") and "bm3d" in line and '".[denoise]"' in line
    assert classical.available(["noisy", "median"]) == (["noisy", "median"], "")
    with pytest.raises(ValueError, match="no method is called 'bm4d'"):
        classical.available(["bm4d"])


def test_seconds_are_taken_one_image_at_a_time_after_the_warm_up():
    calls = []

    def slow_first(images):
        calls.append(images.shape)
        return images

    found = classical.seconds_an_image({"a": slow_first, "b": slow_first}, NOISY, warm_up=1)
    assert calls == [(1, 32, 32)] * 6
    assert set(found) == {"a", "b"} and all(0 <= taken < 1 for taken in found.values())
