"""Splits: no patient on two sides, every image in its turn, and errors that say what is wrong."""

import numpy as np
import pandas as pd
import pytest

from covidjax.data import splits

SEEDS = range(12)
CLASSES = ("Normal", "Pneumonia", "COVID-19")


def names(count: int, kind: np.ndarray, number: np.ndarray) -> list[str]:
    forms = ("IM-{:04d}-{}.jpeg", "NORMAL2-IM-{:04d}-{}.jpeg", "person{}_bacteria_{}.jpeg")
    return [forms[kind[i]].format(number[i], i) for i in range(count)]


def random_table(seed: int, count: int = 400) -> tuple[pd.DataFrame, np.ndarray]:
    """Groups of up to a dozen images, of one class each, some of them in TRAIN and TEST both."""
    draw = np.random.default_rng(seed)
    group = np.sort(draw.integers(0, 110, count))
    kind = np.where(group % 3 == 2, 2, draw.integers(0, 2, count))
    labels = (group % 3 == 2).astype(np.int32)
    labels[draw.random(count) < 0.05] = -1
    table = pd.DataFrame(
        {
            "image": names(count, kind, group + 100),
            "group": [f"g{number}" for number in group],
            "kaggle_split": np.where(draw.random(count) < 0.04, "TEST", "TRAIN"),
            "sha256": [f"{i:064x}" for i in range(count)],
        }
    )
    table.loc[np.isin(group, draw.choice(110, 15, replace=False)), "kaggle_split"] = "TEST"
    order = draw.permutation(count)
    return table.iloc[order].reset_index(drop=True), labels[order]


def groups_of(table: pd.DataFrame, rows: np.ndarray) -> set[str]:
    return set(table["group"].iloc[rows])


def assert_apart(fold: splits.Fold, table: pd.DataFrame) -> None:
    parts = [groups_of(table, getattr(fold, part)) for part in splits.PARTS]
    assert sum(map(len, parts)) == len(set.union(*parts))
    for part in splits.PARTS:
        rows = getattr(fold, part)
        assert len(rows) and (np.diff(rows) > 0).all()


def official(table, labels, validation="shifted", fraction=0.15, seed=0) -> splits.Fold:
    (fold,) = splits.official(table, labels, validation=validation, fraction=fraction, seed=seed)
    return fold


def rows_of(fold: splits.Fold) -> np.ndarray:
    return np.concatenate([fold.train, fold.validation, fold.test])


@pytest.mark.parametrize("validation", ["shifted", "random"])
def test_official_keeps_groups_whole_and_uses_every_image_that_it_may(validation):
    left_out = 0
    for seed in SEEDS:
        table, labels = random_table(seed)
        fold = official(table, labels, validation, seed=seed)
        assert_apart(fold, table)
        used = labels >= 0
        test = used & (table["kaggle_split"] == "TEST").to_numpy()
        np.testing.assert_array_equal(fold.test, np.flatnonzero(test))
        shares = used & ~test & table["group"].isin(groups_of(table, fold.test)).to_numpy()
        left_out += shares.sum()
        np.testing.assert_array_equal(np.sort(rows_of(fold)), np.flatnonzero(used & ~shares))
    assert left_out > 0  # else the tables would not try the rule


