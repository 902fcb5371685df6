"""Our side of Deep Image Prior, made as `launch.py` makes it."""

from benchmarks import ours  # first: it sets the allocator before JAX is imported

# ruff: noqa: E402, I001
import jax
import jax.numpy as jnp

from covidjax.experiments import dip_fit
from covidjax.models.unet import SkipHourglass


class Fitting:
    """A fit of a random picture of size x size pixels."""

    def __init__(self, width: int, rule: str, size: int) -> None:
        ours.start()
        recipe = dip_fit.Recipe(rule=rule)
        self.engine = dip_fit.make_engine(SkipHourglass(width=width), recipe, lambda y: y)
        self.key = jax.random.key(0)
        self.inputs = dip_fit.make_input(self.key, (size, size), recipe)
        picture = jax.random.uniform(self.key, (size, size, 1))
        self.target = dip_fit.Target(picture, jnp.ones_like(picture), picture)
        self.fit = self.engine.begin(self.key, self.inputs)

    def run(self, times: int) -> None:
        """Takes some steps and waits for the last one."""
        self.fit, _ = self.engine.run_chunk(self.fit, self.inputs, self.target, self.key, times)
