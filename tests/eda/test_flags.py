"""Flags: each planted oddity is flagged as what it is, and a plain radiograph as nothing."""

import cv2
import numpy as np
import pandas as pd
import pytest

from covidjax.eda import flags, measure
from covidjax.eda.stream import NAMES
from tfds_coronahack.groups import adults

SIZE = 128


def film(seed=0):
    """A frontal chest: bright body, dark lungs, black air."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    body = 170 * np.exp(-((x / 0.42) ** 6))
    lungs = sum(110 * np.exp(-(((x - side) / 0.12) ** 2) - (y / 0.3) ** 4) for side in (-0.2, 0.2))
    return np.clip(body - lungs + 10 + rng.normal(0, 2, x.shape), 0, 255).astype(np.uint8)


def slice_of_a_chest():
    """A bright rim round dark lungs, black outside, as a CT slice looks."""
    gray = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(gray, (64, 64), (54, 40), 0, 0, 360, 150, -1)
    cv2.ellipse(gray, (64, 64), (46, 33), 0, 0, 360, 25, -1)
    cv2.ellipse(gray, (64, 80), (10, 14), 0, 0, 360, 220, -1)
    return gray


@pytest.fixture(scope="module")
def flagged():
    plain = [film(seed) for seed in range(12)]
    framed = film(20)
    framed[:20] = 0
    odd = {
        "inverted": 255 - film(21),
        "cropped": framed,
        "ct_slice": slice_of_a_chest(),
        "stark": np.where(film(22) > 120, 255, 0).astype(np.uint8),
    }
    images = np.stack([*plain, *odd.values()])
    values = [[*measure.measure(image)[0], 0.0, 0.0] for image in images]
    features = pd.DataFrame(values, columns=list(NAMES))
    lateral = next(name for name, facts in adults().items() if facts["view"] == "L")
    names = [f"IM-{row:04d}-0001.jpeg" for row in range(len(images))]
    names[0] = lateral
    features.loc[1, "tint"] = 21
    table = pd.DataFrame({"image": names, "width": SIZE, "height": SIZE})
    table.loc[2, "width"] = 2 * SIZE
    small = np.stack([cv2.resize(i, (64, 64), interpolation=cv2.INTER_AREA) for i in images])
    found = flags.flag(table, features, flags.likeness(small))
    return found, table, list(odd)


def test_planted_oddities_are_flagged_as_what_they_are(flagged):
    found, _, odd = flagged
    for place, name in enumerate(odd):
        assert 12 + place in found[name], name


def test_facts_and_proportions_are_flagged_with_their_reason(flagged):
    found, _, _ = flagged
    assert found["lateral"][0] == "the publication says lateral"
    assert "tint 21 levels" in found["color"][1]
    assert "wide" in found["cropped"][2]


def test_plain_films_are_not_flagged(flagged):
    found, _, _ = flagged
    for rows in found.values():
        assert not set(rows) & set(range(3, 12))


def test_tables_count_by_class(flagged):
    found, table, _ = flagged
    classes = ["Normal"] * 8 + ["COVID-19"] * (len(table) - 8)
    counted = flags.by_class(found, classes).set_index("flag")
    assert counted.loc["color", "Normal (%)"] == 12.5
    assert counted.loc["inverted", "Normal (%)"] == 0
    lines = flags.as_table(found, table, classes)
    assert set(lines["flag"]) <= {flag.title for flag in flags.FLAGS.values()}