def series_table(groups: dict[str, str] | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    """100 images of three series each, every image its own group unless `groups` says otherwise."""
    films = np.random.default_rng(0).permutation(100) * 7 + 3  # numbers with gaps, in any order
    image = [f"IM-{n:04d}-0001.jpeg" for n in films]
    image += [f"person{n}_virus_1.jpeg" for n in films]
    image += [f"person{n}_bacteria_1.jpeg" for n in films]
    image += ["adult-a.jpg", "adult-b.png", "IM-9000-0001.jpeg", "person9000_virus_1.jpeg"]
    table = pd.DataFrame({"image": image, "group": image, "kaggle_split": "TRAIN"})
    table.loc[302:, "kaggle_split"] = "TEST"
    table["group"] = [(groups or {}).get(name, name) for name in image]
    labels = np.array([0] * 100 + [1] * 200 + [1, 0, 0, 1], np.int32)
    return table, labels


def test_shifted_validation_is_both_ends_of_every_film_series():
    table, labels = series_table()
    fold = official(table, labels, fraction=0.2)
    held = table["image"].iloc[fold.validation]
    ends = {n * 7 + 3 for n in (*range(10), *range(90, 100))}
    for series in ("IM", "virus", "bacteria"):
        numbers = {film for kind, film in map(splits.film_series, held) if kind == series}
        assert numbers == ends
    assert len(held) == 60
    assert {300, 301} <= set(fold.train)  # adults have no film number


def test_a_group_that_reaches_into_a_series_end_goes_there_whole():
    together = {"IM-0003-0001.jpeg": "p", "IM-0353-0001.jpeg": "p", "adult-a.jpg": "p"}
    table, labels = series_table(together)
    held = set(table["image"].iloc[official(table, labels, fraction=0.2).validation])
    assert set(together) <= held
    assert len(held) == 62


def test_random_validation_is_about_the_fraction_of_each_class_and_follows_the_seed():
    for seed in SEEDS:
        table, labels = random_table(seed, 800)
        fold = official(table, labels, "random", fraction=0.2, seed=seed)
        share = len(fold.validation) / (len(fold.validation) + len(fold.train))
        assert 0.15 < share < 0.25
        rate, held = labels[fold.train].mean(), labels[fold.validation].mean()
        assert abs(rate - held) < 0.06
    again = official(table, labels, "random", fraction=0.2, seed=seed)
    other = official(table, labels, "random", fraction=0.2, seed=seed + 1)
    np.testing.assert_array_equal(fold.validation, again.validation)
    assert not np.array_equal(fold.validation, other.validation)


@pytest.mark.parametrize("kaggle_split", ["", "TRAIN", "TEST"])
def test_kfold_tests_each_image_once_and_keeps_groups_whole(kaggle_split):
    for seed in SEEDS:
        table, labels = random_table(seed)
        if kaggle_split == "TEST":  # it needs enough groups of each class
            table["kaggle_split"] = table["kaggle_split"].map({"TRAIN": "TEST", "TEST": "TRAIN"})
        folds = splits.kfold(
            table, labels, folds=4, fraction=0.2, seed=seed, kaggle_split=kaggle_split
        )
        assert [fold.name for fold in folds] == [f"fold{i}" for i in range(4)]
        assert [fold.number for fold in folds] == list(range(4))
        used = labels >= 0
        if kaggle_split:
            used &= (table["kaggle_split"] == kaggle_split).to_numpy()
        tested = np.concatenate([fold.test for fold in folds])
        np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(used))
        for fold in folds:
            assert_apart(fold, table)
            np.testing.assert_array_equal(np.sort(rows_of(fold)), np.flatnonzero(used))
            share = len(fold.validation) / (len(fold.validation) + len(fold.train))
            assert 0.1 < share < 0.3


def test_kfold_is_stratified_down_to_a_rare_class():
    group = np.repeat(np.arange(300), 2)
    labels = np.where(group < 20, 1, 0).astype(np.int32)  # 40 images of 20 patients among 600
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(600)], "group": group.astype(str)})
    table["kaggle_split"] = "TRAIN"
    for seed in range(3):
        for fold in splits.kfold(table, labels, folds=5, fraction=0.2, seed=seed):
            assert 6 <= labels[fold.test].sum() <= 10  # 8 on the average
            assert 4 <= labels[fold.validation].sum() <= 9  # 6.4


