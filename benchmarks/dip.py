"""A step of Deep Image Prior: the reference's network and recipe, ours against PyTorch's."""

from collections.abc import Iterator
from typing import Any

from benchmarks.compare import Result, in_turns, progress, repeated
from benchmarks.settings import Settings
from benchmarks.worker import Side, Worker

SIZE = 256  # pixels a side
OURS, LANES = "benchmarks.dip:ours", "benchmarks.dip:lanes"
Given = tuple[str, dict[str, Any]]  # of a Worker


def dip_32(settings: Settings) -> Iterator[Result]:
    """A step of Deep Image Prior at 256 px, width 32; and what the stopping rule takes of it."""
    yield _against_torch(32, settings)
    progress("dip_32_rule: with and without the stopping rule")
    sides = (OURS, {"width": 32}), (OURS, {"width": 32, "rule": "none"})
    yield _beside("dip_32_rule", *sides, "ours without it", settings)


def dip_128(settings: Settings) -> Iterator[Result]:
    """A step of Deep Image Prior at 256 px, width 128 (the reference's)."""
    yield _against_torch(128, settings)


def dip_loop(settings: Settings) -> Iterator[Result]:
    """How Deep Image Prior steps at 128 px, width 32: one by one or in a scan, two fits at once."""
    progress("dip_loop: steps called from Python against ten of them in one scan")
    sides = (LANES, {"at_once": 1}), (LANES, {"at_once": 1, "by_python": False})
    yield _beside("dip_loop", *sides, "ours in a scan", settings)
    progress("dip_at_once: two fits at once against one after the other")
    sides = (LANES, {"at_once": 2}), (LANES, {"at_once": 1})
    yield _beside("dip_at_once", *sides, "ours, one at a time", settings)


def _against_torch(width: int, settings: Settings) -> Result:
    name = f"dip_{width}"
    progress(f"{name}: {SIZE} px; compiling both sides")
    sides = (OURS, {"width": width}), ("benchmarks.dip:theirs", {"width": width})
    return _beside(name, *sides, "torch {}", settings)


def _beside(name: str, mine: Given, other: Given, against: str, settings: Settings) -> Result:
    """Two workers in turns; `{}` in `against` stands for what the second has to say of itself."""
    with Worker(*mine) as one, Worker(*other) as two:
        against = against.format(two.note)
        progress(f"  against {against}")
        values = in_turns(one.turn, two.turn, settings.pairs, settings.say)
    return Result(name, "steps/s", *values, against=against)


def ours(width: int, rule: str = "emv", size: int = SIZE) -> Side:
    """Our side, for a worker: chunks as `dip.fit.run` takes them, stopping rule included."""
    from benchmarks import ours_dip  # imports JAX

    fitting = ours_dip.Fitting(width, size, rule)
    return Side(repeated(fitting.run, 1))


def lanes(at_once: int, by_python: bool = True, size: int = 128, width: int = 32) -> Side:
    """Fits at once, for a worker."""
    from benchmarks import ours_dip  # imports JAX

    fits = ours_dip.Lanes(at_once, by_python, size, width)
    return Side(repeated(fits.run, at_once * ours_dip.CHUNK))


def theirs(width: int, size: int = SIZE) -> Side:
    """PyTorch's side: the faster memory format, or `torch.compile` in it where that is faster."""
    import torch

    from benchmarks import torch_hourglass, torch_steps

    torch_steps.start(keep=True)
    target = torch.rand(1, 1, size, size)

    def make(memory_format: str, compiled: bool) -> torch_steps.Run:
        layout = torch_steps.FORMATS[memory_format]
        fit = torch_hourglass.Fit(target, width, layout, compiled)

        def run(times: int) -> None:
            for _ in range(times):
                fit.step()

        return run

    run, note = torch_steps.fastest(make)
    return Side(repeated(run, 1), note)
