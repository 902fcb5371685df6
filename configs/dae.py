"""A denoising network, trained on radiographs with synthetic noise.

    python launch.py --config=configs/dae.py
    python launch.py --config=configs/dae.py --config.data.archive=ARCHIVE
    python launch.py --config=configs/dae.py:noise=low_dose --config.data.archive=ARCHIVE
    python launch.py --config=configs/dae.py:net=bottleneck --config.data.archive=ARCHIVE

The second took 35 minutes on two busy CPU cores (a step alone takes 85 ms), and on TEST gains 1.0,
1.4 and 1.8 dB over BM3D at sigma 15, 25 and 50 (docs/denoising.md). The evaluation runs BM3D on all
of TEST, which takes about as long again; `--config.evaluate.images=104` is the short way.

`net`: unet (residual, without biases), dncnn (the literature's yardstick), bottleneck (the
textbook's autoencoder, which blurs). `noise`: gaussian, low_dose, speckle, salt_and_pepper, grid.
`level`: one number, or LOW-HIGH to draw each image's level from; by default the kind's whole range,
for gaussian 5-55 (of 255).

Arguments behind the colon: net, noise, level, data, size, seed.
"""

from typing import Any

import ml_collections

from configs import common

NETWORKS = ("unet", "dncnn", "bottleneck")
ARGS: dict[str, Any] = {
    "net": "unet",
    "noise": "gaussian",
    "level": "",
    "data": "auto",
    "size": 128,
    "seed": 0,
}


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config; `arg` is what stands behind the colon."""
    values = common.parse_arg(arg, ARGS)
    if values["net"] not in NETWORKS:
        raise ValueError(common.unknown("net", values["net"], list(NETWORKS)))
    return common.denoise(values, values["net"])


def sweep(config: ml_collections.ConfigDict) -> dict[str, dict[str, dict[str, Any]]]:
    """What `--sweep=NAME` runs: sweep -> point -> fields. The first one is the default."""
    sweeps = {"seeds": common.grid({"seed": range(3)})}
    if config.noise.kind == "gaussian":
        # One network a level, against the blind one.
        sweeps["levels"] = {
            f"level{level}": {"noise.low": float(level), "noise.high": float(level)}
            for level in (15, 25, 50)
        }
    sweeps["sizes"] = common.grid({"data.size": (64, 128)})
    if config.model.name == "unet":
        sweeps["widths"] = common.grid({"model.width": (16, 32, 48)})
    return sweeps
