"""Opacities of the phantom's lungs: which part of the air is lost, by cause of the pneumonia.

Each pattern gives a map of the share of air that fluid replaced, 0 to 1. Place and texture follow
what radiology textbooks and the early reports on COVID-19 describe:

- bacterial: consolidation of one lobe, mostly on one side, dense, with soft edges (sharp along a
  fissure), air bronchograms, sometimes a small effusion;
- viral: a net of thickened interstitium on both sides, densest round the hila;
- COVID-19: patches of ground glass, both sides, toward the ribs and the bases;
- SARS: the same ground glass, fewer patches, often one side, more confluent;
- ARDS: dense haze over both lungs that spares the costophrenic angles, with air bronchograms;
- Streptococcus: the densest lobar consolidation.
"""

from collections.abc import Callable

import cv2
import numpy as np

from tfds_coronahack.phantom_anatomy import Lungs
from tfds_coronahack.phantom_drawing import EXTENT, Map, body_grid, soften


def _noise(rng: np.random.Generator, side: int, wavelength: float) -> Map:
    """Smooth random field of about unit variance, details as wide as `wavelength`."""
    cells = max(4, round(2 * EXTENT / wavelength))
    grid = rng.standard_normal((cells, cells), np.float32)
    return 1.3 * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)


def _rise(x: Map, width: float) -> Map:
    """0 below, 1 above zero, over about `width` on either side."""
    return 0.5 + 0.5 * np.tanh(x / width)


def _blob(side: int, x: float, y: float, a: float, b: float, edge: Map) -> Map:
    """A patch round (x, y) with half axes a and b and an outline that `edge` makes uneven."""
    grid_x, grid_y = body_grid(side)
    distance = np.sqrt(((grid_x - x) / a) ** 2 + ((grid_y - y) / b) ** 2)
    return _rise(1 - distance + 0.30 * edge, 0.28)


def _net(rng: np.random.Generator, side: int, wavelength: float) -> Map:
    """Thin lines between meshes: where smooth noise crosses zero, at two scales."""
    fine = np.exp(-((_noise(rng, side, wavelength) / 0.30) ** 2))
    coarse = np.exp(-((_noise(rng, side, 1.9 * wavelength) / 0.24) ** 2))
    return np.maximum(fine, 0.45 * coarse)


def _bronchogram(rng: np.random.Generator, side: int) -> Map:
    """1, less where an air-filled bronchus runs through a consolidation."""
    return 1 - 0.35 * np.exp(-((_noise(rng, side, 0.16) / 0.16) ** 2))


# Lobes: side (-1 the patient's right), x and y of the middle, half axes, and the place of a fissure
# that cuts the consolidation off (body y; +1: lung lies above it, -1: below, 0: no fissure seen).
_LOBES = (
    (-1, 0.38, -0.42, 0.26, 0.24, -0.12, 1),
    (-1, 0.42, 0.08, 0.26, 0.17, -0.10, -1),
    (-1, 0.45, 0.28, 0.29, 0.22, 0.0, 0),
    (1, 0.38, -0.35, 0.24, 0.28, 0.0, 0),
    (1, 0.50, 0.05, 0.20, 0.18, 0.0, 0),
    (1, 0.46, 0.26, 0.29, 0.22, 0.0, 0),
)


def _lobar(
    rng: np.random.Generator, side: int, lungs: Lungs, density: tuple[float, float], both: float
) -> Map:
    _, y = body_grid(side)
    flooded = np.zeros((side, side), np.float32)
    for lobe in rng.permutation(len(_LOBES))[: 1 + (rng.random() < both)]:
        sign, cx, cy, a, b, fissure, keep = _LOBES[lobe]
        size = rng.uniform(0.75, 1.3)
        patch = _blob(
            side,
            sign * cx + rng.normal(0, 0.05),
            cy + rng.normal(0, 0.05),
            a * size,
            b * size,
            _noise(rng, side, 0.28) + 0.5 * _noise(rng, side, 0.11),
        )
        if keep and rng.random() < 0.6:
            slope = rng.normal(0, 0.1) * (body_grid(side)[0] - sign * cx)
            patch = patch * _rise(keep * (fissure + slope - y), 0.02)
        patch *= rng.uniform(*density) * (1 + 0.12 * _noise(rng, side, 0.12))
        flooded = np.maximum(flooded, patch * lungs.masks[int(sign > 0)])
    return flooded * _bronchogram(rng, side)


def _effusion(rng: np.random.Generator, side: int, lungs: Lungs, which: int) -> Map:
    """Fluid in one costophrenic angle; its surface climbs toward the ribs."""
    level = rng.uniform(0.84, 1.0)
    return lungs.masks[which] * 0.9 * _rise(lungs.down - level + 0.20 * (lungs.across - 0.8), 0.04)


