"""What the network of a finished classification run makes of the images, for the embedding."""

from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from covidjax.classify import check as classify_check
from covidjax.classify import trained
from covidjax.data import source
from covidjax.data.augment import normalize, to_float
from covidjax.runs.prepared import cached_pixels
from covidjax.training.chunks import in_chunks
from covidjax.transfer import strategies
from tfds_coronahack.paths import expanded

BATCH = 256


def load_run(folder: str) -> trained.Trained:
    """The run of `config.run`. Raises RunError where it cannot be used."""
    return trained.load(expanded(folder))


def run_features(
    run: trained.Trained, prepared: source.Prepared, rows: NDArray[np.int64], *, progress: bool
) -> tuple[NDArray[np.float32], str]:
    """What the classifier of the run's first network sees of some rows, [k, d]; and its name."""
    images = cached_pixels(run.config, prepared, quiet=not progress)
    name, variables = next(iter(run.networks.items()))
    model = classify_check.create_model(run.config)

    @jax.jit
    def seen(params: Any, batch_stats: Any, pixels: jax.Array) -> jax.Array:
        return strategies.features(model, params, batch_stats, normalize(to_float(pixels)))

    def outputs(positions: NDArray[np.int64]) -> jax.Array:
        batch = np.asarray(images[rows[positions]])[..., None]
        return seen(variables["params"], variables["batch_stats"], batch)

    what = f"{run.config.model.name} {name}".strip() + f" (run {run.folder.name}"
    return in_chunks(outputs, len(rows), BATCH).astype(np.float32), what + (
        ", trained on PHANTOM images)" if run.phantom else ")"
    )
