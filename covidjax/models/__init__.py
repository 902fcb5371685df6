"""Flax linen modules, by name."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from covidjax.models.cnn import CNN
from covidjax.models.dae import Bottleneck, DnCNN, UNet
from covidjax.models.pooling import KERNELS
from covidjax.models.resnet import DEPTHS, ResNet

CLASSIFIERS: dict[str, type[nn.Module]] = {"cnn": CNN, "resnet": ResNet}
DENOISERS: dict[str, type[nn.Module]] = {"bottleneck": Bottleneck, "unet": UNet, "dncnn": DnCNN}
MODELS = CLASSIFIERS | DENOISERS
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def create(name: str, *, dtype: str = "float32", **kwargs: Any) -> nn.Module:
    """The module called `name` with its attributes set.

    Raises:
      ValueError: unknown model, attribute, ResNet depth, dtype or kernels; names the known ones.
    """
    if name not in MODELS:
        raise ValueError(f"model {name!r} is unknown: known are {', '.join(MODELS)}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is unknown: known are {', '.join(DTYPES)}")
    module = MODELS[name]
    known = set(module.__dataclass_fields__) - {"parent", "name"}
    if unknown := sorted(set(kwargs) - known):
        fields = ", ".join(sorted(known))
        raise ValueError(f"model {name!r} has no field {', '.join(unknown)}: known are {fields}")
    if name == "resnet" and kwargs.get("depth", 18) not in DEPTHS:
        raise ValueError(f"depth {kwargs['depth']} is unknown: known are {list(DEPTHS)}")
    if kwargs.get("kernels", "auto") not in KERNELS:
        raise ValueError(f"kernels={kwargs['kernels']!r}: known are {', '.join(KERNELS)}")
    return module(dtype=DTYPES[dtype], **kwargs)
