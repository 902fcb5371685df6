"""What a picture looks like that a frontal chest radiograph does not: a margin, turned, a negative.

All of it is noted and nothing is mended: the picture may be right and the guess wrong. The rates
below are of the archive's 5,907 images as they are (false notes), and turned, inverted or with a
margin (found), by the 8 x 8 mean of its training images.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

# A chest from the front is much the same left and right, from the side it need not be. Of the
# archive's 5,903 frontal images none lies below LEAST_SYMMETRY, and 10 below LITTLE_SYMMETRY (a
# white lung, a tilted child, a bright bar at one edge). Of its 4 lateral ones 2, copies of one
# image, lie below the first, the others among the frontal ones. So this finds some lateral views,
# and never shows that a view is frontal.
LEAST_SYMMETRY = 0.0
LITTLE_SYMMETRY = 0.25
_COARSE = 32  # pixels a side of the copy in which symmetry is looked for
_LOOK = 128  # and margins
# Share of a side from which a flat margin is noted. False notes: black 0.17 %, gray 0.03 %, white
# none. Black ones are common: the edge of the detector.
MARGINS = {"black": 0.08, "gray": 0.05, "white": 0.02}
_DARKEST, _BRIGHTEST = 12, 243  # levels of a black and of a white margin; JPEG blurs both
_FLAT = 6  # levels around the margin's, within which 99 % of a row lie
# The left half of the mean training image, 8 x 8, in hundredths of a standard deviation.
_HALF_CHEST = (
    (-112, -53, 4, 78),
    (-107, 7, 29, 70),
    (-136, 19, -9, 76),
    (-157, 6, -10, 107),
    (-166, -16, 13, 126),
    (-170, -34, 26, 125),
    (-167, 3, 87, 142),
    (-153, 75, 137, 162),
)
# By how much another pose must resemble the mean chest more. False notes 0.3 %; found are 98.9 % of
# quarter turns, 94 % of those upside down, 98.9 % of negatives.
POSE_MARGIN = 0.05
_TURNS = ("", "turned a quarter to the left", "turned upside down", "turned a quarter to the right")


def symmetry(gray: Gray) -> float:
    """How much uint8 [height, width] resembles its left-right mirror image, from -1 to 1.

    The correlation of the two on a coarse copy, at the best of the mirror axes in its middle part
    (from 11/32 to 20/32 of the width), since a chest need not be centered.
    """
    coarse = cv2.resize(gray, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)[3:-3]
    best = -1.0
    for across in range(22, 41):  # columns c and across - c mirror each other
        part = coarse[:, max(0, across - _COARSE + 1) : across + 1].astype(np.float64)
        part -= part.mean()
        squares = (part**2).sum()
        if squares > 0:
            best = max(best, float((part * part[:, ::-1]).sum() / squares))
    return best


def notes(gray: Gray) -> tuple[str, ...]:
    """Notes on a picture, uint8 [height, width]; none on a usual one."""
    small = np.asarray(cv2.resize(gray, (_LOOK, _LOOK), interpolation=cv2.INTER_AREA), np.uint8)
    sides = {"top": small, "bottom": small[::-1], "left": small.T, "right": small.T[::-1]}
    margins = {name: _margin(side) for name, side in sides.items()}
    noted = [
        f"a {color} margin of {100 * share:.0f} % at the {name}: crop it"
        for name, (color, share) in margins.items()
        if share >= MARGINS[color]
    ]
    top, bottom, left, right = (int(_LOOK * share) for _, share in margins.values())
    inside = small[top : _LOOK - bottom, left : _LOOK - right]
    if min(inside.shape) >= 8 and (pose := _pose(inside)):
        noted.append(f"looks {pose}: if so, do not use this")
    return tuple(noted)


def _margin(side: NDArray[np.uint8]) -> tuple[str, float]:
    """Color and share of the flat rows from the first one on."""
    level = int(np.median(side[0]))
    near = (np.abs(side.astype(np.int64) - level) <= _FLAT).mean(axis=1) >= 0.99
    rows = len(side) if near.all() else int(np.argmin(near))
    color = "black" if level <= _DARKEST else "white" if level >= _BRIGHTEST else "gray"
    return color, rows / len(side)


def _pose(gray: Gray) -> str:
    """What the picture looks like, turned or a negative; "" for a chest as it should be."""
    coarse = cv2.resize(gray, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float64)
    if coarse.std() == 0:
        return ""
    half = np.array(_HALF_CHEST, np.float64)
    chest = np.concatenate([half, half[:, ::-1]], axis=1)
    found, chest = ((one - one.mean()) / one.std() for one in (coarse, chest))
    likeness = [float((found * np.rot90(chest, turn)).mean()) for turn in range(4)]
    poses = likeness + [-one for one in likeness]
    best = int(np.argmax(poses))
    if poses[best] - likeness[0] < POSE_MARGIN:
        return ""
    return " and ".join(filter(None, ("like a negative" if best >= 4 else "", _TURNS[best % 4])))
