"""When to stop a Deep Image Prior without the clean image: the running variance of its outputs.

Wang et al., "Early Stopping for Deep Image Prior" (TMLR 2023, arXiv:2112.06074): while the network
takes up the image its outputs settle, and when it begins to take up the noise they move again. The
smallest variance marks the place; the fit ends when none has come near it for `patience` steps.

What is returned here is the average of the outputs, which is behind them by some 100 steps and
still gains while the variance lies at its bottom. So the last step counts whose variance is within
a tolerance of the smallest; the paper takes the smallest itself (tolerance 0). The defaults are
those that lost least against the best step on 26 radiographs of TRAIN (128 px; 20 of them with
sigma 25, six with 15 and 50).

- WMV, over the last W outputs: 1 / W sum ||x_t - mean(x)||^2 (their equation 2), here a mean over
  pixels too.
- EMV, exponential, with the share a of the newest output (their algorithm 2):
  v <- (1 - a) (v + a ||x - m||^2), m <- (1 - a) m + a x.

Both are array operations on the output, a few passes over one image a step.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

Watch = dict[str, Any]  # what a rule keeps


def begin(rule: str, window: int, shape: tuple[int, ...]) -> Watch:
    """The empty memory of a rule; `window` outputs are kept for wmv."""
    if rule == "wmv":
        return {
            "outputs": jnp.zeros((window, *shape)),
            "oldest": jnp.zeros(shape),
            "sum": jnp.zeros(shape),
            "squares": jnp.zeros((window,)),
        }
    if rule == "emv":
        return {"mean": jnp.zeros(shape), "variance": jnp.zeros(())}
    return {}


def see(
    watch: Watch, rule: str, window: int, share: float, step: Array, output: Float[Array, "..."]
) -> tuple[Watch, Float[Array, ""]]:
    """The memory after one more output, and the variance; infinite until `window` have been seen.

    Args:
      step: how many outputs were seen before this one.
      share: of the newest output, for emv.
      output: of one image, moved near 0 (as by the noisy image) so that squares keep their digits.
    """
    unknown = jnp.float32(jnp.inf)
    if rule == "wmv":
        place = step % window
        total = watch["sum"] + output - watch["oldest"]
        squares = watch["squares"].at[place].set(jnp.mean(output**2))
        # The one that leaves next is read after the write: before it, XLA would copy them all.
        outputs = watch["outputs"].at[place].set(output)
        oldest = outputs[(step + 1) % window]
        variance = jnp.mean(squares) - jnp.mean((total / window) ** 2)
        known = jnp.where(step + 1 >= window, variance, unknown)
        found = {"outputs": outputs, "oldest": oldest, "sum": total, "squares": squares}
        return found, known
    if rule == "emv":
        mean = jnp.where(step == 0, output, watch["mean"])
        moved = jnp.mean((output - mean) ** 2)
        variance = (1 - share) * (watch["variance"] + share * moved)
        found = {"mean": (1 - share) * mean + share * output, "variance": variance}
        return found, jnp.where(step + 1 >= window, variance, unknown)
    return watch, unknown
