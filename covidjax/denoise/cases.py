"""What is evaluated of denoisers: the cases of noise, the images, and what is measured of each."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from numpy.typing import NDArray

from covidjax.data.noise import NOISES, Noise
from covidjax.denoise import check as denoise_check
from covidjax.denoise.measures import classical
from covidjax.denoise.measures.classical import Images, Tuned
from covidjax.denoise.measures.noise_spectrum import Spectrum
from covidjax.runs.flat import listed, nearest, positive_numbers

REFERENCES = ("bm3d", "bm3d_fast")  # what the networks are compared with, those that there are
CLEAN = "clean"  # the name under which clean images stand beside the methods

Values = NDArray[np.float64]


class Case(NamedTuple):
    """One kind of noise at one level."""

    noise: Noise
    level: float

    @property
    def name(self) -> str:
        """As the keys of `results.json` have it: gaussian/25."""
        return f"{self.noise.kind}/{self.level:g}"


class Films(NamedTuple):
    """The TEST images, one entry each: name, group (patient or examination), clean pixels."""

    names: Sequence[str]
    groups: Sequence[str]
    images: Images


class Measured(NamedTuple):
    """One case: what each method (a column each) did to the images.

    Attributes:
      quality: {method: {figure: [n]}}.
      spectra: {method: of its residual}.
      edges: {method: {"value", "ci95", "n"} in pixels}.
      tuned: {method: what validation chose}.
      scores: {method: probabilities [n]} of the classifier; empty without one.
      examples: {method or "clean": images} for the picture.
    """

    case: Case
    quality: dict[str, dict[str, Values]]
    spectra: dict[str, Spectrum]
    edges: dict[str, dict[str, Any]]
    tuned: dict[str, Tuned]
    scores: dict[str, Values]
    examples: dict[str, Images]


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError for what can be seen of `config.evaluate` without data, in one line."""
    settings = config.evaluate
    for name in listed(settings.methods):
        if name not in classical.METHODS:
            hint = nearest(name, list(classical.METHODS))
            raise ValueError(f"config.evaluate.methods: {name!r} is unknown{hint}")
    for kind in listed(settings.noises):
        if kind not in NOISES:
            raise ValueError(
                f"config.evaluate.noises: {kind!r} is unknown{nearest(kind, list(NOISES))}"
            )
    levels_of(settings.levels)
    if settings.levels and len(listed(settings.noises)) > 1:
        raise ValueError(
            "config.evaluate.levels are of one kind of noise, and config.evaluate.noises names "
            "several: leave levels empty for the usual ones of each"
        )


def levels_of(text: str) -> tuple[float, ...]:
    """The numbers of "15,25,50"; none for "".

    Raises:
      ValueError: something that is no number above 0.
    """
    return positive_numbers(listed(text), f"config.evaluate.levels={text!r}")


def cases_of(config: ml_collections.ConfigDict) -> list[Case]:
    """What to evaluate at: `config.evaluate` where it says so, else the trained noise's levels.

    Other kinds of noise take the trained one's other parameters.
    """
    settings, noise = config.evaluate, denoise_check.create_noise(config)
    cases = []
    for kind in listed(settings.noises) or [noise.kind]:
        usual = NOISES[kind].tested
        if kind == config.noise.kind:
            usual = denoise_check.validation_levels(config)
        for level in levels_of(settings.levels) or usual:
            cases.append(Case(dataclasses.replace(noise, kind=kind), level))
    return cases


def tested_rows(
    config: ml_collections.ConfigDict, kind: str, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which of the TEST rows are evaluated, evenly taken: `config.evaluate.images`.

    Args:
      config: with `evaluate`.
      kind: "coronahack" or "phantom", of the data.
      rows: of all TEST images.
    """
    wanted = config.evaluate.images or config.evaluate.auto_images[kind]
    return rows[evenly(len(rows), wanted)]


def references(methods: Collection[str]) -> list[str]:
    """Those of REFERENCES that are among the methods."""
    return [name for name in REFERENCES if name in methods]


def middle_levels(measured: Sequence[Measured]) -> list[Measured]:
    """Of each kind of noise the case in the middle of its levels."""
    kinds = list(dict.fromkeys(one.case.noise.kind for one in measured))
    same = [[one for one in measured if one.case.noise.kind == kind] for kind in kinds]
    return [cases[(len(cases) - 1) // 2] for cases in same]


def evenly(count: int, wanted: int) -> NDArray[np.int64]:
    """`wanted` rows of `count`, evenly spaced; all where there are not as many."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))
