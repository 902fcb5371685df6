"""What every experiment gets ready as its config says: the dataset, its pixels, the CPU kernels."""

import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.data import cache, source
from covidjax.kernels import build


def prepared_data(
    config: ml_collections.ConfigDict, *, quiet: bool | None = None
) -> source.Prepared:
    """The dataset of `config.data` and `config.phantom`, built where it is not there yet.

    Args:
      config: of any experiment with data.
      quiet: no progress bars; default `config.quiet`.

    Raises:
      ValueError and its kind: no data, or wrong ones; see `source.resolve`.
    """
    return source.resolve(
        config.data.source,
        config.data.data_dir,
        config.data.archive,
        source.phantom_parameters(config.phantom),
        progress=not (config.quiet if quiet is None else quiet),
    )


def cached_pixels(
    config: ml_collections.ConfigDict, prepared: source.Prepared, *, quiet: bool | None = None
) -> NDArray[np.uint8]:
    """uint8 [m, size, size] of all examples, as `config.data` wants them; see `cache.load_cache`.

    `config` and `quiet` as in `prepared_data`.
    """
    return cache.load_cache(
        prepared.path,
        prepared.fingerprint,
        config.data.size,
        config.data.equalize,
        config.data.resize,
        progress=not (config.quiet if quiet is None else quiet),
    )


def load_kernels(config: ml_collections.ConfigDict) -> None:
    """From now on networks use the compiled CPU kernels, unless `config.model.kernels` is plain."""
    if config.model.get("kernels") != "plain":
        build.load(source.cache_root() / "kernels")