def test_kfold_depends_on_the_seed_alone():
    table, labels = random_table(0)
    one, same, other = (
        splits.kfold(table, labels, folds=3, fraction=0.2, seed=seed) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(rows_of(a), rows_of(b)) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0].test, other[0].test)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("IM-0128-0001.jpeg", ("IM", 128)),
        ("NORMAL2-IM-0439-0001-0002.jpeg", ("NORMAL2-IM", 439)),
        ("person23_bacteria_78.jpeg", ("bacteria", 23)),
        ("person1_virus_6.jpeg", ("virus", 1)),
        ("F051E018-DAD1-4506-AD43-BE4CA29E960B.jpeg", ("", -1)),
        ("nejmoa2001191_f1-PA.jpeg", ("", -1)),
    ],
)
def test_film_series_reads_the_names_of_childrens_films_alone(image, expected):
    assert splits.film_series(image) == expected


# Errors.


@pytest.mark.parametrize("fraction", [0, -0.1, 0.51, 1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused_with_the_number(fraction):
    table, labels = random_table(0)
    with pytest.raises(ValueError, match=rf"validation_fraction .*\(0, 0.5\], got {fraction}"):
        official(table, labels, fraction=fraction)
    with pytest.raises(ValueError, match=f"got {fraction}"):
        splits.kfold(table, labels, folds=3, fraction=fraction, seed=0)


def test_an_unknown_validation_is_refused_and_the_known_ones_are_named():
    table, labels = random_table(0)
    with pytest.raises(ValueError, match="'ends'.*'shifted', 'random'"):
        official(table, labels, "ends")


@pytest.mark.parametrize("folds", [0, 1, 8])
def test_more_folds_than_the_smallest_class_has_patients_are_refused_with_the_counts(folds):
    table, labels = random_table(0)
    few = table["group"].isin(sorted(groups_of(table, np.flatnonzero(labels == 1)))[:7])
    labels = np.where((labels == 1) & ~few, 0, labels).astype(np.int32)
    with pytest.raises(ValueError, match=f"folds={folds} must be from 2 to 7, the patients"):
        splits.kfold(table, labels, folds=folds, fraction=0.2, seed=0)


def test_a_test_part_with_one_class_is_refused():
    table, labels = random_table(0)
    labels = np.where((table["kaggle_split"] == "TEST") & (labels == 1), -1, labels)
    with pytest.raises(ValueError, match="test of the split has .* of 1 class.*split=kfold"):
        official(table, labels.astype(np.int32))


def test_a_task_without_images_is_refused():
    table, _ = random_table(0)
    nothing = np.full(len(table), -1, np.int32)
    with pytest.raises(ValueError, match="train of the split has 0 images"):
        official(table, nothing)
    with pytest.raises(ValueError, match="folds=3 must be from 2 to 0"):
        splits.kfold(table, nothing, folds=3, fraction=0.2, seed=0)


# Leaks.


def leak_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": [f"{letter}.png" for letter in "abcdefgh"],  # g and h are in no part
            "group": list("ABCDEFGH"),
            "sha256": list("stuvwxyz"),
        }
    )


LEAK_FOLD = splits.Fold("fold3", 3, np.array([0, 1]), np.array([2, 3]), np.array([4, 5]))


def test_clean_folds_pass_the_leak_check():
    twins = [["a.png", "b.png"], ["e.png", "f.png", "not-there.png"], ["nothing.png"]]
    splits.check_leaks([LEAK_FOLD], leak_table(), twins)


@pytest.mark.parametrize("column", ["group", "sha256"])
@pytest.mark.parametrize(("one", "other"), [(0, 2), (1, 5), (3, 4)])
def test_a_group_or_equal_bytes_on_two_sides_stop_the_run(column, one, other):
    table = leak_table()
    table.loc[other, column] = table.loc[one, column]
    with pytest.raises(splits.LeakError) as caught:
        splits.check_leaks([LEAK_FOLD], table, [])
    message = str(caught.value)
    assert "fold3" in message and column in message and table["image"][other] in message
    sides = ["train", "train", "validation", "validation", "test", "test"]
    assert f"1 images of {sides[other]} share" in message and f"with {sides[one]}" in message


