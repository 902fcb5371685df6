"""The loop of one Deep Image Prior, which ends by itself, and what is compiled for it.

Steps go in chunks of a fixed number, after which the host looks: whether the fit has ended, and
whether it diverged, in which case it goes back to the chunk before, optimizer's moments and
averages too, with other perturbations. On a CPU a chunk is a Python loop (XLA's convolutions are
slow in a scan there), elsewhere one scan. A fit's random numbers come from its own key alone.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from covidjax.dip.fit import Fit, Fitted, Recipe, Target, begin, step, unbiased

DIVERGED = 10**0.5  # times the chunk before's loss: the reference's 5 dB
TAIL = 5  # steps whose mean loss stands for a chunk
MOST_RETURNS = 5  # to one place, before the fit is given up


@dataclasses.dataclass(frozen=True)
class Engine:
    """The compiled parts that all fits of one size share."""

    optimizer: Any
    recipe: Recipe
    run_chunk: Callable[..., tuple[Fit, dict[str, NDArray[np.float32]]]]
    begin: Callable[..., Fit]
    copy: Callable[[Fit], Fit]


def make_engine(
    model: Any,
    recipe: Recipe,
    measure: Callable[[Array], Array],
    by_python: bool | None = None,
) -> Engine:
    """Compiles on first use.

    Args:
      model: to fit.
      recipe: how.
      measure: see `step`.
      by_python: whether a chunk is a Python loop over steps, or one scan; None: the one that is
        fast on the devices at hand (`python -m benchmarks --only=dip_loop`).
    """
    # One vector of all weights: a hundred small arrays would take as many operations each.
    optimizer = optax.flatten(optax.adam(recipe.learning_rate))
    parts: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "recipe": recipe,
        "measure": measure,
    }
    one = partial(step, **parts)
    if by_python is None:
        by_python = jax.default_backend() == "cpu"
    run_chunk = _python_chunk(one) if by_python else _scanned_chunk(one)

    def fresh(key: PRNGKeyArray, inputs: Array, params: Any = None) -> Fit:
        if params is None:
            params = model.init(key, inputs)["params"]
        return begin(model, optimizer, recipe, inputs, params)

    copy = jax.jit(partial(jax.tree.map, jnp.copy))
    return Engine(optimizer, recipe, run_chunk, jax.jit(fresh), copy)


def _python_chunk(one: Callable[..., Any]) -> Callable[..., Any]:
    compiled = jax.jit(one, donate_argnums=0)

    def run(fit: Fit, inputs: Array, target: Target, key: PRNGKeyArray, count: int) -> Any:
        rows = []
        for _ in range(count):
            fit, figures = compiled(fit, inputs, target, key)
            rows.append(figures)
            jax.block_until_ready(fit.step)  # a queue gains nothing, and takes memory for each step
        read = jax.device_get(rows)
        return fit, {name: np.array([row[name] for row in read]) for name in read[0]}

    return run


def _scanned_chunk(one: Callable[..., Any]) -> Callable[..., Any]:
    @partial(jax.jit, donate_argnums=0, static_argnums=4)
    def several(fit: Fit, inputs: Array, target: Target, key: PRNGKeyArray, count: int) -> Any:
        return jax.lax.scan(lambda now, _: one(now, inputs, target, key), fit, length=count)

    def run(fit: Fit, inputs: Array, target: Target, key: PRNGKeyArray, count: int) -> Any:
        fit, figures = several(fit, inputs, target, key, count)
        return fit, jax.device_get(figures)

    return run


def run(
    engine: Engine,
    fit: Fit,
    inputs: Array,
    target: Target,
    key: PRNGKeyArray,
    on_chunk: Callable[[int, NDArray[np.float32], dict[str, float]], None] = lambda *_: None,
) -> Fitted:
    """Fits until the rule ends it, or the most steps are done.

    Args:
      engine: compiled.
      fit: of `engine.begin`.
      on_chunk: (steps done, average so far [height, width], figures of the last step) -> None,
        after each chunk that is kept.
    """
    recipe = engine.recipe
    kept = engine.copy(fit)
    curves: list[dict[str, NDArray[np.float32]]] = []
    done, returns, here = 0, 0, 0
    level = math.inf
    ended = "steps"
    while done < recipe.steps:
        count = min(recipe.chunk, recipe.steps - done)
        # Other perturbations after each return, else it would diverge again.
        fit, figures = engine.run_chunk(
            fit, inputs, target, jax.random.fold_in(key, returns), count
        )
        reached = float(np.mean(figures["loss"][-TAIL:]))
        if not np.isfinite(figures["loss"]).all() or reached > DIVERGED * level:
            returns, here = returns + 1, here + 1
            fit = engine.copy(kept)
            if here > MOST_RETURNS:
                ended = "diverged"
                break
            continue
        kept, level, here, done = engine.copy(fit), reached, 0, done + count
        curves.append(figures)
        shown = np.asarray(unbiased(fit.average, done, recipe))[..., 0]
        on_chunk(done, shown, {name: float(values[-1]) for name, values in figures.items()})
        best_step = int(fit.best_step)
        if recipe.rule != "none" and best_step and done - best_step >= recipe.patience:
            ended = "rule"
            break
    last = np.asarray(unbiased(fit.average, max(done, 1), recipe))[..., 0]
    stop = int(fit.best_step) if recipe.rule != "none" else 0
    picture = np.asarray(fit.best)[..., 0] if stop else last
    names = curves[0] if curves else {}
    joined = {name: np.concatenate([part[name] for part in curves]) for name in names}
    return Fitted(picture, stop or done, done, ended, returns, joined, last, fit.params)
