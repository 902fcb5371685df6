"""Compiled once for the whole room."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import tiny

from covidjax.training import sharding


@pytest.fixture(scope="session")
def step_fn() -> Callable[..., Any]:
    """The train step on one device, with augmentation and dropout."""
    return tiny.compiled_step(tiny.one_device())


@pytest.fixture(scope="session")
def several_fn() -> Callable[..., Any]:
    """The same for stacked batches."""
    return tiny.compiled_step(tiny.one_device(), several=True)


@pytest.fixture(scope="session")
def made() -> Any:
    """A fresh state on one device; not to be donated."""
    return tiny.fresh(tiny.one_device())


@pytest.fixture(scope="session")
def made_on_eight() -> Any:
    """The same on eight devices."""
    return tiny.fresh(sharding.make_mesh())


@pytest.fixture(scope="session")
def start(made) -> Callable[[], Any]:
    """Gives copies of `made`, which may be donated."""
    return lambda: jax.tree.map(jnp.copy, made)


@pytest.fixture(scope="session")
def straight(tmp_path_factory, start, step_fn):
    """An undisturbed run: its state, progress and folder."""
    folder = tmp_path_factory.mktemp("straight")
    state, progress = tiny.fit(folder, step_fn=step_fn, initial=start())
    return state, progress, folder