def bacterial(rng: np.random.Generator, side: int, lungs: Lungs) -> Map:
    """Focal consolidation; one patient in five has two lobes, one in six an effusion."""
    flooded = _lobar(rng, side, lungs, (0.55, 0.95), both=0.2)
    if rng.random() < 0.17:
        which = int((flooded * lungs.masks[1]).sum() > (flooded * lungs.masks[0]).sum())
        flooded = np.maximum(flooded, _effusion(rng, side, lungs, which))
    return flooded


def streptococcus(rng: np.random.Generator, side: int, lungs: Lungs) -> Map:
    """Dense lobar consolidation."""
    return _lobar(rng, side, lungs, (0.75, 1.0), both=0.1)


def viral(rng: np.random.Generator, side: int, lungs: Lungs) -> Map:
    """Reticular pattern on both sides, densest near the hila, with a little haze."""
    x, y = body_grid(side)
    flooded = np.zeros((side, side), np.float32)
    strength = rng.uniform(0.55, 1.05)
    net = soften(_net(rng, side, rng.uniform(0.040, 0.065)), 0.006)
    patchy = 0.75 + 0.25 * _noise(rng, side, 0.35)
    for which, sign in enumerate((-1, 1)):
        center = -0.06 + rng.normal(0, 0.05)
        distance = ((x - sign * 0.2) / 0.42) ** 2 + ((y - center) / 0.48) ** 2
        weight = (0.25 + 0.75 * np.exp(-distance)) * np.clip(patchy, 0.2, 1.4)
        flooded += lungs.masks[which] * weight * rng.uniform(0.8, 1.2) * (0.6 * net + 0.50)
    return 0.72 * strength * flooded


def _ground_glass(
    rng: np.random.Generator,
    side: int,
    lungs: Lungs,
    patches: tuple[int, int],
    strength: tuple[float, float],
) -> Map:
    """Hazy patches near the ribs and bases; `patches` counts those of the right and left lung."""
    flooded = np.zeros((side, side), np.float32)
    x, y = body_grid(side)
    for which, count in enumerate(patches):
        clear = np.ones((side, side), np.float32)
        for _ in range(count):
            across, down = rng.uniform(0.62, 0.98), float(rng.beta(3.2, 1.7))
            near = (np.abs(lungs.across - across) + np.abs(lungs.down - down)) + 9 * (
                lungs.masks[which] < 0.5
            )
            cy, cx = np.unravel_index(int(np.argmin(near)), near.shape)
            a, b = rng.uniform(0.10, 0.20), rng.uniform(0.13, 0.26)
            patch = _blob(side, x[cy, cx], y[cy, cx], a, b, 0.8 * _noise(rng, side, 0.22))
            clear *= 1 - rng.uniform(*strength) * soften(patch, 0.04)
        flooded += lungs.masks[which] * (1 - clear)
    grain = np.clip(1 + 0.14 * _noise(rng, side, 0.035) + 0.08 * _noise(rng, side, 0.10), 0.4, 1.5)
    return flooded * grain


def covid(rng: np.random.Generator, side: int, lungs: Lungs) -> Map:
    """Ground glass on both sides, peripheral and basal."""
    return _ground_glass(
        rng, side, lungs, (int(rng.integers(1, 4)), int(rng.integers(1, 4))), (0.25, 0.62)
    )


def sars(rng: np.random.Generator, side: int, lungs: Lungs) -> Map:
    """Ground glass, half of the patients on one side only, more confluent."""
    patches = [int(rng.integers(2, 4)), int(rng.integers(2, 4))]
    if rng.random() < 0.5:
        patches[int(rng.integers(2))] = 0
    return _ground_glass(rng, side, lungs, (patches[0], patches[1]), (0.4, 0.75))


def ards(rng: np.random.Generator, side: int, lungs: Lungs) -> Map:
    """Dense haze over both lungs, thinner at the apices and in the costophrenic angles."""
    field = np.maximum(*lungs.masks)
    spared = _rise(lungs.down - 0.12, 0.15) * (
        1 - 0.6 * _rise(lungs.down + lungs.across - 1.7, 0.1)
    )
    patchy = np.clip(0.8 + 0.2 * _noise(rng, side, 0.25) + 0.08 * _noise(rng, side, 0.07), 0.2, 1.2)
    return rng.uniform(0.55, 0.85) * field * spared * patchy * _bronchogram(rng, side)


def healthy(rng: np.random.Generator, side: int, lungs: Lungs) -> Map:
    """No air lost."""
    return np.zeros((side, side), np.float32)


OPACITIES: dict[str, Callable[[np.random.Generator, int, Lungs], Map]] = {
    "none": healthy,
    "bacterial": bacterial,
    "viral": viral,
    "COVID-19": covid,
    "SARS": sars,
    "ARDS": ards,
    "Streptococcus": streptococcus,
}


def lost_air(cause: str, seed: int, side: int, lungs: Lungs) -> Map:
    """Share of the air lost to `cause`, float32 [side, side] in [0, 0.97]; KeyError if unknown."""
    flooded = OPACITIES[cause](np.random.default_rng(seed), side, lungs)
    return np.clip(flooded, 0, 0.97).astype(np.float32)
