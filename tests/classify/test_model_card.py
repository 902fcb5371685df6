"""The model card: every number out of the results, and the headline struck where it must be."""

import re

import pytest
from simulated import predicted

from covidjax.classify.model_card import model_card, struck, write_model_card
from covidjax.evidence.calibration import calibration_figures
from covidjax.evidence.evidence import evidence
from covidjax.evidence.intervals import metrics_with_intervals
from covidjax.evidence.metrics import confusion_matrix

CONFIG = {
    "config": {
        "task": "pneumonia",
        "split": "kfold",
        "folds": 3,
        "fold": "all",
        "validation": "random",
        "members": 1,
        "data": {"size": 64},
        "model": {"name": "cnn"},
    },
    "data": {"kind": "coronahack", "fingerprint": "ab" * 32, "archive": "archive.zip"},
    "versions": {"python": "3.11.7", "jax": "0.10.2"},
    "git_revision": "abc123",
    "devices": ["cpu: cpu"],
}


def found(classes=2, **more):
    made = predicted(120, classes, folds=3)
    given = (made.labels, made.probabilities)
    figures = metrics_with_intervals(*given, made.groups, made.thresholds)
    matrix = confusion_matrix(*given, None).tolist()
    cut = 0.5 if classes == 2 else None
    after = calibration_figures(*given, made.groups)
    scale = {"before": after, "after": after, "scale": "platt on validation; VERDICT"}
    return {
        "task": "pneumonia",
        "data": "coronahack",
        "classes": ["Normal", "Pneumonia", "Other"][:classes],
        "splits": {"validation": figures, "out_of_fold": figures},
        "threshold": {"rule": "validation", "value": cut, "values": [cut] * 3},
        "confusion_matrix": {"validation": matrix, "out_of_fold": matrix},
        **(evidence(made, made, {}, {fold: [] for fold in range(3)}) | {"calibration": scale}),
        **more,
    }


def audit(value, low, high):
    border = {"auroc": {"value": value, "ci95": [low, high], "n": 120}, "what": "the border"}
    return {"border": border, "verdict": "A sentence about the border."}


def test_the_card_says_what_was_measured():
    results = found(audit=audit(0.55, 0.5, 0.6))
    card = model_card(results, CONFIG)
    auroc = results["splits"]["out_of_fold"]["auroc"]
    shown = f"{auroc['value']:.3f} [{auroc['ci95'][0]:.3f}, {auroc['ci95'][1]:.3f}]"
    assert f"| auroc | {shown} (30) | {shown} (30) |" in card and "~~" not in card
    for words in (
        "**A sentence about the border.**",
        "| the border | 0.550 [0.500, 0.600] |",
        "| out_of_fold | 60 | 60 |",
        "`" + "ab" * 32 + "`",
        "3 folds",
        "Diagnosis, triage, screening",
        "python -m covidjax.predict --run=WORKDIR",
        "jax 0.10.2",
        "abc123",
        "Threshold on the probability of Pneumonia (rule: validation): 0.500.",
        "from the validation images of all folds that it does not test: 0.500, 0.500, 0.500.",
        "by `predict`: platt on validation; VERDICT.",
    ):
        assert words in card
    assert "PHANTOM" not in card and "None" not in card and "nan" not in card


def test_the_card_is_written_whole(tmp_path):
    results = found()
    write_model_card(tmp_path / "model_card.md", results, CONFIG)
    assert (tmp_path / "model_card.md").read_text(encoding="utf-8") == model_card(results, CONFIG)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_score_that_the_border_reaches_is_struck_through_once():
    results = found(audit=audit(0.85, 0.8, 0.99))
    assert struck(results)
    card = model_card(results, CONFIG)
    assert len(re.findall(r"~~0\.\d{3} \[.*?\] \(30\)~~", card)) == 1
    row = next(line for line in card.splitlines() if line.startswith("| auroc "))
    assert row.endswith("~~ |") and row.count("~~") == 2
    assert "Struck through: the image's border alone" in card


@pytest.mark.parametrize("given", [{}, {"audit": audit(0.5, 0.4, 0.6)}])
def test_a_score_without_audit_or_with_a_poor_border_is_not(given):
    assert not struck(found(**given))


