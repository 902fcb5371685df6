"""Our side of Deep Image Prior, made as `launch.py` makes it."""

from benchmarks import ours  # first: it sets the allocator before JAX is imported

# ruff: noqa: E402, I001
import concurrent.futures

import jax
import jax.numpy as jnp

from covidjax.experiments import dip_fit
from covidjax.models.unet import SkipHourglass

CHUNK = 10  # steps


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


class Lanes:
    """Fits of random pictures at once, each in a thread of its own, as `dip_queue` does them."""

    def __init__(self, at_once: int, by_python: bool, size: int, width: int) -> None:
        ours.start()
        recipe = dip_fit.Recipe()
        model = SkipHourglass(width=width)
        self.engine = dip_fit.make_engine(model, recipe, lambda y: y, by_python)
        self.keys = jax.random.split(jax.random.key(0), at_once)
        self.inputs = dip_fit.make_input(self.keys[0], (size, size), recipe)
        picture = jax.random.uniform(self.keys[0], (size, size, 1))
        self.target = dip_fit.Target(picture, jnp.ones_like(picture), picture)
        self.fits = [self.engine.begin(key, self.inputs) for key in self.keys]
        self.pool = concurrent.futures.ThreadPoolExecutor(at_once)

    def run(self, chunks: int) -> None:
        """Some chunks of CHUNK steps of every fit."""

        def serve(lane: int) -> None:
            given = self.inputs, self.target, self.keys[lane], CHUNK
            for _ in range(chunks):
                self.fits[lane], _ = self.engine.run_chunk(self.fits[lane], *given)

        list(self.pool.map(serve, range(len(self.fits))))
