"""Every example is computed once, whatever the size of a chunk and the number of processes."""

import jax
import numpy as np
import pytest

from covidjax.training import chunks, sharding, steps


@pytest.mark.parametrize("count", [1, 7, 8, 9, 50])
@pytest.mark.parametrize("processes", [1, 2, 8])
def test_every_example_is_computed_once_by_one_process(count: int, processes: int) -> None:
    numbers = np.arange(count) * 3.0
    parts: list[list[np.ndarray]] = [[] for _ in range(processes)]
    for index, part in enumerate(parts):

        def outputs(positions: np.ndarray, part: list[np.ndarray] = part) -> np.ndarray:
            part.append(positions)
            return np.resize(numbers[positions], 8)

        chunks.in_chunks(outputs, count, 8, (index, processes))
    assert {len(part) for part in parts} == {-(-count // 8)}
    assert {len(positions) for part in parts for positions in part} == {8 // processes}
    chunked = [np.concatenate(same) for same in zip(*parts, strict=True)]
    np.testing.assert_array_equal(np.concatenate(chunked)[:count], np.arange(count))


@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_the_outputs_are_in_the_order_of_the_examples(count: int) -> None:
    numbers = np.arange(count) * 3.0
    found = chunks.in_chunks(lambda positions: numbers[positions], count, 4)
    np.testing.assert_array_equal(found, numbers)


def test_rows_of_a_cache_are_predicted_on_all_devices() -> None:
    mesh = sharding.make_mesh()
    size = 2 * mesh.size
    images = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    predict = steps.compile_predict(mesh, lambda p, s, x: p * x[:, 0, 0].astype(float) + s)
    variables = {"params": 2.0, "batch_stats": 1.0}
    rows = np.arange(39, -1, -3)
    found = chunks.predict_rows(predict, variables, images, rows, batch_size=size, mesh=mesh)
    np.testing.assert_array_equal(found[:, 0], 2.0 * rows + 1)
    assert not isinstance(found, jax.Array)


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="no examples"):
        chunks.in_chunks(np.asarray, 0, 4)
    with pytest.raises(ValueError, match="a chunk of 30 cannot be shared by 4 processes"):
        chunks.in_chunks(np.asarray, 50, 30, (0, 4))
