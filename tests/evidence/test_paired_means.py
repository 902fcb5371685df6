"""Means with intervals: paired, and by group."""

import numpy as np
import pytest

from covidjax.evidence.paired_means import means_with_intervals

RNG = np.random.default_rng(0)
VALUES = RNG.normal(30, 3, 100)
GROUPS = np.array([f"p{i}" for i in range(100)])


def width(figure):
    return figure["ci95"][1] - figure["ci95"][0]


def test_the_interval_has_the_width_of_the_standard_error():
    found = means_with_intervals({"psnr": VALUES}, GROUPS)["psnr"]
    assert found["value"] == pytest.approx(VALUES.mean()) and found["n"] == 100
    assert found["ci95"][0] < VALUES.mean() < found["ci95"][1]
    assert width(found) == pytest.approx(2 * 1.96 * VALUES.std() / 10, rel=0.1)


def test_a_column_of_differences_is_the_paired_comparison():
    other = VALUES + 0.5 + RNG.normal(0, 0.1, 100)
    found = means_with_intervals({"a": VALUES, "b": other, "gain": other - VALUES}, GROUPS)
    assert found["gain"]["value"] == pytest.approx(found["b"]["value"] - found["a"]["value"])
    assert width(found["gain"]) < 0.1 * width(found["a"])


def test_copies_within_a_group_do_not_narrow_the_interval():
    four = np.arange(100).repeat(4)
    once = means_with_intervals({"psnr": VALUES}, GROUPS)["psnr"]
    often = means_with_intervals({"psnr": VALUES[four]}, GROUPS[four])["psnr"]
    assert width(often) == pytest.approx(width(once))


def test_one_group_or_an_infinite_value_has_no_interval():
    assert means_with_intervals({"psnr": VALUES}, ["same"] * 100)["psnr"]["ci95"] is None
    found = means_with_intervals({"psnr": [np.inf, 1.0, 2.0], "ssim": [1, 1, 1]}, ["a", "b", "c"])
    assert found["psnr"]["ci95"] is None and found["ssim"]["ci95"] == [1, 1]
