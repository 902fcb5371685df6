"""Deep Image Prior: each radiograph is denoised by a network fitted to it alone.

    python launch.py --config=configs/dip.py
    python launch.py --config=configs/dip.py:images=20,size=128 --config.data.archive=ARCHIVE
    python launch.py --config=configs/dip.py:task=inpaint --config.data.archive=ARCHIVE
    python launch.py --config=configs/dip.py:task=super --config.factor=4

The second one takes some 5 minutes on two cores (14 s an image) and reaches 30.4 dB from 20.5,
where BM3D reaches 31.5 (docs/denoising.md).

`task`: denoise (noise is added), inpaint (letters are taken out), super (made smaller, and larger
again). `noise`, `level`: as in configs/dae.py. `net`: hourglass (the reference's, at `width` 32;
its own is 128), unet, deep_decoder. Nothing is trained beforehand; a stopping rule that does not
see the clean picture ends each fit.

A warm start: `--config.reptile.rounds=100` learns weights on other, clean radiographs and keeps
them in the workdir; `--config.init=run:WORKDIR` begins every fit with them. Either denoises with
`--config.stop.rule=none --config.steps=140`, for the rule would end such fits far too late.

Arguments behind the colon: task, noise, level, net, width, images, members, data, size, seed.
"""

import ml_collections

from configs import common
from covidjax.data.noise import NOISES
from covidjax.dip.tasks import TASKS
from covidjax.models.unet import UNETS
from covidjax.runs.config import make

ARGS = {
    "task": "denoise",
    "noise": "gaussian",
    "level": 25.0,
    "net": "hourglass",
    "width": 32,
    "images": 4,
    "members": 1,
    "data": "auto",
    "size": 128,
    "seed": 0,
}


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config; `arg` is what stands behind the colon."""
    values = common.parse_arg(arg, ARGS)
    for name, known in (("task", TASKS), ("noise", NOISES), ("net", UNETS)):
        if values[name] not in known:
            raise ValueError(common.unknown(name, values[name], list(known)))
    config = make("dip")
    config.update({name: values[name] for name in ("task", "seed", "images", "members", "level")})
    config.noise.kind = values["noise"]
    config.model.update({"name": values["net"], "width": values["width"]})
    config.data.update({"source": values["data"], "size": values["size"]})
    return config
