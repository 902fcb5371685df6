"""What a denoiser's config must hold, seen before anything is written."""

import math
from typing import Any

import ml_collections

from covidjax import models
from covidjax.data.noise import NOISES, Noise
from covidjax.denoise import loss as denoise_objective
from covidjax.denoise.loss import Objective
from covidjax.runs import config as fields
from covidjax.runs.flat import positive_numbers
from covidjax.training import flops, profile


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError for what can be seen without the data: one line that names the field."""
    fields.check(config)
    if not 0 < config.noise.low <= config.noise.high < math.inf:
        raise ValueError(
            f"config.noise.low={config.noise.low} and config.noise.high={config.noise.high}: "
            "they must be above 0, the first not above the second"
        )
    try:
        create_noise(config)
    except ValueError as error:
        raise ValueError(f"config.{error}") from error
    validation_levels(config)
    profile.parse(config.profile)
    _check_sizes(config)


def create_noise(config: ml_collections.ConfigDict) -> Noise:
    """The noise of the config, without its levels."""
    fields = config.noise.to_dict()
    return Noise(**{k: v for k, v in fields.items() if k not in ("low", "high", "validation")})


def create_objective(config: ml_collections.ConfigDict) -> Objective:
    """What the config's network learns."""
    return Objective(
        create_noise(config),
        config.noise.low,
        config.noise.high,
        config.patch,
        config.augment,
        config.loss.name,
        config.loss.ssim,
        config.loss.spectrum,
    )


def create_model(config: ml_collections.ConfigDict) -> Any:
    """The network of the config."""
    fields = config.model.to_dict()
    return models.create(fields.pop("name"), dtype=config.dtype, **fields)


def validation_levels(config: ml_collections.ConfigDict) -> tuple[float, ...]:
    """Those of the config; by default the kind's usual ones that are in the trained range.

    Raises:
      ValueError: something that is no number above 0.
    """
    text, low, high = config.noise.validation, config.noise.low, config.noise.high
    if not text:
        usual = NOISES[config.noise.kind].tested
        return tuple(level for level in usual if low <= level <= high) or ((low + high) / 2,)
    return positive_numbers(text.split(","), f"config.noise.validation={text!r}")


def _check_sizes(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError where patch, loss and network do not fit each other."""
    side = config.patch or config.data.size
    if side > config.data.size:
        raise ValueError(
            f"config.patch={config.patch} is more than the {config.data.size} pixels of "
            "config.data.size"
        )
    if config.loss.ssim and side < denoise_objective.SSIM_WINDOW:
        raise ValueError(
            f"config.loss.ssim needs patches of {denoise_objective.SSIM_WINDOW} pixels, not {side}"
        )
    if config.noise.dead and config.noise.kind == "salt_and_pepper":
        raise ValueError("config.noise.dead is what config.noise.kind=salt_and_pepper does already")
    if config.model.get("noise_map") and config.noise.kind != "gaussian":
        raise ValueError(
            "config.model.noise_map needs config.noise.kind=gaussian, whose level can be estimated"
        )
    for name in ("widths", "blocks"):
        numbers = tuple(config.model.get(name, (1,)))
        if not numbers or not all(isinstance(n, int) and n > 0 for n in numbers):
            raise ValueError(f"config.model.{name} must be whole numbers above 0, got {numbers}")
    if config.model.name != "dncnn":
        stages = len(config.model.get("widths") or config.model.blocks)
        if 2**stages > side:
            raise ValueError(
                f"{side} pixels are too few for the {stages} halvings of config.model: they need "
                f"{2**stages}"
            )
    try:
        flops.count(create_model(config), (side, side, 1))
    except (TypeError, ZeroDivisionError) as error:
        raise ValueError(f"config.model cannot be made: {' '.join(str(error).split())}") from error
