"""Our side of Deep Image Prior, made as `launch.py` makes it."""

from benchmarks import ours  # first: it sets the allocator before JAX is imported

# ruff: noqa: E402, I001
import concurrent.futures

import jax
import jax.numpy as jnp

from covidjax.dip import engine as dip_engine
from covidjax.dip import fit as dip_fit
from covidjax.models.unet import SkipHourglass

CHUNK = 10  # steps


class Fitting:
    """A fit of a random picture of size x size pixels; shares an engine where one is given."""

    def __init__(
        self,
        width: int,
        size: int,
        rule: str = "emv",
        by_python: bool | None = None,
        engine: dip_engine.Engine | None = None,
    ) -> None:
        ours.start()
        recipe = dip_fit.Recipe(rule=rule)
        model = SkipHourglass(width=width)
        self.engine = engine or dip_engine.make_engine(model, recipe, lambda y: y, by_python)
        self.key = jax.random.key(0)
        self.inputs = dip_fit.make_input(self.key, (size, size), recipe)
        picture = jax.random.uniform(self.key, (size, size, 1))
        self.target = dip_fit.Target(picture, jnp.ones_like(picture), picture)
        self.fit = self.engine.begin(self.key, self.inputs)

    def run(self, times: int) -> None:
        """Takes some steps and waits for the last one."""
        self.fit, _ = self.engine.run_chunk(self.fit, self.inputs, self.target, self.key, times)


class Lanes:
    """Fits at once, each in a thread of its own, as `dip.queue` does them."""

    def __init__(self, at_once: int, by_python: bool, size: int, width: int) -> None:
        first = Fitting(width, size, by_python=by_python)
        others = [Fitting(width, size, engine=first.engine) for _ in range(at_once - 1)]
        self.fits = [first, *others]
        self.pool = concurrent.futures.ThreadPoolExecutor(at_once)

    def run(self, chunks: int) -> None:
        """Some chunks of CHUNK steps of every fit."""

        def serve(fitting: Fitting) -> None:
            for _ in range(chunks):
                fitting.run(CHUNK)

        list(self.pool.map(serve, self.fits))
