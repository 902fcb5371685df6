"""What noise costs a classifier and what denoising gives back."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from covidjax.denoise.measures.diagnosis_kept import diagnosis_kept
from covidjax.evidence.metrics import EvaluationError

N = 300
RNG = np.random.default_rng(0)
LABELS = np.arange(N) % 2
GROUPS = np.array([f"p{i // 2}" for i in range(N)])


def scores(skill: float, seed: int = 1) -> np.ndarray:
    z = skill * (LABELS - 0.5) + np.random.default_rng(seed).normal(size=N)
    return 1 / (1 + np.exp(-z))


CLEAN, NOISY, MIDDLE = scores(3.0), scores(1.0), scores(2.0)


def kept(cases, clean_denoised=None, **more):
    return diagnosis_kept(
        *(LABELS, GROUPS, 0.5, CLEAN, cases, clean_denoised or {}), samples=200, **more
    )


def test_auroc_loss_and_regained_share_are_those_of_scikit_learn():
    found = kept({"gaussian/25": {"noisy": NOISY, "unet": MIDDLE}})
    areas = [roc_auc_score(LABELS, p) for p in (CLEAN, NOISY, MIDDLE)]
    assert found["clean"]["auroc"]["value"] == pytest.approx(areas[0])
    case = found["cases"]["gaussian/25"]
    assert case["noisy"]["auroc"]["value"] == pytest.approx(areas[1])
    assert case["noisy"]["lost"]["value"] == pytest.approx(areas[0] - areas[1])
    share = case["unet"]["regained"]
    assert share["value"] == pytest.approx((areas[2] - areas[1]) / (areas[0] - areas[1]))
    assert share["ci95"][0] < share["value"] < share["ci95"][1] and share["n"] == N
    assert "regained" not in case["noisy"]


def test_perfect_denoising_regains_all_and_flips_nothing():
    found = kept({"gaussian/25": {"noisy": NOISY, "perfect": CLEAN}}, {"perfect": CLEAN})
    perfect = found["cases"]["gaussian/25"]["perfect"]
    assert perfect["regained"]["value"] == 1 and perfect["regained"]["ci95"] == [1, 1]
    assert perfect["flips"]["value"] == 0
    assert found["clean_denoised"]["perfect"]["lost"]["ci95"] == [0, 0]
    noisy = found["cases"]["gaussian/25"]["noisy"]["flips"]
    assert noisy["value"] == pytest.approx(np.mean((NOISY >= 0.5) != (CLEAN >= 0.5)))
    assert noisy["ci95"][0] < noisy["value"] < noisy["ci95"][1]


def test_a_denoiser_that_harms_regains_less_than_nothing():
    found = kept({"gaussian/25": {"noisy": NOISY, "worse": scores(0.2)}})
    assert found["cases"]["gaussian/25"]["worse"]["regained"]["value"] < 0


def test_where_the_noise_cost_nothing_for_sure_there_is_no_share_of_it():
    nearly = CLEAN + 0.01 * RNG.normal(size=N)
    found = kept({"gaussian/5": {"noisy": nearly, "unet": MIDDLE}})
    share = found["cases"]["gaussian/5"]["unet"]["regained"]
    assert np.isnan(share["value"]) and share["ci95"] is None


def test_a_class_of_one_patient_has_no_intervals():
    groups = np.where(LABELS == 1, "same", GROUPS)
    found = diagnosis_kept(LABELS, groups, 0.5, CLEAN, {}, {}, samples=20)
    assert found["clean"]["auroc"]["ci95"] is None and found["clean"]["auroc"]["value"] > 0.9


def test_one_class_or_missing_probabilities_are_refused():
    with pytest.raises(EvaluationError, match="both classes"):
        diagnosis_kept(np.zeros(3), GROUPS[:3], 0.5, CLEAN[:3], {}, {})
    with pytest.raises(EvaluationError, match="unet"):
        kept({"gaussian/25": {"unet": MIDDLE[:5]}})
