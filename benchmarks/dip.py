"""A step of Deep Image Prior: the reference's network and recipe, ours against PyTorch's."""

from collections.abc import Iterator

from benchmarks.compare import Result, in_turns, progress, repeated
from benchmarks.settings import Settings
from benchmarks.worker import Side, Worker

SIZE = 256  # pixels a side
SIGMA = 25 / 255  # of the noise


def dip_32(settings: Settings) -> Iterator[Result]:
    """A step of Deep Image Prior at 256 px, width 32; and what the stopping rule takes of it."""
    yield from _measure(32, settings)
    progress("dip_32_rule: with and without the stopping rule")
    with (
        Worker("benchmarks.dip:ours", {"width": 32}) as ruled,
        Worker("benchmarks.dip:ours", {"width": 32, "rule": "none"}) as free,
    ):
        values = in_turns(ruled.turn, free.turn, settings.pairs, settings.say)
    yield Result("dip_32_rule", "steps/s", *values, against="ours without it")


def dip_128(settings: Settings) -> Iterator[Result]:
    """A step of Deep Image Prior at 256 px, width 128 (the reference's)."""
    yield from _measure(128, settings)


def dip_loop(settings: Settings) -> Iterator[Result]:
    """How Deep Image Prior steps at 128 px, width 32: one by one or in a scan, two fits at once."""
    progress("dip_loop: steps called from Python against ten of them in one scan")
    with (
        Worker("benchmarks.dip:lanes", {"at_once": 1}) as one,
        Worker("benchmarks.dip:lanes", {"at_once": 1, "by_python": False}) as scan,
    ):
        values = in_turns(one.turn, scan.turn, settings.pairs, settings.say)
    yield Result("dip_loop", "steps/s", *values, against="ours in a scan")
    progress("dip_at_once: two fits at once against one after the other")
    with (
        Worker("benchmarks.dip:lanes", {"at_once": 2}) as two,
        Worker("benchmarks.dip:lanes", {"at_once": 1}) as one,
    ):
        values = in_turns(two.turn, one.turn, settings.pairs, settings.say)
    yield Result("dip_at_once", "steps/s", *values, against="ours, one at a time")


def _measure(width: int, settings: Settings) -> Iterator[Result]:
    name = f"dip_{width}"
    progress(f"{name}: {SIZE} px; compiling both sides")
    with (
        Worker("benchmarks.dip:ours", {"width": width}) as ours,
        Worker("benchmarks.dip:theirs", {"width": width}) as theirs,
    ):
        progress(f"  against torch {theirs.note}")
        values = in_turns(ours.turn, theirs.turn, settings.pairs, settings.say)
    yield Result(name, "steps/s", *values, against=f"torch {theirs.note}")


def ours(width: int, rule: str = "emv", size: int = SIZE) -> Side:
    """Our side, for a worker: chunks as `dip_fit.run` takes them, stopping rule included."""
    from benchmarks import ours_dip  # imports JAX

    fitting = ours_dip.Fitting(width, rule, size)
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
