"""The chest of a phantom patient: a map of X-ray attenuation, drawn from a few dozen shapes.

In body coordinates (see `phantom_drawing`) the widest part of the rib cage is about 0.8 from the
midline.

Attenuation is a line integral along the beam (no unit, mu times length): the soft tissue of a body
of elliptical section, less the air of two lungs, plus bone. What a disease adds is air of the lung
that became water, so it can only show where there is lung, hides the vessels it drowns, and
rubs out the outline of heart or diaphragm it touches, as on a radiograph.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from tfds_coronahack.phantom_drawing import (
    EXTENT,
    Map,
    Points,
    body_grid,
    dome,
    ellipse,
    fill,
    smooth_outline,
    soften,
    strokes,
)
from tfds_coronahack.phantom_patient import Anatomy, Posture
from tfds_coronahack.phantom_skeleton import draw_bones

# Right lung, |x| and y: up the mediastinum, round the apex, down the ribs, over the diaphragm.
_LUNG = np.array(
    [
        (0.11, 0.10), (0.10, -0.20), (0.10, -0.50), (0.17, -0.70), (0.28, -0.75), (0.40, -0.68),
        (0.54, -0.45), (0.65, -0.12), (0.72, 0.20), (0.745, 0.52), (0.735, 0.56), (0.68, 0.47),
        (0.52, 0.36), (0.34, 0.33), (0.20, 0.39), (0.12, 0.42),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Lungs:
    """Where the lungs are: per side (right, left) a mask 0 to 1 and coordinates inside the lung."""

    masks: tuple[Map, Map]
    across: Map  # 0 at the mediastinum, 1 at the ribs
    down: Map  # 0 at the apex, 1 at the diaphragm


def _lung_outline(
    anatomy: Anatomy, posture: Posture, sign: int, rng: np.random.Generator
) -> Points:
    points = _LUNG + rng.normal(0, 0.012, _LUNG.shape)
    young = 1 - anatomy.age
    points[:, 0] *= anatomy.width * (1 + young * 0.10 * (points[:, 1] > 0))
    points[:, 1] += 0.05 * young * (points[:, 1] < -0.4)  # infants: a short, triangular thorax
    lower = points[:, 1] > 0
    points[lower, 1] *= posture.inspiration * (1 - 0.12 * young)
    if sign > 0:  # the left dome is lower
        points[11:, 1] += 0.035
    return smooth_outline(points * (sign, 1))


def _lungs(anatomy: Anatomy, posture: Posture, side: int, rng: np.random.Generator) -> Lungs:
    masks = tuple(
        fill(side, _lung_outline(anatomy, posture, sign, rng), blur=0.006) for sign in (-1, 1)
    )
    x, y = body_grid(side)
    base = 0.5 * posture.inspiration * (1 - 0.12 * (1 - anatomy.age))
    down = (y + 0.72) / (base + 0.72)
    profile = np.interp(down, (0, 0.2, 0.5, 0.8, 1), (0.36, 0.53, 0.66, 0.73, 0.75))
    across = (np.abs(x) - 0.11) / (profile.astype(np.float32) * anatomy.width - 0.11)
    return Lungs(masks, across, down)  # type: ignore[arg-type]


def _trunk(anatomy: Anatomy, posture: Posture, side: int) -> Map:
    """Soft tissue of neck, shoulders, arms and trunk, 1 where the trunk is thickest."""
    w = 0.80 * anatomy.width + anatomy.wall
    neck, slope = 0.20 + 0.3 * anatomy.wall, 0.05 * (1 - posture.arms)
    half = [
        (neck, -1.6), (neck, -1.02), (neck + 0.10, -0.92 + slope), (0.58, -0.85 - slope),
        (w + 0.04, -0.74 - 2 * slope), (w + 0.05, -0.40), (w, 0.0), (w + 0.01, 0.4),
        (w - 0.01, 0.9), (w, 1.6),
    ]  # fmt: skip
    outline = smooth_outline(half + [(-px, py) for px, py in reversed(half)])
    trunk = dome(fill(side, outline), 0.55)
    # Arms: the upper arm swings from beside the ear to beside the trunk.
    angle = np.radians(-55 + 130 * posture.arms)
    tip = np.array([np.cos(angle), np.sin(angle)]) * 1.1
    arms = [
        np.array([(s * (w - 0.08), -0.62), (s * (w + tip[0] * 0.8), -0.62 + tip[1])])
        for s in (-1, 1)
    ]
    flesh = strokes(side, arms, 0.26 + 0.4 * anatomy.wall)
    humerus = strokes(side, arms, 0.085)
    jaw = fill(side, ellipse(0, -1.3, 0.46, 0.14 + posture.chin), blur=0.01)
    arms_map = 0.45 * dome(flesh, 0.15) + 0.24 * anatomy.bone * soften(humerus, 0.012)
    return np.maximum(trunk, arms_map) + 0.55 * jaw * (posture.chin > 0)


def _middle(anatomy: Anatomy, posture: Posture, side: int) -> Map:
    """Share of the lung's depth taken by heart and great vessels, 0 to 0.92."""
    turn = 0.25 * np.sin(posture.yaw)
    low = 0.19 * posture.inspiration
    r = anatomy.heart
    outline = ellipse(0.13 + turn, low, r * 1.12, r * 0.80, anatomy.heart_tilt)
    heart = dome(fill(side, outline), 0.9 * r)
    m = anatomy.mediastinum
    t = anatomy.thymus
    column = [
        (-m * 0.75, -1.0), (-m - 0.5 * t, -0.60), (-m - t, -0.38), (-m - 0.01, -0.2), (-m, 0.6),
        (m, 0.6), (m + 0.02, -0.18), (m + 0.035 + t, -0.36), (m + 0.01 + 0.5 * t, -0.50),
        (m * 0.75, -1.0),
    ]  # fmt: skip
    great = fill(side, smooth_outline(column) + (turn, 0), blur=0.010)
    atrium = dome(fill(side, ellipse(-0.07 + turn, low, 0.42 * r, 0.62 * r)), 0.2 * r)
    heart = soften(np.maximum(0.88 * heart, 0.80 * atrium), 0.010)
    return np.maximum(heart, 0.90 * great)


