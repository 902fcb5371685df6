"""Any number of examples through a function of one batch size, each of them once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from covidjax.training import sharding
from covidjax.training.steps import PredictFn


def in_chunks(
    function: Callable[[NDArray[np.int64]], Any],
    count: int,
    size: int,
    share: tuple[int, int] = (0, 1),
) -> NDArray[Any]:
    """The outputs [count, ...] of a function that is called for `size` examples at a time.

    The last chunk is filled up with the last example, so that a compiled function sees one shape;
    what the filling gives is dropped. All chunks are dispatched before the first result is read.

    Args:
      function: positions from 0 to count - 1 -> outputs [size, ...], NumPy or JAX arrays.
      count: of the examples.
      size: of a chunk; a multiple of the processes that share it.
      share: index of this process and number of processes; `function` gets this one's part of the
        positions, and returns the outputs of all.

    Raises:
      ValueError: there are no examples, or the processes cannot share a chunk.
    """
    index, processes = share
    if count < 1:
        raise ValueError("no examples: there is nothing to compute")
    if size < 1 or size % processes:
        raise ValueError(f"a chunk of {size} cannot be shared by {processes} processes")
    own = slice(index * size // processes, (index + 1) * size // processes)
    outputs = [
        function(np.minimum(np.arange(start, start + size), count - 1)[own])
        for start in range(0, count, size)
    ]
    return np.concatenate([np.asarray(output) for output in outputs])[:count]


def predict_rows(
    predict: PredictFn,
    variables: Any,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    batch_size: int,
    mesh: Mesh,
) -> NDArray[Any]:
    """The outputs [len(rows), ...] of a network for `images[rows]`, in that order.

    Args:
      predict: of `steps.compile_predict`.
      variables: `params` and `batch_stats`.
      images: uint8 [n, size, size].
      rows: of the images.
      batch_size: a multiple of the devices.
      mesh: the devices; of several processes, or of this one alone.
    """
    plain = np.asarray(images)  # a memmap's own indexing is slower

    def outputs(positions: NDArray[np.int64]) -> Any:
        batch = {"images": np.take(plain, rows[positions], axis=0)[..., None]}
        placed = sharding.to_device(batch, mesh)["images"]
        return predict(variables["params"], variables["batch_stats"], placed)

    return in_chunks(outputs, len(rows), batch_size, sharding.share(mesh))