@pytest.mark.parametrize(
    "pictures",
    [
        [["b.png", "c.png"]],
        [["f.png", "a.png"]],
        [["b.png", "not-there.png", "f.png"]],
        [["a.png", "g.png"], ["g.png", "e.png"]],  # by way of one that is in no part
        [["e.png", "g.png"], ["a.png", "h.png"], ["h.png", "g.png"]],
    ],
)
def test_near_duplicates_on_two_sides_stop_the_run(pictures):
    with pytest.raises(splits.LeakError, match="near-duplicate picture"):
        splits.check_leaks([LEAK_FOLD], leak_table(), pictures)


def test_a_leak_in_any_fold_is_found():
    clean = splits.Fold("fold0", 0, np.array([0]), np.array([2]), np.array([4]))
    table = leak_table()
    table.loc[5, "group"] = "B"
    splits.check_leaks([clean], table, [])
    with pytest.raises(splits.LeakError, match="fold3"):
        splits.check_leaks([clean, LEAK_FOLD], table, [])


# The printed table and the columns.


def test_columns_give_the_folds_back():
    table, labels = random_table(1)
    for folds in (
        splits.kfold(table, labels, folds=3, fraction=0.2, seed=0),
        [official(table, labels)],
    ):
        columns = splits.as_columns(folds, table)
        assert {len(column) for column in columns.values()} == {sum(len(rows_of(f)) for f in folds)}
        other = table.sample(frac=1, random_state=0).reset_index(drop=True)  # rows elsewhere
        for fold, back in zip(folds, splits.from_columns(columns, other), strict=True):
            assert (fold.name, fold.number) == (back.name, back.number)
            for part in splits.PARTS:
                rows, found = getattr(fold, part), getattr(back, part)
                assert (np.diff(found) > 0).all()
                assert set(table["image"][rows]) == set(other["image"][found])


def test_columns_with_strange_images_or_parts_are_refused():
    columns = splits.as_columns([LEAK_FOLD], leak_table())
    with pytest.raises(ValueError, match="2 images of the manifest are not in the data.*e.png"):
        splits.from_columns(columns, leak_table().iloc[:4])
    columns["part"][2] = "tests"
    with pytest.raises(ValueError, match="'tests'.*train, validation, test"):
        splits.from_columns(columns, leak_table())


def test_series_of_two_sources_have_ends_of_their_own():
    names = [f"{source}/IM-{n:04}-0001.jpeg" for source, first in (("a", 0), ("b", 500))
             for n in range(first, first + 20)]  # fmt: skip
    table = pd.DataFrame({"image": names, "group": names})
    held = splits._series_ends(table, 0.2)
    assert [name for name, out in zip(names, held, strict=True) if out] == [
        names[i] for i in (0, 1, 18, 19, 20, 21, 38, 39)
    ]


@pytest.mark.parametrize(("images", "groups", "folds"), [(4, 4, 5), (20, 3, 4), (0, 0, 2)])
def test_too_many_folds_are_refused(images, groups, folds):
    labels, members = np.zeros(images, int), np.arange(images) % max(groups, 1)
    with pytest.raises(ValueError, match=f"{folds} folds are more than"):
        splits.assign_folds(labels, members, folds, 0)


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_groups_stay_whole_and_every_fold_has_its_share_of_each_class(classes):
    random = np.random.default_rng(classes)
    members = random.integers(0, 150, 600)
    labels = random.integers(0, classes, 150)[members]
    found = splits.assign_folds(labels, members, 5, 3)
    assert all(len(set(found[members == group])) == 1 for group in set(members))
    for label in range(classes):
        counts = np.bincount(found[labels == label], minlength=5)
        assert counts.max() <= 1.5 * counts.min() + 3
