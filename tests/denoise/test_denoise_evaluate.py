"""The evaluation of denoisers: the same noise for all, honest figures, files that agree."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from configs import dae
from covidjax.data.noise import Noise
from covidjax.denoise import cases as denoise_cases
from covidjax.denoise import check as denoise_check
from covidjax.denoise import evaluate as denoise_evaluate
from covidjax.denoise import outputs as denoise_outputs
from covidjax.denoise.cases import Case, Films
from covidjax.denoise.diagnosis import Classifier
from covidjax.runs import results

SIDE, COUNT = 24, 6
RNG = np.random.default_rng(0)


def films(count: int) -> np.ndarray:
    smooth = ndimage.gaussian_filter(RNG.normal(size=(count, SIDE, SIDE)), (0, 3, 3))
    return np.clip(0.5 + 2 * smooth, 0, 1).astype(np.float32)


TESTED = Films(
    [f"{i}.png" for i in range(COUNT)], [f"p{i // 2}" for i in range(COUNT)], films(COUNT)
)
CASES = [Case(Noise("gaussian"), 15.0), Case(Noise("gaussian"), 50.0)]
SEEN: dict[str, list[np.ndarray]] = {"smooth": [], "identity": []}


def smooth(images: np.ndarray) -> np.ndarray:
    SEEN["smooth"].append(images)
    return ndimage.gaussian_filter(images, (0, 2, 2))


def identity(images: np.ndarray) -> np.ndarray:
    SEEN["identity"].append(images)
    return images


def config(**changes):
    made = dae.get_config()
    settings = {
        "evaluate.methods": "noisy,gaussian,median",
        "evaluate.tuning_images": 2,
        "evaluate.timing_images": 2,
        "evaluate.edges": 3,
        "evaluate.examples": 1,
        "bootstrap_samples": 30,
        "quiet": True,
    }
    made.update_from_flattened_dict(settings | changes)
    return made.lock()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> tuple[dict, Path]:
    folder = tmp_path_factory.mktemp("evaluated")
    labels = np.array([0, 1, 0, 1, 0, 1], np.int32)
    classifier = Classifier(
        folder, "pneumonia", ("a", "b"), 0.5, labels, "", lambda images: images.std(axis=(1, 2))
    )
    found = denoise_evaluate.evaluate(
        *(config(), films(4), TESTED, {"smooth": smooth, "identity": identity}, CASES, folder),
        phantom=True,
        classifier=classifier,
    )
    results.write_results(folder / "results.json", found)
    return json.loads((folder / "results.json").read_text()), folder


def test_every_method_has_every_figure_at_every_level(evaluated):
    figures = evaluated[0]["splits"]["test"]
    for method in ("noisy", "gaussian", "median", "smooth", "identity"):
        for case in ("gaussian/15", "gaussian/50"):
            for name in ("psnr", "ssim", "ms_ssim", "gmsd"):
                figure = figures[f"{method}/{case}/{name}"]
                assert figure["n"] == COUNT
                assert figure["ci95"][0] <= figure["value"] <= figure["ci95"][1]
    assert not any("_minus_" in key for key in figures)  # without BM3D nothing to compare with


def test_all_methods_get_the_same_noise_which_is_not_clipped(evaluated):
    figures = evaluated[0]["splits"]["test"]
    for case, sigma in (("gaussian/15", 15), ("gaussian/50", 50)):
        for name in ("psnr", "ssim"):
            noisy, same = (figures[f"{m}/{case}/{name}"] for m in ("noisy", "identity"))
            assert noisy == same
        expected = -20 * np.log10(sigma / 255)
        assert expected - 0.3 < figures[f"noisy/{case}/psnr"]["value"] < expected + 1.5
    both = [np.concatenate([x for x in SEEN[name] if len(x) == COUNT]) for name in SEEN]
    np.testing.assert_array_equal(*(part[: 2 * COUNT] for part in both))
    assert both[0].min() < 0 or both[0].max() > 1


def test_the_noise_of_an_image_does_not_depend_on_the_others():
    few = denoise_evaluate._noisy(CASES[0], TESTED.images[:2], 0, "test")
    all_of_them = denoise_evaluate._noisy(CASES[0], TESTED.images, 0, "test")
    np.testing.assert_array_equal(few, all_of_them[:2])
    again = denoise_evaluate._noisy(CASES[0], TESTED.images, 0, "tuning")
    assert np.abs(again - all_of_them).max() > 0.05


def test_the_run_says_what_was_tuned_how_fast_and_how_sharp(evaluated):
    found = evaluated[0]["denoising"]
    tuned = found["tuned"]["gaussian/50"]["gaussian"]
    assert tuned["parameters"]["pixels"] > 0.5 and tuned["images"] == 2 and tuned["tried"] == 7
    assert set(found["seconds_an_image"]["gaussian"]) == {
        *("noisy", "gaussian", "median", "smooth", "identity")
    }
    edges = found["edge_width_pixels"]["gaussian/15"]
    assert edges["smooth"]["value"] > 1.5 * found["edge_width_clean"]
    assert edges["smooth"]["n"] == 3
    spectra = found["spectra"]["gaussian/50"]
    fine = {name: spectra[name]["power"][-1] for name in ("noisy", "smooth")}
    assert fine["smooth"] < 0.05 * fine["noisy"]
    assert found["ms_ssim_scales"] == 2


def test_the_diagnosis_is_beside_it(evaluated):
    found = evaluated[0]["diagnosis"]
    assert set(found["cases"]) == {"gaussian/15", "gaussian/50"}
    assert set(found["clean_denoised"]) == {"smooth", "identity"}
    assert found["clean_denoised"]["identity"]["flips"]["value"] == 0
    assert found["cases"]["gaussian/50"]["identity"] == {
        **found["cases"]["gaussian/50"]["noisy"],
        "regained": found["cases"]["gaussian/50"]["identity"]["regained"],
    }


def test_the_csv_has_a_row_an_image_and_method_whose_mean_is_the_figure(evaluated):
    found, folder = evaluated
    with (folder / "denoised_test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 5 * COUNT
    assert {row["data"] for row in rows} == {"PHANTOM"}
    mean = np.mean(
        [float(r["ssim"]) for r in rows if (r["method"], r["level"]) == ("median", "50")]
    )
    expected = found["splits"]["test"]["median/gaussian/50/ssim"]["value"]
    assert mean == pytest.approx(expected, abs=1e-5)


def test_the_figures_are_drawn(evaluated):
    names = {path.name for path in (evaluated[1] / "figures").iterdir()}
    kinds = ("denoised", "psnr", "spectra", "auroc")
    assert names == {f"{kind}_gaussian.png" for kind in kinds}


def test_the_table_for_the_terminal_has_a_line_a_method(evaluated):
    lines = denoise_outputs.table(evaluated[0], "smooth").splitlines()
    assert "n=6" in lines[0]
    assert [line.split()[0] for line in lines[2:7]] == [
        *("noisy", "gaussian", "median", "smooth", "identity")
    ]
    assert lines[7].startswith("AUROC of") and lines[8].startswith("  clean ")
    assert lines[-1].startswith("  gaussian/50: noisy ") and "flips" in lines[-1]


def test_a_network_is_compared_with_bm3d_image_by_image():
    rng = np.random.default_rng(1)
    quality = {
        name: {"psnr": 30 + gain + rng.normal(0, 0.1, COUNT)}
        for name, gain in (("bm3d", 0), ("bm3d_fast", 1), ("unet", 0.5))
    }
    measured = denoise_cases.Measured(CASES[0], quality, {}, {}, {}, {}, {})
    figures = denoise_evaluate._figures(config(), [measured], TESTED, ["unet"])
    gain = figures["unet_minus_bm3d/gaussian/15/psnr"]
    assert gain["value"] == pytest.approx(
        np.mean(quality["unet"]["psnr"] - quality["bm3d"]["psnr"])
    )
    assert figures["unet_minus_bm3d/gaussian/15/share_better"]["value"] == 1
    assert figures["unet_minus_bm3d_fast/gaussian/15/share_better"]["value"] == 0
    ratios = denoise_evaluate._speedups({"gaussian": {"unet": 0.01, "bm3d": 0.5}}, ["unet"])
    assert ratios == {"gaussian": {"unet/bm3d": pytest.approx(50)}}


def test_cases_are_those_trained_for_unless_others_are_asked_for():
    names = [case.name for case in denoise_cases.cases_of(config())]
    assert names == ["gaussian/15", "gaussian/25", "gaussian/50"]
    given = config(**{"evaluate.noises": "low_dose", "evaluate.levels": "0.3"})
    (case,) = denoise_cases.cases_of(given)
    assert case.name == "low_dose/0.3" and case.noise.photons == given.noise.photons
    both = config(**{"evaluate.noises": "gaussian,speckle"})
    assert len(denoise_cases.cases_of(both)) == 6


def test_rows_are_taken_evenly_and_all_where_there_are_not_as_many():
    rows = np.arange(100, 200)
    ten = denoise_cases.tested_rows(config(**{"evaluate.images": 10}), "coronahack", rows)
    assert len(ten) == 10 and ten[0] == 100 and ten[-1] == 199
    assert len(denoise_cases.tested_rows(config(), "phantom", rows)) == 24
    assert len(denoise_cases.tested_rows(config(), "coronahack", rows)) == 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluate.methods": "noisy,bm4d"}, "'bm4d' is unknown, did you mean bm3d"),
        ({"evaluate.noises": "gausian"}, "'gausian' is unknown, did you mean gaussian"),
        ({"evaluate.levels": "15,x"}, "config.evaluate.levels='15,x': write numbers"),
        ({"evaluate.levels": "15", "evaluate.noises": "grid,speckle"}, "names several"),
        ({"evaluate.edges": 1}, "config.evaluate.edges must be at least 2"),
        ({"evaluate.images": -1}, "config.evaluate.images must be at least 0"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(changes, message):
    wrong = config(**changes)
    with pytest.raises(ValueError, match=message) as caught:
        denoise_check.check(wrong)
        denoise_cases.check(wrong)
    assert "\n" not in str(caught.value)