def _vessels(side: int, rng: np.random.Generator) -> Map:
    """Pulmonary vessels: two trees that leave the hila, thinner and fainter outwards, 0 to 1."""
    sign = np.repeat([-1.0, 1.0], 9)
    start = np.stack([sign * 0.17, -0.12 - 0.02 * sign], 1)
    angle = rng.uniform(-1.4, 1.5, sign.size)
    tree = np.zeros((side, side), np.float32)
    for width in (0.036, 0.024, 0.015, 0.010):
        length = rng.uniform(0.10, 0.20, (sign.size, 1))
        angles = angle[:, None] + np.cumsum(rng.normal(0, 0.16, (sign.size, 4)), 1)
        steps = np.stack([sign[:, None] * np.cos(angles), np.sin(angles)], 2)
        lines = start[:, None] + np.cumsum(steps * (length / 4)[:, :, None], 1)
        lines = np.concatenate([start[:, None], lines], 1)
        tree = np.maximum(tree, (0.3 + 20 * width) * soften(strokes(side, lines, width), width / 5))
        spread = rng.uniform(0.2, 0.55, sign.size)
        start, sign = np.tile(lines[:, -1], (2, 1)), np.tile(sign, 2)
        angle = np.concatenate([angles[:, -1] - spread, angles[:, -1] + spread])
    return tree


def _airways(side: int, turn: float) -> Map:
    trachea = np.array([(0.0, -1.3), (0.0, -0.75), (0.012, -0.36)]) + (turn, 0)
    fork = [np.array([(0.012 + turn, -0.37), (s * 0.15, -0.19)]) for s in (-1, 1)]
    tubes = np.maximum(strokes(side, [trachea], 0.075), 0.8 * strokes(side, fork, 0.05))
    return soften(tubes, 0.010)


def _soft_parts(side: int, rng: np.random.Generator) -> Map:
    """Muscle, fat and bowel: smooth unevenness, more of it in the abdomen; about -0.1 to 0.1."""
    grids = [rng.standard_normal((n, n), np.float32) for n in (9, 18)]
    coarse, fine = (cv2.resize(g, (side, side), interpolation=cv2.INTER_CUBIC) for g in grids)
    below = np.clip((body_grid(side)[1] - 0.5) / 0.3, 0, 1)
    return 0.020 * coarse + (0.006 + 0.022 * below) * fine + 0.05 * below


def _leads(posture: Posture, side: int) -> Map:
    """Monitoring leads on the skin: an electrode and its cable each."""
    if not posture.leads:
        return np.zeros((side, side), np.float32)
    rng = np.random.default_rng(posture.leads)
    total = np.zeros((side, side), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        start = rng.uniform((-0.65, -0.6), (0.65, 0.5))
        bends = np.cumsum(rng.normal((0.12 * np.sign(start[0]), 0.16), 0.12, (5, 2)), 0)
        cable = smooth_outline(np.vstack([start, start + bends]))[:40]
        total += 0.30 * soften(strokes(side, [cable], 0.012), 0.003)
        total += 0.35 * fill(side, ellipse(start[0], start[1], 0.035, 0.035), blur=0.004)
    return total


def draw_chest(anatomy: Anatomy, posture: Posture, side: int) -> tuple[Map, Map, Map, Lungs]:
    """Draws one chest on maps [side, side].

    Returns (solid, air, vessels, lungs): attenuation of all but the lungs' air; attenuation that
    the air of the healthy lungs takes away (0 outside them); attenuation of the vessels inside the
    lungs; and where the lungs are. The healthy chest attenuates `solid - air + vessels`.
    """
    rng = np.random.default_rng(anatomy.seed)
    lungs = _lungs(anatomy, posture, side, rng)
    bones = draw_bones(anatomy, posture, side, rng)
    tree = _vessels(side, rng)
    field = np.maximum(*lungs.masks)
    middle = _middle(anatomy, posture, side)
    # Lung behind the domes of the diaphragm: a faint continuation below the outline.
    recess = soften(np.roll(field, round(0.10 * side / (2 * EXTENT)), 0), 0.02) * (1 - field)
    recess *= body_grid(side)[1] > 0
    chord = (0.35 + 0.65 * dome(field, 0.30)) * field * (1 - middle) + 0.10 * recess
    air = 0.56 * anatomy.depth * chord
    solid = anatomy.depth * _trunk(anatomy, posture, side) + bones
    solid += anatomy.depth * _soft_parts(side, rng) + _leads(posture, side)
    solid -= 0.16 * anatomy.depth * _airways(side, 0.2 * np.sin(posture.yaw))
    if anatomy.stomach:
        r = anatomy.stomach
        bubble = ellipse(0.42, 0.55 * posture.inspiration + 0.05, r * 1.2, r * 0.6)
        solid -= 0.3 * anatomy.depth * dome(fill(side, bubble, blur=0.01), r)
    vessels = 0.30 * anatomy.vessels * tree * field * (1 - 0.7 * middle)
    return np.maximum(solid, 0), air, vessels, lungs
