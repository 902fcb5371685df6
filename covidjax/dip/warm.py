"""Weights to begin with: of another run's fit, or learned over many radiographs (Reptile).

Reptile (Nichol, Achiam and Schulman 2018, arXiv:1803.02999): fit some steps to one picture, move
the weights a part of the way there, take the next picture. The pictures are clean: fitted to noisy
ones for as many steps, the weights learn to take up noise. What is learned belongs to one input, so
the input's key is kept beside the weights and a fit that starts from them has the same input.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from covidjax import locking
from covidjax.dip.engine import Engine
from covidjax.dip.fit import Target
from tfds_coronahack.paths import expanded

FILE = "weights.npz"
RUN = "run:"
# Beside the weights in the file.
KEY, IMAGES, MARK = "input key", "images", "mark"


class Weights(NamedTuple):
    """Where fits begin.

    Attributes:
      params: of the network.
      input_key: of `fit.make_input`.
      images: names of the pictures that they were fitted to.
    """

    params: Any
    input_key: jax.Array
    images: tuple[str, ...]


class WarmStartError(ValueError):
    """Weights that cannot be used; the message says why."""


def save(folder: Path, weights: Weights, *, phantom: bool) -> None:
    """Writes `weights.npz`."""
    flat = flax.traverse_util.flatten_dict(jax.device_get(weights.params), sep="/")
    facts: dict[str, Any] = {
        KEY: np.asarray(jax.random.key_data(weights.input_key)),
        IMAGES: np.array(weights.images, dtype=np.str_),
        MARK: np.array("PHANTOM" if phantom else ""),
    }
    with locking.temporary(folder / FILE) as file:
        np.savez(file, **flat, **facts)


def load(init: str, shapes: Any, images: Sequence[str] = ()) -> Weights:
    """The weights of `run:WORKDIR`.

    Args:
      shapes: the network's parameters, or their shapes.
      images: that are going to be fitted: none of them may be among those that the weights have
        seen, for the comparison with a cold start would mean nothing.

    Raises:
      WarmStartError: nothing there, another network's, or weights that have seen an image.
    """
    if not init.startswith(RUN):
        raise WarmStartError(f"config.init={init!r}: write run:WORKDIR")
    path = expanded(init.removeprefix(RUN)) / FILE
    try:
        with np.load(path, allow_pickle=False) as kept:
            found = {name: kept[name] for name in kept.files}
        key = jax.random.wrap_key_data(jnp.asarray(found.pop(KEY)))
        seen = tuple(map(str, found.pop(IMAGES)))
        found.pop(MARK)
    except (OSError, ValueError, KeyError) as error:
        raise WarmStartError(
            f"config.init={init}: {path} cannot be read ({error}); a run writes it with "
            "--config.save_weights or --config.reptile.rounds"
        ) from error
    expected = flax.traverse_util.flatten_dict(shapes, sep="/")
    wrong = sorted(
        {k: v.shape for k, v in expected.items()}.items()
        ^ {k: v.shape for k, v in found.items()}.items()
    )
    if wrong:
        raise WarmStartError(f"config.init={init} holds another network, see {wrong[0][0]}")
    if shared := sorted(set(images) & set(seen)):
        raise WarmStartError(
            f"config.init={init} was fitted to {shared[0]}, one of the images of this run; choose "
            "others with --config.split or --config.data_seed"
        )
    params = flax.traverse_util.unflatten_dict(
        {name: jnp.asarray(value) for name, value in found.items()}, sep="/"
    )
    return Weights(params, key, seen)


def reptile(
    engine: Engine,
    inputs: jax.Array,
    targets: Sequence[Callable[[], Target]],
    key: jax.Array,
    *,
    rounds: int,
    steps: int,
    rate: float,
    on_round: Callable[[int, float], None] = lambda *_: None,
) -> Any:
    """Parameters from which few steps lead to a radiograph.

    Args:
      engine: whose steps are taken, each time with a fresh optimizer.
      inputs: the one input of all fits.
      targets: of the pictures, made when it is their turn.
      key: of the first weights, of the order and of the perturbations.
      rounds: pictures fitted, one after the other.
      steps: of each.
      rate: part of the way from the old weights to the fitted ones, falling to 0 over the rounds.
      on_round: (rounds done, loss at the fit's end) -> None.
    """
    first, order_key, run_key = jax.random.split(key, 3)
    params = engine.begin(first, inputs).params
    move = jax.jit(lambda old, new, part: jax.tree.map(lambda a, b: a + part * (b - a), old, new))
    for number in range(rounds):
        epoch = jax.random.fold_in(order_key, number // len(targets))
        order = jax.random.permutation(epoch, len(targets))
        target = targets[int(order[number % len(targets)])]()
        fit = engine.begin(first, inputs, params)
        fit, figures = engine.run_chunk(
            fit, inputs, target, jax.random.fold_in(run_key, number), steps
        )
        loss = float(figures["loss"][-1])
        if np.isfinite(figures["loss"]).all():
            params = move(params, fit.params, rate * (1 - number / rounds))
        on_round(number + 1, loss)
    return params
