"""Whether our Deep Image Prior reaches PyTorch's PSNR after as many steps; not a matter of speed.

    python -m benchmarks.dip_quality --archive=ARCHIVE
    python -m benchmarks.dip_quality --archive=ARCHIVE --images=2 --seeds=1 --steps=300

Both sides fit the same noisy images (sigma 25 of 255) with the same network and recipe, from
random weights and inputs of their own. By default 8 images at 128 px, 3 seeds, 1,000 steps, width
32: 24 fits a side. Without --archive the images are a phantom's.
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.compare import progress
from covidjax.cli.commands import path_argument
from covidjax.data import cache, source
from covidjax.dip import engine as dip_engine
from covidjax.dip import fit as dip_fit
from covidjax.dip import queue as dip_queue
from covidjax.kernels import build
from covidjax.models.unet import SkipHourglass

Picture = NDArray[np.float32]


def main() -> None:
    """Prints the PSNR of both sides for each fit, and the difference of their means."""
    options = _parser().parse_args()
    build.load(source.cache_root() / "kernels")
    kind = "coronahack" if options.archive else "phantom"
    prepared = source.resolve(kind, "", str(options.archive or ""), progress=False)
    pixels = cache.load_cache(
        prepared.path, prepared.fingerprint, options.size, "none", "squash", progress=False
    )
    rows = np.random.default_rng(0).permutation(len(pixels))[: options.images]
    recipe = dip_fit.Recipe(steps=options.steps, rule="none")
    engine = dip_engine.make_engine(SkipHourglass(width=options.width), recipe, lambda y: y)
    pairs = []
    for row in rows:
        clean = pixels[row].astype(np.float32) / 255
        noise = np.random.default_rng(row).normal(size=clean.shape).astype(np.float32)
        noisy = clean + np.float32(25 / 255) * noise
        for seed in range(options.seeds):
            found = ours(engine, noisy, seed), theirs(noisy, options.width, options.steps, seed)
            pairs.append([dip_queue.psnr_of(picture, clean) for picture in found])
            text = "{:.2f} ours, {:.2f} theirs".format(*pairs[-1])
            progress(f"image {row}, seed {seed}: {text}")
    values = np.array(pairs)
    differences = values[:, 0] - values[:, 1]
    error = differences.std(ddof=1) / len(differences) ** 0.5 if len(differences) > 1 else np.nan
    mean_ours, mean_theirs = values.mean(axis=0)
    print(
        f"{len(pairs)} fits a side, {options.steps} steps ({kind}): ours {mean_ours:.2f} dB, "
        f"theirs {mean_theirs:.2f} dB, difference {differences.mean():+.2f} +- {error:.2f} "
        "(standard error)"
    )


def ours(engine: dip_engine.Engine, noisy: Picture, seed: int) -> Picture:
    """The average after the last step."""
    init_key, input_key, run_key = jax.random.split(jax.random.key(seed), 3)
    inputs = dip_fit.make_input(input_key, (noisy.shape[0], noisy.shape[1]), engine.recipe)
    picture = jnp.asarray(noisy)[..., None]
    target = dip_fit.Target(picture, jnp.ones_like(picture), picture)
    fit = engine.begin(init_key, inputs)
    return dip_engine.run(engine, fit, inputs, target, run_key).picture


def theirs(noisy: Picture, width: int, steps: int, seed: int) -> Picture:
    """The same of PyTorch's side."""
    import torch

    from benchmarks.torch_hourglass import Fit

    fit: Any = Fit(torch.tensor(noisy)[None, None], width, seed=seed)
    for _ in range(steps):
        fit.step()
    return fit.result()[0, 0].numpy()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dip_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--archive", type=path_argument, default=None, help="CoronaHack's zip or folder"
    )
    for name, value in (("images", 8), ("seeds", 3), ("steps", 1000), ("size", 128), ("width", 32)):
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N")
    return parser


if __name__ == "__main__":
    main()
