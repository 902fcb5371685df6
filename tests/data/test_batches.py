"""Batches: every example in its turn, the same for everyone, resumed exactly."""

import itertools

import grain
import numpy as np
import orbax.checkpoint as ocp
import pytest

from covidjax.data import batches

SIDE = 4


def make_images(count: int) -> np.ndarray:
    """uint8 [count, 4, 4]; the image tells its own row in its first two pixels."""
    images = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(count) // 256, np.arange(count) % 256
    return images


def rows_of(batch: dict) -> np.ndarray:
    first = batch["images"][:, 0, :2, 0].astype(int)
    return first[:, 0] * 256 + first[:, 1]


def train(count: int = 50, *, labels: np.ndarray | None = None, **options):
    """Batches over every second row of the images."""
    rows = np.arange(count) * 2
    labels = np.arange(count) % 3 if labels is None else labels
    settings = dict(batch_size=8, seed=0, balanced=False, process_index=0, process_count=1)
    return batches.train_batches(
        make_images(2 * count), rows, labels, np.arange(count) / 10, **settings | options
    )


def take(iterator, count: int) -> list[dict]:
    return list(itertools.islice(iterator, count))


def same(left: list[dict], right: list[dict]) -> bool:
    return len(left) == len(right) and all(
        one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)
        for one, two in zip(left, right, strict=True)
    )


def test_a_training_batch_has_the_promised_shapes_and_belongs_together():
    for batch in take(train(), 10):
        assert batch["images"].shape == (8, SIDE, SIDE, 1) and batch["images"].dtype == np.uint8
        assert batch["labels"].dtype == np.int32 and batch["weights"].dtype == np.float32
        position = rows_of(batch) // 2
        np.testing.assert_array_equal(batch["images"][..., 0], make_images(100)[position * 2])
        np.testing.assert_array_equal(batch["labels"], position % 3)
        np.testing.assert_allclose(batch["weights"], position / 10, rtol=1e-6)


def test_an_epoch_has_no_example_twice_and_the_next_one_has_another_order():
    stream = train()  # 50 examples: 6 batches of 8 an epoch, 2 examples dropped
    epochs = [np.concatenate([rows_of(b) for b in take(stream, 6)]) for _ in range(20)]
    assert all(len(set(epoch)) == 48 for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    assert set(np.concatenate(epochs)) == set(range(0, 100, 2))  # others are dropped each time


def test_the_order_depends_on_the_seed_alone():
    assert same(take(train(seed=3), 20), take(train(seed=3), 20))
    # Neighboring seeds must not share epochs either (seed 3's second is not seed 4's first).
    third, fourth = (np.stack([rows_of(b) for b in take(train(seed=s), 18)]) for s in (3, 4))
    assert not any(np.array_equal(third[i : i + 6], fourth[:6]) for i in (0, 6, 12))


@pytest.mark.parametrize("balanced", [False, True])
def test_processes_share_the_global_batch_without_overlap(balanced):
    whole = take(train(balanced=balanced), 15)
    parts = [take(train(balanced=balanced, process_index=i, process_count=4), 15) for i in range(4)]
    joined = [
        {k: np.concatenate([part[i][k] for part in parts]) for k in whole[0]} for i in range(15)
    ]
    assert same(whole, joined)


def test_balanced_batches_have_every_class_equally_often():
    labels = np.array([0] * 180 + [1] * 7 + [2] * 13)
    counts = [
        np.bincount(b["labels"], minlength=3)
        for b in take(train(200, labels=labels, balanced=True, batch_size=16), 60)
    ]
    assert all(count.max() - count.min() <= 1 for count in counts)
    total = np.sum(counts, axis=0)
    assert total.max() - total.min() <= 1


def test_balanced_batches_use_up_a_class_before_they_repeat_it():
    labels = np.array([0] * 43 + [1] * 7)
    stream = take(train(labels=labels, balanced=True), 100)
    rows = np.concatenate([rows_of(b) for b in stream])
    rare = rows[rows // 2 >= 43]
    uses = np.bincount(rare // 2 - 43)
    assert len(uses) == 7 and uses.max() - uses.min() <= 1
    common = np.bincount(rows[rows // 2 < 43] // 2)
    assert len(common) == 43 and common.max() - common.min() <= 1


def test_balanced_batches_are_mixed_so_that_strided_parts_hold_all_classes():
    labels = np.arange(50) % 2
    stream = take(train(labels=labels, balanced=True), 20)
    every_second = np.concatenate([b["labels"][::2] for b in stream])
    assert 20 < every_second.sum() < 60  # of 80


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("consumed", [0, 1, 4, 6, 7, 13])
def test_state_resumes_exactly_also_over_an_epoch_boundary(balanced, consumed):
    straight = take(train(balanced=balanced), 20)
    first = train(balanced=balanced)
    take(first, consumed)
    second = train(balanced=balanced)
    take(second, 3)  # an iterator that was used already must go to the place too
    second.set_state(first.get_state())
    assert same(take(second, 20 - consumed), straight[consumed:])


@pytest.mark.parametrize("balanced", [False, True])
def test_an_orbax_checkpoint_resumes_beside_the_training_state(tmp_path, balanced):
    straight = take(train(balanced=balanced), 12)
    stream = train(balanced=balanced)
    take(stream, 5)  # an epoch has 6
    state = {"step": np.array(5)}
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        save = ocp.args.Composite(
            state=ocp.args.StandardSave(state), data=grain.checkpoint.CheckpointSave(stream)
        )
        manager.save(5, args=save)
        manager.wait_until_finished()
        between = take(stream, 2)  # going on after the save must not change what was saved
    resumed = train(balanced=balanced)
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        restore = ocp.args.Composite(
            state=ocp.args.StandardRestore(state), data=grain.checkpoint.CheckpointRestore(resumed)
        )
        restored = manager.restore(5, args=restore)
    assert restored["state"]["step"] == 5
    assert same(between, straight[5:7])
    assert same(take(resumed, 7), straight[5:])


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"batch_size": 30, "process_count": 4}, ["30", "4"]),
        ({"batch_size": 64}, ["64", "50"]),
        ({"batch_size": 0}, ["0"]),
        ({"process_index": 2, "process_count": 2}, ["2"]),
        ({"seed": -1}, ["-1"]),
        ({"labels": np.full(50, -1)}, ["50 of 50"]),
        ({"labels": np.zeros(49, int)}, ["50", "49"]),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_the_numbers(options, numbers):
    with pytest.raises(ValueError) as caught:
        train(**options)
    assert all(number in str(caught.value) for number in numbers)


def test_rows_outside_the_cache_and_empty_splits_are_refused():
    options = dict(seed=0, balanced=False, process_index=0, process_count=1)
    for rows, message in (([0, 9], "0 to 9, but there are 5 images"), ([], "no examples")):
        none = np.zeros(len(rows), int)
        with pytest.raises(ValueError, match=message):
            batches.train_batches(
                make_images(5), np.array(rows, int), none, none, batch_size=2, **options
            )
