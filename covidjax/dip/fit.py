"""One Deep Image Prior: its state, its step, and the loop that ends by itself.

The network maps a fixed input of uniform noise, perturbed anew at each step, to the picture; the
loss sees it through what the task takes away (`Target`). The recipe is the reference's (Ulyanov,
Vedaldi and Lempitsky 2018): input 0.1 U(0, 1), perturbed by N(0, 1/30), Adam with 0.01, the
exponential average of the outputs, here without its bias to the zero that it begins with.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from covidjax.dip import stop as dip_stop
from covidjax.kernels import hourglass

Picture = Float[Array, "height width 1"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is fitted.

    Attributes:
      steps: at most.
      learning_rate: of Adam.
      perturbation: standard deviation of what is added to the input at each step.
      scale: the input is uniform from 0 to it.
      channels: of the input.
      average: share of the old average of outputs that is kept at each step.
      rule: of config.stop.rule.
      window: outputs for wmv; before so many no rule judges.
      share: of the newest output, for emv.
      tolerance: how much above the smallest variance, as a share, still counts as small.
      patience: steps without a small variance after which the fit ends.
      chunk: steps between two looks of the host.
    """

    steps: int = 3000
    learning_rate: float = 0.01
    perturbation: float = 1 / 30
    scale: float = 0.1
    channels: int = 32
    average: float = 0.99
    rule: str = "emv"
    window: int = 100
    share: float = 0.03
    tolerance: float = 0.15
    patience: int = 300
    chunk: int = 50


class Target(NamedTuple):
    """What is known of one picture.

    Attributes:
      measured: what the loss compares with, in the measurement's own size.
      mask: 1 where it counts, 0 where it does not; of the same shape.
      clean: the picture itself, for figures only; zeros where it is not known.
    """

    measured: Float[Array, "rows columns 1"]
    mask: Float[Array, "rows columns 1"]
    clean: Picture


class Fit(NamedTuple):
    """The state of a fit; all of it goes back when it diverges.

    Attributes:
      step: steps done.
      average: of outputs, with its bias to zero.
      watch: of the stopping rule.
      best: the average (without bias) when the variance was last small; `best_step` steps were
        done then.
      best_variance: the smallest so far.
    """

    step: Array
    params: Any
    opt_state: Any
    average: Picture
    watch: dip_stop.Watch
    best: Picture
    best_step: Array
    best_variance: Array


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What came out.

    Attributes:
      picture: the average when the variance was last small, or with rule="none" the last one.
      stop: the step that `picture` is of.
      steps: how many were done in all.
      ended: "rule", "steps" (the most were done) or "diverged".
      returns: how often it diverged and went back.
      curves: one value a step, of `loss`, `variance`, and the mean squared errors to the clean
        picture `error` (of the average) and `output_error`.
      last: the average at the end.
      params: the network's, at the end.
    """

    picture: NDArray[np.float32]
    stop: int
    steps: int
    ended: str
    returns: int
    curves: dict[str, NDArray[np.float32]]
    last: NDArray[np.float32]
    params: Any


def make_input(key: PRNGKeyArray, sides: tuple[int, int], recipe: Recipe) -> Array:
    """The network's fixed input [1, height, width, channels]."""
    return recipe.scale * jax.random.uniform(key, (1, *sides, recipe.channels))


def begin(model: Any, optimizer: Any, recipe: Recipe, inputs: Array, params: Any) -> Fit:
    """A fit that has done nothing yet."""
    shape = jax.eval_shape(model.apply, {"params": params}, inputs).shape[1:]
    return Fit(
        step=jnp.int32(0),
        params=params,
        opt_state=optimizer.init(params),
        average=jnp.zeros(shape),
        watch=dip_stop.begin(recipe.rule, recipe.window, shape),
        best=jnp.zeros(shape),
        best_step=jnp.int32(0),
        best_variance=jnp.float32(jnp.inf),
    )


def step(
    fit: Fit,
    inputs: Array,
    target: Target,
    key: PRNGKeyArray,
    *,
    model: Any,
    optimizer: Any,
    recipe: Recipe,
    measure: Callable[[Array], Array],
) -> tuple[Fit, dict[str, Array]]:
    """One step.

    Args:
      fit: before it.
      inputs: of `make_input`.
      target: what is known.
      key: of the whole fit; the step's own is folded out of it.
      measure: [1, height, width, 1] -> [1, rows, columns, 1], what the task leaves of a picture.

    Returns:
      The fit after it, and `loss`, `variance`, `error`, `output_error` (see `Fitted`).
    """
    seen = hourglass.perturb(inputs, jax.random.fold_in(key, fit.step), recipe.perturbation)

    def loss_of(params: Any) -> tuple[Array, Array]:
        output = model.apply({"params": params}, seen)
        return jnp.mean((target.mask * (measure(output)[0] - target.measured)) ** 2), output[0]

    (loss, output), gradient = jax.value_and_grad(loss_of, has_aux=True)(fit.params)
    updates, opt_state = optimizer.update(gradient, fit.opt_state, fit.params)
    average = recipe.average * fit.average + (1 - recipe.average) * output
    shown = unbiased(average, fit.step + 1, recipe)
    watch, variance = dip_stop.see(
        fit.watch, recipe.rule, recipe.window, recipe.share, fit.step, output - 0.5
    )
    small = variance <= (1 + recipe.tolerance) * jnp.minimum(variance, fit.best_variance)
    better = small & jnp.isfinite(variance)
    after = Fit(
        step=fit.step + 1,
        params=optax.apply_updates(fit.params, updates),
        opt_state=opt_state,
        average=average,
        watch=watch,
        best=jnp.where(better, shown, fit.best),
        best_step=jnp.where(better, fit.step + 1, fit.best_step),
        best_variance=jnp.fmin(variance, fit.best_variance),
    )
    figures = {
        "loss": loss,
        "variance": variance,
        "error": jnp.mean((shown - target.clean) ** 2),
        "output_error": jnp.mean((output - target.clean) ** 2),
    }
    return after, figures


def unbiased(average: Picture, steps: Array | int, recipe: Recipe) -> Picture:
    """The average after so many steps, without the zeros that it began with."""
    return average / (1 - jnp.float32(recipe.average) ** steps)
