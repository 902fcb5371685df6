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
    config = ml_collections.ConfigDict()
    config.experiment = "dip"
    config.task = values["task"]  # denoise, inpaint, super
    config.seed = values["seed"]  # of everything: noise, weights, inputs, perturbations, bootstrap
    config.split = "test"  # whose images: test (Kaggle's TEST), validation (out of TRAIN)
    config.images = values["images"]  # so many of them, drawn at random
    config.data_seed = 0  # of which images are drawn
    config.members = values["members"]  # fits of an image, whose mean is taken and spread is shown

    config.noise = ml_collections.ConfigDict({"kind": values["noise"]})  # of denoise
    config.level = values["level"]  # in the kind's unit, see covidjax/data/noise.py
    config.mask = "letters"  # of inpaint: letters (drawn), white (where the film is as white)
    config.factor = 2  # of super: 2, 4

    config.model = ml_collections.ConfigDict()
    config.model.name = values["net"]  # hourglass, unet, deep_decoder
    config.model.width = values["width"]  # channels
    config.model.scales = 5  # how often the side is halved

    config.steps = 3000  # at most
    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 0.01  # of Adam
    config.perturbation = 1 / 30  # standard deviation of the noise on the input, at each step
    config.average = 0.99  # share of the old average of the outputs, a step
    config.stop = ml_collections.ConfigDict()
    config.stop.rule = "emv"  # emv, wmv (variance of the outputs), none (the last average)
    config.stop.window = 100  # outputs of wmv; before so many no rule judges
    config.stop.share = 0.03  # of the newest output, for emv
    config.stop.tolerance = 0.15  # above the smallest variance, a share, that counts as small
    config.stop.patience = 300  # steps without a small variance
    config.chunk = 50  # steps between two looks at whether a fit has ended or diverged
    config.at_once = 2  # fits at a time on each device (python -m benchmarks --only=dip_loop)

    config.init = ""  # run:WORKDIR, whose weights.npz the fits begin with
    config.save_weights = False  # keep the first image's fitted weights as weights.npz
    config.reptile = ml_collections.ConfigDict()
    config.reptile.rounds = 0  # fits to learn weights from first; 0: none
    config.reptile.images = 100  # of TRAIN, clean, that they are learnt on
    config.reptile.steps = 200  # of each fit
    config.reptile.rate = 0.5  # part of the way to the fitted weights, falling to 0

    config.compare = "bm3d"  # of denoise: classical methods beside, as bm3d,median; "" for none
    config.tune_images = 4  # of TRAIN, that choose the classical methods' parameters
    config.denoiser = ""  # a finished run of configs/dae.py beside
    config.frames = 0  # steps between two pictures of an animation; 0: none
    config.bootstrap_samples = 2000  # of the 95 % intervals

    common.add_data(config, values, equalize="none")
    config.quiet = False  # no progress bars
    return config
