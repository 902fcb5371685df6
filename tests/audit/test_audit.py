"""The audit: it finds the shortcut that was planted, and only speaks where there is one."""

from functools import cache as once
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from covidjax.audit.audit import PROBES, RUN, audit, probe_probabilities, verdict
from covidjax.audit.figures import write_audit_figure
from covidjax.data import cache, source, splits
from covidjax.data.table import TASKS, read_table, task_labels
from covidjax.evidence.intervals import metrics_with_intervals

CLASSES = TASKS["pneumonia"].classes


class Films(NamedTuple):
    images: np.ndarray
    table: pd.DataFrame
    labels: np.ndarray
    folds: list[splits.Fold]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """240 radiographs of the phantom with a shortcut planted, or with none ("")."""
    home = tmp_path_factory.mktemp("cache")

    @once
    def make(shortcut: str) -> Films:
        phantom = {"images": 240, "size": 64, "shortcuts": (shortcut,) if shortcut else ()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COVIDJAX_CACHE", str(home))
            prepared = source.resolve("phantom", "", "", phantom, progress=False)
            table = read_table(prepared.path)
            images = cache.load_cache(
                prepared.path, prepared.fingerprint, 64, "clahe", "squash", progress=False
            )
        labels = task_labels(table, "pneumonia")
        return Films(
            images, table, labels, splits.kfold(table, labels, folds=2, fraction=0.15, seed=0)
        )

    return make


@pytest.fixture(scope="module")
def audited(films):
    """The audit of a good network on such radiographs."""

    @once
    def make(shortcut: str):
        seen = films(shortcut)
        return audit(*seen, good_predictions(seen), classes=CLASSES)

    return make


def good_predictions(films: Films) -> list[np.ndarray]:
    """What a network might give that ranks the radiographs at about 0.98."""
    rng = np.random.default_rng(0)
    found = []
    for fold in films.folds:
        logits = 4 * films.labels[fold.test] - 2 + 1.3 * rng.standard_normal(len(fold.test))
        probability = 1 / (1 + np.exp(-logits))
        found.append(np.stack([1 - probability, probability], axis=1))
    return found


@pytest.mark.parametrize(
    ("shortcut", "probe"),
    [
        ("letter", "corners"),
        ("letter", "border"),
        ("size", "file_facts"),
        ("border", "border"),
        ("border", "lungs_blacked_out"),
        ("brightness", "histogram"),
        ("brightness", "border"),
    ],
)
def test_a_planted_shortcut_is_found_by_its_probe(audited, shortcut, probe):
    assert audited(shortcut)[probe]["auroc"]["ci95"][0] > 0.75
    assert audited("")[probe]["auroc"]["ci95"][1] < 0.75


@pytest.mark.parametrize(
    ("shortcut", "name"),
    [
        ("letter", "A patch of each corner"),
        ("size", "The file's size"),
        ("border", "The border"),
        ("brightness", "The border"),
    ],
)
def test_the_verdict_names_the_planted_shortcut(audited, shortcut, name):
    sentence = audited(shortcut)["verdict"]
    assert sentence.startswith(name)
    assert "cannot be read as diagnosis" in sentence or "needs no lung" in sentence


def test_with_nothing_planted_the_audit_stays_quiet(audited):
    found = audited("")
    assert found["verdict"].startswith("No input without lung comes near this score (0.9")
    for name in ("border", "corners", "lungs_blacked_out", "file_facts"):
        low, high = found[name]["auroc"]["ci95"]
        assert low < 0.55 and high < 0.7


def test_the_runs_own_figure_is_that_of_its_results(films, audited):
    honest, found = films(""), audited("")
    rows = np.concatenate([fold.test for fold in honest.folds])
    probabilities = np.concatenate(good_predictions(honest))
    groups = honest.table["group"].to_numpy()[rows]
    reported = metrics_with_intervals(honest.labels[rows], probabilities, groups, None)
    assert found[RUN]["auroc"] == reported["auroc"]
    assert set(found) == {RUN, "verdict", *PROBES}


@pytest.mark.parametrize("probe", ["file_facts", "thumbnail"])
def test_the_same_seed_gives_the_same_probabilities(films, probe):
    one, other = (probe_probabilities(probe, *films(""), k=2, seed=1) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_probe_never_sees_the_labels_it_is_scored_on(films):
    honest = films("")
    fold = honest.folds[0]
    changed = honest.labels.copy()
    changed[fold.test] = 1 - changed[fold.test]
    changed[fold.validation] = 1 - changed[fold.validation]
    one, other = (
        probe_probabilities("corners", honest.images, honest.table, labels, [fold], 2)[0]
        for labels in (honest.labels, changed)
    )
    np.testing.assert_array_equal(one, other)


def test_more_classes_and_a_class_without_training_images(films):
    honest = films("")
    labels = task_labels(honest.table, "cause")
    fold = honest.folds[0]
    fold = splits.Fold(
        "",
        0,
        *(rows[labels[rows] >= 0] for rows in (fold.train, fold.validation, fold.test)),
    )
    fold = splits.Fold("", 0, fold.train[labels[fold.train] != 3], fold.validation, fold.test)
    scores = probe_probabilities("thumbnail", honest.images, honest.table, labels, [fold], 4)[0]
    assert not scores[:, 3].any()
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    found = audit(
        honest.images,
        honest.table,
        labels,
        [fold],
        [np.eye(4)[labels[fold.test]] * 0.6 + 0.1],
        classes=TASKS["cause"].classes,
    )
    assert found[RUN]["auroc"]["value"] == 1
    assert 0.3 < found["border"]["auroc"]["value"] < 0.75


def figures(run, **probes):
    """An audit's figures: all probes at chance but those given."""
    given = dict.fromkeys(PROBES, (0.5, 0.45, 0.54)) | probes | {RUN: run}
    return {
        name: {"auroc": {"value": value, "ci95": [low, high], "n": 100}}
        for name, (value, low, high) in given.items()
    }


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            figures((0.99, 0.97, 1.0), border=(0.97, 0.95, 0.98)),
            "The border alone reaches 0.970 [0.950, 0.980]: this score (0.990 [0.970, 1.000]) "
            "cannot be read as diagnosis.",
        ),
        # No overlap, but nothing is left that would need a lung.
        (figures((0.998, 0.995, 1.0), border=(0.98, 0.97, 0.99)), "cannot be read as diagnosis"),
        # The strongest does not come near, but another one's wide interval does.
        (
            figures((0.9, 0.88, 0.92), corners=(0.78, 0.7, 0.89), border=(0.8, 0.78, 0.82)),
            "A patch of each corner alone reaches 0.780",
        ),
        (
            figures((0.97, 0.96, 0.98), border=(0.88, 0.86, 0.9)),
            "The border alone reaches 0.880 [0.860, 0.900]: 81 % of what this score (0.970 "
            "[0.960, 0.980]) has above chance needs no lung.",
        ),
        (figures((0.53, 0.48, 0.58)), "not clearly above chance"),
        (figures((0.7, 0.53, 0.85)), "too few images"),
        (
            figures((0.9, 0.88, 0.92), thumbnail=(0.87, 0.85, 0.89)),
            "An 8 x 8 thumbnail alone reaches 0.870 [0.850, 0.890]: this score (0.900 [0.880, "
            "0.920]) needs no detail of the lung.",
        ),
        (
            figures((0.9, 0.88, 0.92), file_facts=(0.56, 0.51, 0.61)),
            "No input without lung comes near this score (0.900 [0.880, 0.920]): the best, the "
            "file's size, shape, mode and compression, reaches 0.560 [0.510, 0.610].",
        ),
    ],
)
def test_the_rules_of_the_verdict(found, words):
    assert words in verdict(found)


def test_a_verdict_without_intervals_says_so():
    found = figures((0.9, 0.8, 1.0))
    found[RUN]["auroc"]["ci95"] = None
    assert "too few patients" in verdict(found)


def test_the_figure_leaves_out_what_has_no_value(tmp_path):
    found = figures((0.9, 0.88, 0.92))
    found["border"]["auroc"]["ci95"] = None
    found["source_within_Normal"] = {"auroc": {"value": None, "ci95": None, "n": 3}, "reason": ""}
    for phantom in (True, False):
        path: Path = tmp_path / f"{phantom}.png"
        write_audit_figure(path, found | {"verdict": ""}, phantom=phantom, title="Audit")
        assert path.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "True.png").read_bytes() != (tmp_path / "False.png").read_bytes()
