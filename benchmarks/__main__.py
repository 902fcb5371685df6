"""Measures covidjax beside PyTorch (and tf.data where TensorFlow is installed) on this machine.

    python -m benchmarks                              all, about 16 minutes on two cores; the
                                                      first time some more, for torch.compile
    python -m benchmarks --only=resnet18_train        one, in all its variants
    python -m benchmarks --only=build,scaling --json=figures.json

Each side runs in a process of its own, on the CPU alone, with as many threads as there are cores;
the two take turns. `ratio` is our speed divided by the rival's (its time or memory divided by ours
where less is better), so above 1 we are the faster ones: the median over the pairs of turns, beside
the smallest and the largest pair. Leave the machine alone meanwhile: a browser is enough to change
a figure by half.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import (
    build,
    denoising,
    dip,
    epoch,
    first_step,
    inputs,
    machine,
    memory,
    networks,
    report,
    scaling,
)
from benchmarks.compare import Result, progress
from benchmarks.settings import Settings, scratch_folder, torch_installed
from benchmarks.worker import WorkerError
from covidjax.cli.commands import path_argument
from covidjax.runs.flat import nearest

BENCHMARKS: dict[str, Callable[[Settings], Iterator[Result]]] = {
    "resnet18_train": networks.resnet18_train,
    "resnet50_train": networks.resnet50_train,
    "cnn_train": networks.cnn_train,
    "resnet18_inference": networks.resnet18_inference,
    "cnn_inference": networks.cnn_inference,
    "unet_train": denoising.unet_train,
    "dncnn_train": denoising.dncnn_train,
    "denoise_image": denoising.denoise_image,
    "dip_32": dip.dip_32,
    "dip_128": dip.dip_128,
    "dip_loop": dip.dip_loop,
    "input_full_size": inputs.input_full_size,
    "input_cached": inputs.input_cached,
    "epoch": epoch.epoch,
    "build": build.build,
    "first_step": first_step.first_step,
    "memory": memory.memory,
    "scaling": scaling.scaling,
}
WITHOUT_TORCH = ("denoise_image", "epoch", "build", "first_step", "scaling")
INSTALL = 'pip install -e ".[bench]"'


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
      The exit status: 0; 1 where a benchmark failed (the others are measured all the same); 2 for a
      mistake in the command, or where all that it names needs PyTorch and that is not installed.
    """
    options = _parser().parse_args(arguments)
    # As Ctrl-C does: the sides end, the scratch folder goes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen = options.only or list(BENCHMARKS)
    if problem := _problem(chosen, options):
        print(f"benchmarks: {problem}", file=sys.stderr)
        return 2
    if not torch_installed():
        left_out = [name for name in chosen if name not in WITHOUT_TORCH]
        chosen = [name for name in chosen if name in WITHOUT_TORCH]
        if left_out:
            print(f"benchmarks: {', '.join(left_out)}: no PyTorch; {INSTALL}", file=sys.stderr)
        if not chosen:
            return 2
    description = machine.describe()
    progress(f"{description}\n")
    start = time.monotonic()
    results, failed = measure(chosen, options)
    print(f"{description}\n\n{report.table(results)}")
    progress(f"\n{time.monotonic() - start:.0f} s")
    if options.json and results:
        try:
            report.write_json(options.json, results)
        except OSError as error:
            print(f"benchmarks: cannot write {options.json}: {error}", file=sys.stderr)
            return 1
    return int(failed)


def measure(names: Sequence[str], options: argparse.Namespace) -> tuple[list[Result], bool]:
    """All that could be measured, and whether something failed or was broken off."""
    results: list[Result] = []
    failed = False
    try:
        with scratch_folder() as scratch:
            settings = Settings(options.pairs, Path(scratch), options.archive)
            for name in names:
                try:
                    results.extend(BENCHMARKS[name](settings))
                except (WorkerError, ValueError, OSError) as error:
                    print(f"benchmarks: {name}: {error}", file=sys.stderr)
                    failed = True
    except KeyboardInterrupt:
        print("benchmarks: broken off; what was measured follows", file=sys.stderr)
        failed = True
    return results, failed


def _problem(names: Sequence[str], options: argparse.Namespace) -> str:
    """What is wrong with the command, in one line; "" where nothing is."""
    for name in names:
        if name not in BENCHMARKS:
            return f"--only: no benchmark is called {name!r}{nearest(name, list(BENCHMARKS))}"
    if options.pairs < 1:
        return f"--pairs={options.pairs}: at least 1"
    if options.archive and not options.archive.exists():
        return f"--archive={options.archive}: there is no such file or folder"
    if options.json and not options.json.parent.is_dir():
        return f"--json={options.json}: there is no folder {options.json.parent}"
    return ""


def _parser() -> argparse.ArgumentParser:
    about = "\n".join(f"  {name:<20} {_summary(function)}" for name, function in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"names:\n{about}\n\nall but {', '.join(WITHOUT_TORCH)} need PyTorch: {INSTALL}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--only",
        type=lambda text: [name for name in text.split(",") if name],
        metavar="NAME[,NAME...]",
        help="the ones to measure, in this order (default: all)",
    )
    parser.add_argument(
        "--json",
        type=path_argument,
        metavar="FILE",
        help='also write {NAME: {"ratio", "low", "high", "ours", "theirs", "unit"}}; null where '
        "there is no rival",
    )
    parser.add_argument(
        "--pairs", type=int, default=5, metavar="N", help="turns of each side (default 5)"
    )
    parser.add_argument(
        "--archive",
        type=path_argument,
        metavar="PATH",
        help="CoronaHack's zip or folder, for input_full_size and build, which use all of it "
        "(default: 240 synthetic JPEG films of about 1,300 x 1,000 pixels)",
    )
    return parser


def _summary(function: Callable[..., object]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
