"""A compiled predict function over many images, each once."""

from typing import Any

import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from covidjax.data import batches
from covidjax.training import sharding
from covidjax.training.steps import PredictFn


def predict_rows(
    predict: PredictFn,
    variables: Any,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    batch_size: int,
    mesh: Mesh,
) -> NDArray[Any]:
    """The outputs [len(rows), ...] for `images[rows]`, in that order.

    Args:
      predict: of `steps.compile_predict`.
      variables: `params` and `batch_stats`.
      images: uint8 [n, size, size].
      rows: of the images.
      batch_size: a multiple of the devices; the last batch is padded.
      mesh: the devices; of several processes, or of this one alone.
    """
    index, count = sharding.share(mesh)
    parts = [
        predict(
            variables["params"],
            variables["batch_stats"],
            sharding.to_device({"images": batch["images"]}, mesh)["images"],
        )
        for batch in batches.eval_batches(
            images,
            rows,
            np.zeros(len(rows), np.int32),
            batch_size=batch_size,
            process_index=index,
            process_count=count,
        )
    ]
    return np.concatenate([np.asarray(part) for part in parts])[: len(rows)]
