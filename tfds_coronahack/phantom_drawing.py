"""Shapes to maps: the few drawing tools the phantom's chest is made with.

Body coordinates: x runs from -1.3 to 1.3 over the image (negative: the patient's right, which lies
left on the image), y from -1.3 (chin) down to 1.3 (abdomen). Every map is float32 [side, side] over
that square.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

EXTENT = 1.3  # body coordinates run from -EXTENT to EXTENT
_SHIFT = 4  # cv2 takes points as integers of 1/16 pixel

Points = np.ndarray  # float [n, 2], body coordinates
Map = np.ndarray  # float32 [side, side]


@lru_cache(maxsize=4)
def body_grid(side: int) -> tuple[Map, Map]:
    """x and y of every pixel of a map [side, side], body coordinates."""
    axis = ((np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1) * EXTENT
    x, y = np.meshgrid(axis, axis)
    return x, y


def _to_pixels(points: Points, side: int) -> np.ndarray:
    """Body coordinates [..., 2] to cv2's fixed-point pixels."""
    pixels = (points / EXTENT + 1) / 2 * side - 0.5
    return np.round(pixels * (1 << _SHIFT)).astype(np.int32)


def smooth_outline(points: Sequence[tuple[float, float]] | Points, steps: int = 8) -> Points:
    """A closed Catmull-Rom curve through [n, 2] points; a point given twice makes a corner."""
    p = np.asarray(points, np.float64)
    p0, p2, p3 = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (q[:, None, :] for q in (p0, p, p2, p3))
    curve = p1 + 0.5 * t * (
        p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))
    )
    return curve.reshape(-1, 2)


def fill(side: int, *outlines: Points, blur: float = 0.0) -> Map:
    """1 inside the outlines, 0 outside, edges `blur` wide (body coordinates)."""
    canvas = np.zeros((side, side), np.uint8)
    for outline in outlines:  # one by one: in one call, overlaps would cancel
        cv2.fillPoly(canvas, [_to_pixels(outline, side)], 255, cv2.LINE_AA, _SHIFT)
    return soften(canvas.astype(np.float32) / 255, blur)


def soften(image: Map, blur: float) -> Map:
    """Gaussian blur of standard deviation `blur` in body coordinates."""
    sigma = blur * image.shape[0] / (2 * EXTENT)
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.2 else image


def strokes(side: int, lines: Sequence[Points] | np.ndarray, width: float) -> Map:
    """1 on open lines `width` wide (body coordinates), 0 elsewhere."""
    canvas = np.zeros((side, side), np.uint8)
    thickness = max(1, round(width * side / (2 * EXTENT)))
    if isinstance(lines, np.ndarray):
        pixels = list(_to_pixels(lines, side))
    else:
        pixels = [_to_pixels(line, side) for line in lines]
    cv2.polylines(canvas, pixels, False, 255, thickness, cv2.LINE_AA, _SHIFT)
    return canvas.astype(np.float32) / 255


def dome(mask: Map, reach: float) -> Map:
    """Chord through a rounded solid: rises from the outline to 1 at `reach` inside it."""
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    depth = np.minimum(inside * (2 * EXTENT / mask.shape[0] / reach), 1)
    return np.sqrt(depth * (2 - depth)) * mask


_TURN = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


def ellipse(x: float, y: float, a: float, b: float, degrees: float = 0) -> Points:
    """Outline of an ellipse round (x, y) with half axes a and b, turned clockwise on the image."""
    if not degrees:
        return _CIRCLE * (a, b) + (x, y)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (_CIRCLE * (a, b)) @ np.array([[c, s], [-s, c]]) + (x, y)
