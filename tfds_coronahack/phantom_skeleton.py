"""The bones of the phantom's chest."""

from collections.abc import Sequence

import numpy as np

from tfds_coronahack.phantom_drawing import Map, Points, ellipse, fill, soften, strokes
from tfds_coronahack.phantom_patient import Anatomy, Posture


def _rib(anatomy: Anatomy, posture: Posture, k: int, sign: int, bend: np.ndarray) -> Points:
    """Midline of rib k (0 to 9): a ring that leaves the spine and slopes down to the front."""
    angle = np.linspace(0.05, 0.83, 22) * np.pi
    reach = np.interp(k, (0, 1, 2, 4, 6, 9), (0.34, 0.48, 0.58, 0.70, 0.77, 0.79))
    spacing = 0.135 * (0.6 + 0.4 * posture.inspiration) * (0.94 + 0.06 * anatomy.age)
    start = -0.76 + spacing * k + bend[k]
    slope = 0.12 + 0.26 * anatomy.age + 0.015 * k + 0.04 * bend[-1 - k] / 0.006
    x = 0.06 + (reach * anatomy.width - 0.05) * np.sin(angle) ** 0.9
    behind = 0.35 * np.cos(angle)
    y = start + slope * ((1 - np.cos(angle)) / 2) ** 1.2 - 0.045 * np.sin(2 * angle)
    return np.stack([sign * x + np.sin(posture.yaw) * behind, y], 1)


def _tubes(side: int, lines: Sequence[Points], width: float) -> Map:
    """Hollow bones: a cortex that shows as two bright edges round a fainter marrow."""
    outer, inner = strokes(side, lines, width), strokes(side, lines, 0.5 * width)
    return soften(outer - 0.45 * inner, 0.0055)


def draw_bones(anatomy: Anatomy, posture: Posture, side: int, rng: np.random.Generator) -> Map:
    """Attenuation of ribs, clavicles, scapulae, heads of the humeri and spine."""
    bend = rng.normal(0, 0.006, 20)
    width = rng.uniform(0.046, 0.056)
    ribs = [_rib(anatomy, posture, k, sign, bend) for k in range(10) for sign in (-1, 1)]
    back = _tubes(side, [rib[:12] for rib in ribs], width)
    front = _tubes(side, [rib[10:] for rib in ribs], 1.1 * width)
    outer = 0.70 + posture.clavicles
    collar = [
        np.array(
            [(s * 0.08, -0.55), (s * 0.20, -0.60), (s * 0.40, -outer + 0.02), (s * 0.64, -outer)]
        )
        + (0.06 * np.sin(posture.yaw), 0)
        for s in (-1, 1)
    ]
    w = 0.80 * anatomy.width
    blades = [
        np.array([(s * (w - 0.14), -0.66), (s * (w + 0.08), -0.60), (s * (w + 0.02), -0.05),
                  (s * (w - 0.05), 0.0)])
        for s in (-1, 1)
    ]  # fmt: skip
    scapulae = soften(fill(side, *blades), 0.012)
    heads = fill(side, *[ellipse(s * (w + 0.07), -0.66, 0.075, 0.075) for s in (-1, 1)], blur=0.01)
    clavicles = _tubes(side, collar, 0.055)
    total = 0.34 * back + 0.22 * front + 0.45 * clavicles + 0.10 * scapulae + 0.22 * heads
    return anatomy.bone * (total + _spine(anatomy, posture, side))


def _spine(anatomy: Anatomy, posture: Posture, side: int) -> Map:
    """Vertebral bodies with their end plates, pedicles and spinous processes."""
    step = 0.118 * (0.93 + 0.07 * anatomy.age)
    y = np.arange(-1.3, 1.35, step)
    turn = np.sin(posture.yaw)
    middle = np.stack([anatomy.scoliosis * np.sin(2 * y) - 0.05 * turn, y], 1)[:, None]  # [n, 1, 2]
    half = (0.072 + 0.012 * y)[:, None]

    def shapes(outline: Sequence[tuple[float, float]] | Points) -> np.ndarray:
        """One outline a vertebra; x in half widths, y in steps."""
        unit = np.array(outline)
        return middle + np.stack(
            [half * unit[:, 0], np.broadcast_to(step * unit[:, 1], (len(y), len(unit)))], 2
        )

    waist, top, bottom = 0.86, -0.45, 0.36
    bodies = shapes([(-1, top), (1, top), (waist, 0), (1, bottom), (-1, bottom), (-waist, 0)])
    plates = np.concatenate([shapes([(-1, e), (1, e)]) for e in (top, bottom)])
    ovals = [shapes(ellipse(x, -0.08, 0.19, 0.20)) for x in (-0.6, 0.6)]
    ovals.append(shapes(ellipse(1.3 * turn, 0.26, 0.17, 0.22)))
    return (
        0.20 * fill(side, *bodies, blur=0.007)
        + 0.16 * soften(strokes(side, plates, 0.013), 0.005)
        + 0.09 * fill(side, *np.concatenate(ovals), blur=0.006)
    )
