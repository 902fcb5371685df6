"""Our side of Deep Image Prior, made as `launch.py` makes it."""

from covidjax.training import allocator

allocator.keep_blocks()  # before anything below imports JAX

# ruff: noqa: E402, I001
import jax
import jax.numpy as jnp

from covidjax.data.source import cache_root
from covidjax.experiments import dip_fit
from covidjax.kernels import build
from covidjax.models.unet import SkipHourglass
from covidjax.training import steps


class Fitting:
    """A fit of a random picture of size x size pixels."""

    def __init__(self, width: int, rule: str, size: int) -> None:
        steps.keep_compiled(cache_root() / "xla")
        build.load(cache_root() / "kernels")
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
