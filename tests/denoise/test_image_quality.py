"""Quality figures agree with scikit-image where it has them, and behave as published elsewhere."""

import numpy as np
import pytest
from scipy import ndimage

from covidjax.denoise.measures import image_quality
from covidjax.evidence.metrics import EvaluationError


def pictures(n: int, side: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures in [0, 1]."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(n, side, side)), (0, 3, 3))
    low, high = smooth.min(axis=(1, 2), keepdims=True), smooth.max(axis=(1, 2), keepdims=True)
    return (smooth - low) / (high - low)


CLEAN = pictures(3, 48)
NOISE = np.random.default_rng(1).normal(size=CLEAN.shape)


def test_psnr_and_ssim_are_those_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    noisy = np.clip(CLEAN + 0.1 * NOISE, 0, 1)
    psnr, ssim = image_quality.psnr(CLEAN, noisy), image_quality.ssim(CLEAN, noisy)
    for one, other, found_psnr, found_ssim in zip(CLEAN, noisy, psnr, ssim, strict=True):
        assert found_psnr == pytest.approx(
            metrics.peak_signal_noise_ratio(one, other, data_range=1)
        )
        expected = metrics.structural_similarity(
            *(one, other),
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert found_ssim == pytest.approx(expected, abs=1e-9)


def test_equal_images_are_perfect():
    found = image_quality.qualities(CLEAN, CLEAN)
    assert np.isinf(found["psnr"]).all()
    np.testing.assert_allclose(found["ssim"], 1)
    np.testing.assert_allclose(found["ms_ssim"], 1)
    np.testing.assert_allclose(found["gmsd"], 0, atol=1e-12)


@pytest.mark.parametrize("harm", ["noise", "blur"])
def test_every_figure_gets_worse_the_more_is_done_to_the_image(harm):
    worse = []
    for strength in (0.02, 0.08, 0.3):
        if harm == "noise":
            other = CLEAN + strength * NOISE
        else:
            other = ndimage.gaussian_filter(CLEAN, (0, 10 * strength, 10 * strength))
        worse.append(image_quality.qualities(CLEAN, other))
    for name, larger_is_better in image_quality.LARGER_IS_BETTER.items():
        values = np.array([found[name] for found in worse])
        steps = np.diff(values if larger_is_better else -values, axis=0)
        assert (steps < 0).all(), name


def test_each_image_is_measured_alone_whatever_the_chunk():
    noisy = CLEAN + 0.05 * NOISE
    together = image_quality.qualities(CLEAN, noisy)
    for name, values in image_quality.qualities(CLEAN, noisy, chunk=1).items():
        np.testing.assert_allclose(values, together[name])
        assert values.shape == (3,)


@pytest.mark.parametrize(
    ("side", "count"), [(10, 0), (11, 1), (20, 1), (21, 2), (80, 3), (128, 4), (160, 4), (161, 5)]
)
def test_ms_ssim_has_as_many_scales_as_the_window_fits_into(side, count):
    assert image_quality.scales(side, 300) == count


def test_ms_ssim_of_one_scale_is_ssim_where_the_image_is_small():
    small = CLEAN[:, :16, :16], CLEAN[:, :16, :16] + 0.05 * NOISE[:, :16, :16]
    np.testing.assert_allclose(image_quality.ms_ssim(*small), image_quality.ssim(*small))


def test_ms_ssim_forgives_fine_noise_more_than_ssim():
    noisy = CLEAN + 0.1 * NOISE
    assert (image_quality.ms_ssim(CLEAN, noisy) > image_quality.ssim(CLEAN, noisy)).all()


def test_images_of_another_shape_or_smaller_than_the_window_are_refused():
    with pytest.raises(EvaluationError, match=r"\[3, 48, 48\] and \[2, 48, 48\]"):
        image_quality.psnr(CLEAN, CLEAN[:2])
    with pytest.raises(EvaluationError, match="11 pixels a side"):
        image_quality.ssim(CLEAN[:, :10], CLEAN[:, :10])
