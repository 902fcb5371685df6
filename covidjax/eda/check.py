"""What a config of the look at the data must hold, seen before anything is written."""

from collections.abc import Mapping, Sequence

import ml_collections

from covidjax.data import preprocess, source
from covidjax.eda import embedding
from covidjax.runs.fields import check_values, flatten
from tfds_coronahack import phantom

VALUES: Mapping[str, Sequence[str]] = {
    "data.source": source.SOURCES,
    "embedding.method": embedding.MAPS,
}
# Lowest and highest, both allowed; None for no limit.
RANGES: Mapping[str, tuple[float, float | None]] = {
    "seed": (0, 2**31 - 1),
    "size": (0, preprocess.MAX_SIZE),
    "auto_size.coronahack": (preprocess.MIN_SIZE, preprocess.MAX_SIZE),
    "auto_size.phantom": (preprocess.MIN_SIZE, preprocess.MAX_SIZE),
    "scaling_images": (60, None),
    "embedding.images": (50, None),
    "phantom.images": (phantom.FEWEST, phantom.MOST),
    "phantom.seed": (0, None),
    "phantom.size": (phantom.SMALLEST, phantom.LARGEST),
}


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError, one line that names the field, unless the config can run."""
    check_values(flatten(config.to_dict()), VALUES, RANGES, ())
    if 0 < config.size < preprocess.MIN_SIZE:
        raise ValueError(
            f"config.size must be 0 or {preprocess.MIN_SIZE} and more pixels, got {config.size}"
        )
