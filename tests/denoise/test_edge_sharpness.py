"""Edge widths: those of analytic edges, wider the more they are blurred, steady under noise."""

import numpy as np
import pytest
from scipy import ndimage

from covidjax.denoise.measures.edge_sharpness import (
    GAUSSIAN_WIDTH,
    edge_width_with_interval,
    slanted_edges,
)


def edge_width(images, distances):
    return edge_width_with_interval(images, distances)["value"]


@pytest.mark.parametrize("blur", [0.6, 1.0, 2.0])
def test_the_width_of_a_gaussian_edge_is_2_56_standard_deviations(blur):
    edges = slanted_edges(8, 48, blur=blur)
    assert edge_width(edges.images, edges.distances) == pytest.approx(
        GAUSSIAN_WIDTH * blur, rel=0.03
    )


def test_a_denoiser_that_blurs_widens_the_edge_as_the_formula_says():
    edges = slanted_edges(8, 48)

    def blur(images):
        return ndimage.gaussian_filter(images, (0, 1.5, 1.5))

    found = edge_width_with_interval(blur(edges.images), edges.distances)
    assert found["value"] == pytest.approx(GAUSSIAN_WIDTH * np.hypot(0.6, 1.5), rel=0.03)
    assert found["ci95"][0] <= found["value"] <= found["ci95"][1] and found["n"] == 8


def test_noise_alone_hardly_changes_the_width():
    edges = slanted_edges(16, 64)
    noisy = edges.images + np.random.default_rng(0).normal(0, 0.1, edges.images.shape)
    assert edge_width(noisy, edges.distances) == pytest.approx(GAUSSIAN_WIDTH * 0.6, rel=0.25)


def test_lost_contrast_is_not_taken_for_sharpness_and_no_edge_has_no_width():
    edges = slanted_edges(4, 48)
    flat = 0.5 + (edges.images - 0.5) / 3
    assert edge_width(flat, edges.distances) == pytest.approx(
        edge_width(edges.images, edges.distances), rel=1e-3
    )
    found = edge_width_with_interval(0 * edges.images, edges.distances)
    assert np.isnan(found["value"]) and found["ci95"] is None
