"""The denoising networks: our steps against PyTorch's, and a denoised image against BM3D."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.compare import Result, in_turns, progress, repeated
from benchmarks.settings import Settings, torch_installed
from benchmarks.worker import Side, Worker

SIZE = 128  # pixels a side, what configs/dae.py trains with
BATCH = 8
DNCNN = (16, 64)  # batch and pixels of the patches: all layers are at full size
LEVEL = 25  # standard deviation of the noise, of 255


def unet_train(settings: Settings) -> Iterator[Result]:
    """A train step of configs/dae.py: the U-Net at 128 px, batch 8, with noise and views."""
    yield from _train("unet", BATCH, SIZE, settings)


def dncnn_train(settings: Settings) -> Iterator[Result]:
    """A train step of configs/dae.py:net=dncnn on patches of 64 px, batch 16."""
    yield from _train("dncnn", *DNCNN, settings)


def denoise_image(settings: Settings) -> Iterator[Result]:
    """One image of 128 px denoised by the U-Net, against BM3D and against PyTorch."""
    rivals = {"": ("bm3d", {}), "_torch": ("theirs", {"network": "unet", "kind": "denoise"})}
    if importlib.util.find_spec("bm3d") is None:
        print("benchmarks: denoise_image: no bm3d; pip install bm3d", file=sys.stderr)
        del rivals[""]
    if not torch_installed():
        del rivals["_torch"]
    for ending, (target, options) in rivals.items():
        given = {**options, **({"batch": 1, "size": SIZE, "variant": ""} if options else {})}
        progress(f"denoise_image{ending}: {SIZE} px, one image at a time")
        with (
            Worker("benchmarks.denoising:ours_denoising", {}) as ours,
            Worker(f"benchmarks.denoising:{target}", given) as theirs,
        ):
            progress(f"  against {theirs.note}")
            values = in_turns(ours.turn, theirs.turn, settings.pairs, settings.say)
        yield Result(f"denoise_image{ending}", "images/s", *values, against=theirs.note)


def _train(network: str, batch: int, size: int, settings: Settings) -> Iterator[Result]:
    name = f"{network}_train"
    progress(f"{name}: {size} px, batch {batch}; compiling both sides")
    options = {"network": network, "batch": batch, "size": size}
    with (
        Worker("benchmarks.denoising:ours_training", options) as ours,
        Worker(
            "benchmarks.denoising:theirs", {**options, "kind": "train", "variant": ""}
        ) as theirs,
    ):
        progress(f"  against {theirs.note}")
        values = in_turns(ours.turn, theirs.turn, settings.pairs, settings.say)
    yield Result(name, "images/s", *values, against=theirs.note)


# --- the sides, each for a worker -----------------------------------------------------------------


def ours_training(network: str, batch: int, size: int) -> Side:
    """Our train step as `launch.py` compiles it for the shipped config, on one batch."""
    from benchmarks import ours  # first: it sets the allocator before JAX is imported

    ours.start()
    return Side(repeated(ours.Training(network, batch, size).run, batch))


def ours_denoising() -> Side:
    """Our denoiser as `load_denoiser` makes it, on one image."""
    from benchmarks import ours  # first: it sets the allocator before JAX is imported

    ours.start()
    import jax

    from covidjax.denoise import check as denoise_check
    from covidjax.denoise import denoiser

    config = ours.config_of("unet")
    model = denoise_check.create_model(config)
    params = model.init(jax.random.key(0), np.zeros((1, SIZE, SIZE, 1)))["params"]
    denoise = denoiser.create(config, {"params": params, "batch_stats": {}}, phantom=False)
    image = _noisy()[None]

    def run(times: int) -> None:
        for _ in range(times):
            denoise(image)

    return Side(repeated(run, 1))


def theirs(network: str, kind: str, batch: int, size: int, variant: str) -> Side:
    """PyTorch's side; `variant` as in `torch_steps.steps`."""
    from benchmarks import torch_denoisers  # imports PyTorch, which may not be installed

    run, note = torch_denoisers.steps(network, kind, batch, size, variant)
    return Side(repeated(run, batch), f"torch {note}")


def bm3d() -> Side:
    """The package `bm3d` with its defaults, on one image of which it knows the noise."""
    module = importlib.import_module("bm3d")
    image = _noisy()

    def run(times: int) -> None:
        for _ in range(times):
            module.bm3d(image, LEVEL / 255)

    return Side(repeated(run, 1), "bm3d")


def _noisy() -> np.ndarray:
    """A picture of slow waves with noise: float32 [SIZE, SIZE]."""
    draw = np.random.default_rng(0)
    rows, columns = np.meshgrid(*[np.linspace(0, 6, SIZE)] * 2, indexing="ij")
    clean = 0.5 + 0.4 * np.cos(rows) * np.sin(columns)
    return (clean + draw.normal(0, LEVEL / 255, clean.shape)).astype(np.float32)
