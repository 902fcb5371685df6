"""What a config of the look at the data must hold, seen before anything is written."""

import ml_collections

from covidjax.data import preprocess
from covidjax.runs import config as fields


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError, one line that names the field, unless the config can run."""
    fields.check(config)
    if 0 < config.size < preprocess.MIN_SIZE:
        raise ValueError(
            f"config.size must be 0 or {preprocess.MIN_SIZE} and more pixels, got {config.size}"
        )