def test_a_missing_interval_does_not_strike():
    results = found(audit=audit(0.99, 0.9, 1.0))
    results["audit"]["border"]["auroc"]["ci95"] = None
    assert not struck(results) and "~~" not in model_card(results, CONFIG)


@pytest.mark.parametrize(
    "malformed",
    [None, [], {}, "border", {"border": None}, {"border": {}}, {"border": {"auroc": 0.98}},
     {"border": {"auroc": {"value": 0.5}}}, {"border": {"auroc": {"value": 0.5, "ci95": [0.4]}}},
     {"border": {"auroc": {"value": "0.5", "ci95": [0.4, 0.6]}}}],
)  # fmt: skip
def test_an_audit_that_cannot_be_read_strikes(malformed):
    assert struck(found() | {"audit": malformed})


def test_without_an_audit_the_card_says_so():
    assert "Not measured: nothing says how much" in model_card(found(), CONFIG)


def test_bare_results_and_more_classes_make_a_card():
    full = found(3)
    bare = {
        key: value
        for key, value in full.items()
        if key not in ("calibration", "folds", "across_folds", "grouping", "confusion_matrix")
    }
    for results in (full, bare):
        card = model_card(results, CONFIG)
        assert "## Figures" in card and "## Operating points" not in card
        assert re.search(r"\n\n\n", card) is None


def test_undefined_figures_and_phantoms_are_said_to_be():
    results = found(data="phantom", warning="PHANTOM: synthetic images")
    figures = dict(results["splits"]["out_of_fold"])
    figures["auroc"] = {"value": None, "ci95": None, "n": 120}
    results["splits"] = {"validation": figures, "out_of_fold": figures}
    card = model_card(results, CONFIG)
    assert "**PHANTOM: synthetic images**" in card
    assert "| auroc | undefined | undefined |" in card
    assert "Anything: it was trained on synthetic images" in card and "Lateral" not in card


def test_saliency_and_an_external_test_have_their_sections():
    figure = {"value": 0.311, "ci95": [0.3, 0.32], "n": 50}
    against = {"random": 0.29, "against_random": {"value": 0.02, "ci95": [0.01, 0.03], "n": 50}}
    looks = figure | against
    saliency = {
        "method": "Grad-CAM",
        "share_outside_thorax": looks,
        "share_outside_by_class": {"Normal": looks, "Pneumonia": looks | {"value": 0.4}},
        "share_outside_by_call": {"Normal": looks},
        "even_map": 0.271,
        "randomisation": {"value": None, "ci95": None, "n": 0},
    }
    external = {
        "folder": "elsewhere",
        "images": 1200,
        "labels": {"Normal": 700, "Pneumonia": 500},
        "threshold": 0.4321,
        "left_out": {f"{n}.png": "is known" for n in range(7)},
        "groups": {"Normal": 700, "Pneumonia": 12},
        "prevalence": 0.417,
        "ppv": figure,
        "struck": ["accuracy", "f1", "ppv"],
    }
    results = found(saliency=saliency, external=external)
    rows = {name: {"value": 0.123, "ci95": None, "n": 1200} for name in ("auroc", "accuracy")}
    results["splits"]["external"] = rows
    card = model_card(results, CONFIG)
    for words in (
        "| all | 0.311 [0.300, 0.320] | 0.290 | 0.020 [0.010, 0.030] |",
        "| labeled Pneumonia | 0.400 [0.300, 0.320] | 0.290 |",
        "| called Normal | 0.311 ",
        "random weights: undefined",
        "Share of positives 0.417; ~~PPV there 0.311 [0.300, 0.320]~~.",
        "Groups: 700 Normal, 12 Pneumonia. With fewer than 30",
        "| ~~0.123~~ |",
        "1,200 images of the folder `elsewhere` (700 Normal, 500 Pneumonia)",
        "called from 0.432 on",
        "Left out (7), such as:",
        "| figure | validation | out_of_fold | external |",
        "| 0.123 |",
    ):
        assert words in card, words
    assert "- `4.png`: is known" in card and "5.png" not in card
    results = found(3, external=external | {"threshold": None, "left_out": {}, "struck": []})
    assert "called from" not in model_card(results, CONFIG)
