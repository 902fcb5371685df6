"""The pass over all images: the same as one by one, exact sums, memory that does not grow."""

import itertools
import resource

import numpy as np
import pytest
from PIL import Image

from covidjax.eda import measure, stream
from covidjax.eda.classes import CLASSES

SIZE = 32


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (70, SIZE, SIZE), np.uint8)


def batches(images, encoded, size):
    examples = [{"image": encoded(Image.fromarray(image))} for image in images]
    return [examples[start : start + size] for start in range(0, len(examples), size)]


def test_a_pass_gives_what_each_image_gives_alone(images, encoded):
    codes = np.arange(len(images)) % 3
    found = stream.measure_all(batches(images, encoded, 33), codes, SIZE)
    for row, image in enumerate(images):
        values, counts = measure.measure(image)
        alone = np.float32([*values, 0, 0])
        np.testing.assert_array_equal(found.features.to_numpy()[row], alone)
        assert found.histograms[row].sum() == pytest.approx(1)
        assert found.histograms[row, 0] == pytest.approx(counts[:4].sum() / image.size)
    again = stream.measure_all(batches(images, encoded, 7), codes, SIZE)
    np.testing.assert_array_equal(found.sums.second, again.sums.second)


def test_mean_images_are_those_of_numpy(images, encoded):
    codes = np.arange(len(images)) % 3
    sums = stream.measure_all(batches(images, encoded, 64), codes, SIZE).sums
    assert sums.n.tolist() == [24, 23, 23] + [0] * (len(CLASSES) - 3)
    np.testing.assert_allclose(sums.mean(1), images[codes == 1].mean(axis=0))
    np.testing.assert_allclose(sums.deviation(1), images[codes == 1].std(axis=0), atol=1e-4)
    np.testing.assert_array_equal(sums.dark[2], (images[codes == 2] <= measure.DARK).sum(axis=0))


@pytest.mark.parametrize("rows", [69, 71])
def test_another_number_of_images_than_the_tables_is_an_error(images, encoded, rows):
    with pytest.raises(ValueError, match=f"the table has {rows}"):
        stream.measure_all(batches(images, encoded, 64), np.zeros(rows, np.int64), SIZE)


@pytest.mark.slow
def test_a_hundred_thousand_images_need_no_more_memory_than_their_features(encoded):
    """`pytest -m slow tests/eda/test_stream.py`."""
    image = np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8)
    batch = [{"image": encoded(Image.fromarray(image))}] * stream.READ
    few, many = 10 * stream.READ, 100_000 // stream.READ * stream.READ
    peaks = []
    for count in (few, many):
        endless = itertools.repeat(batch, count // stream.READ)
        stream.measure_all(endless, np.zeros(count, np.int64), 64)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    print(f"peak memory {peaks[0] / 1e6:.0f} MB for {few:,}, {peaks[1] / 1e6:.0f} MB for {many:,}")
    kept = many * (len(stream.NAMES) + measure.BINS) * 4
    # The images themselves would be 1 GB.
    assert peaks[1] - peaks[0] < kept + 50e6, peaks
