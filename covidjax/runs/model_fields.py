"""The fields of `config.model`, by the network's name."""

import dataclasses
from collections.abc import Mapping

from covidjax.runs.field import Field, Fields, number, share

KERNELS = Field("auto", "plain: XLA's own kernels everywhere", ("auto", "plain"))
NORM = Field("none", "normalization", ("none", "batch"))
WIDTH = number(32, "channels of the first stage", low=1)
DROPOUT = share(0.2, "before the classifier")
RESIDUAL = Field(True, "the noise is learned, and subtracted")
CLASSIFIERS: Mapping[str, Fields] = {
    "cnn": {
        "widths": Field((16, 32, 64, 128), "channels of the stages"),
        "convs": number(2, "3 x 3 convolutions a stage", low=1),
        "dropout": DROPOUT,
    },
    "resnet": {
        "depth": Field(18, "layers: 18, 34, 50 or 101"),
        "dropout": DROPOUT,
    },
}
DENOISERS: Mapping[str, Fields] = {
    "unet": {
        "width": WIDTH,
        "blocks": Field((2, 1, 1), "residual blocks of each scale"),
        "residual": RESIDUAL,
        "noise_map": Field(False, "the level is a further input channel"),
        "norm": NORM,
    },
    "dncnn": {
        "width": dataclasses.replace(WIDTH, default=64),
        "depth": number(17, "layers", low=2),
        "residual": RESIDUAL,
        "norm": dataclasses.replace(NORM, default="batch"),
    },
    "bottleneck": {
        "widths": Field((32, 64, 64), "channels of the stages, each of which halves the image"),
        "code": number(32, "channels of the code", low=1),
        "residual": dataclasses.replace(RESIDUAL, default=False),
        "norm": NORM,
    },
}
MODELS = {**CLASSIFIERS, **DENOISERS}
NAMES = {"classify": tuple(CLASSIFIERS), "denoise": tuple(DENOISERS)}  # by experiment
