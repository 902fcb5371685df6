"""The prepared dataset that a config asks for."""

import ml_collections

from covidjax.data import source


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
