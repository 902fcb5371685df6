"""Manifests: the same folds again from a file, and no file that does not fit."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from covidjax.data import manifest, splits


@pytest.fixture
def table() -> pd.DataFrame:
    # Names that pandas would take for numbers or for missing values.
    image = ["a.png", "b,c.png", "NA", "007", 'd"e.png', "f.png", "g.png", "h.png"]
    group = ["1", "01", "NA", "", "p 5", "p6", "p7", "p8"]
    return pd.DataFrame({"image": image, "group": group})


LABELS = np.array([0, 1, 0, 1, 0, 1, 0, -1], np.int32)


def make_folds() -> list[splits.Fold]:
    train, validation, test = np.array([0, 1, 2]), np.array([3, 4]), np.array([5, 6])
    return [
        splits.Fold("fold0", 0, train, validation, test),
        splits.Fold("fold1", 1, test, train, validation),
    ]


def signed(body: str) -> str:
    return f"{manifest.MARK}{hashlib.sha256(body.encode()).hexdigest()}\n{body}"


def test_folds_come_back_as_they_were_written(tmp_path, table):
    path = tmp_path / "new" / "split.csv"
    manifest.write(path, make_folds(), table)
    for fold, back in zip(make_folds(), manifest.read(path, table, LABELS), strict=True):
        assert (fold.name, fold.number) == (back.name, back.number)
        for part in splits.PARTS:
            np.testing.assert_array_equal(getattr(fold, part), getattr(back, part))
    assert [file.name for file in path.parent.iterdir()] == ["split.csv"]


def test_the_hash_names_the_content_alone(tmp_path, table):
    one = manifest.write(tmp_path / "one.csv", make_folds(), table)
    two = manifest.write(tmp_path / "two.csv", make_folds(), table)
    other = manifest.write(tmp_path / "other.csv", make_folds()[:1], table)
    assert one == two != other
    first, _, body = (tmp_path / "one.csv").read_text().partition("\n")
    assert first.endswith(one) and one == hashlib.sha256(body.encode()).hexdigest()
    assert body.startswith("image,group,fold,part\n")


def test_line_ends_of_another_system_change_nothing(tmp_path, table):
    path = tmp_path / "split.csv"
    manifest.write(path, make_folds(), table)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(manifest.read(path, table, LABELS)) == 2


def test_a_missing_file_is_an_error_that_names_it(tmp_path, table):
    with pytest.raises(manifest.ManifestError, match="data.manifest=.*none.csv: No such file"):
        manifest.read(tmp_path / "none.csv", table, LABELS)


@pytest.mark.parametrize(
    ("old", "new"), [("validation", "train"), ("f.png", "g.png"), (",1,", ",0,"), ("test\n", "")]
)
def test_a_changed_manifest_is_noticed(tmp_path, table, old, new):
    path = tmp_path / "split.csv"
    manifest.write(path, make_folds(), table)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(manifest.ManifestError, match="was changed since it was written"):
        manifest.read(path, table, LABELS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,group,fold,part\na.png,1,0,train\n", "is no split manifest"),
        ("", "is no split manifest"),
        (signed("image,fold,part\na.png,0,train\n"), "has the columns image, fold, part"),
        (signed("image,group,fold,part\nz.png,1,0,train\n"), "not in the data, such as z.png"),
        (signed("image,group,fold,part\na.png,1,0,trial\n"), "the part 'trial'"),
        (signed("image,group,fold,part\na.png,1,x,train\n"), "'x'"),
        (signed("image,group,fold,part\na.png,1,0,train\n"), "no images of validation"),
        (signed("image,group,fold,part\n"), "no images of any part"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_and_named(tmp_path, table, text, message):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(manifest.ManifestError, match=message) as caught:
        manifest.read(path, table, LABELS)
    assert str(path) in str(caught.value)


def test_a_manifest_of_another_task_is_refused(tmp_path, table):
    path = tmp_path / "split.csv"
    fold = make_folds()[0]
    manifest.write(path, [splits.Fold("", 0, fold.train, fold.validation, np.array([5, 7]))], table)
    with pytest.raises(manifest.ManifestError, match="another task"):
        manifest.read(path, table, LABELS)
