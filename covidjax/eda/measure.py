"""The features of one image: what can be said of a radiograph without knowing what it shows.

Measured on a copy of one size, so that an original of 2,000 px and one of 224 can be compared. The
file's own facts (width, bytes) are in the table of the examples.
"""

import functools
import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covidjax.audit import shortcut_inputs
from covidjax.images import appearance, reading, thorax

BINS = 64  # of the histograms kept
DARK, BRIGHT = 8, 247  # gray levels; up to the first and from the second on
EVEN, STANDS_OUT = 60, 50  # gray levels, of the ground that a letter lies on and of the letter
_LEVELS = np.arange(256)
_LOOK = 96  # pixels a side of the copy in which color is looked for
# Name -> what it is and its unit, in the order of the values that `measure` returns.
FEATURES = {
    "mean": "mean gray level (0 to 255)",
    "contrast": "standard deviation of gray (levels)",
    "entropy": "entropy of the histogram (bits)",
    "sharpness": "log10 of the Laplacian's variance",
    "skewness": "skewness of gray (no unit)",
    "p1": "1st percentile (gray level)",
    "median": "median (gray level)",
    "p99": "99th percentile (gray level)",
    "dark_share": f"share of pixels up to level {DARK}",
    "bright_share": f"share of pixels from level {BRIGHT}",
    "border": "mean of the outer tenth (gray level)",
    "corners": "mean outside the ellipse (gray level)",
    "corners_dark": "share of the corners up to level 16",
    "edge_ratio": "outer columns' mean over the whole's",
    "bars": "share of the picture that is uniform bars",
    "symmetry": "left-right correlation (-1 to 1)",
    "gradient": "mean step between neighbors (levels)",
    "letters": "letter-like marks (number)",
}
COLOR_FEATURES = {
    "tint": "mean difference of the color channels (levels)",
    "color_share": "share of pixels no tint explains",
}


def measure(gray: NDArray[np.uint8]) -> tuple[list[float], NDArray[np.int64]]:
    """The values of FEATURES of uint8 [size, size], and its histogram int64 [256]."""
    counts = np.bincount(gray.ravel(), minlength=256)
    shares = counts / counts.sum()
    mean = float(shares @ _LEVELS)
    deviation = float(np.sqrt(shares @ (_LEVELS - mean) ** 2))
    used = shares[shares > 0]
    cumulated = np.cumsum(shares)
    p1, median, p99 = (int(np.searchsorted(cumulated, q - 1e-12)) for q in (0.01, 0.5, 0.99))
    skewness = shares @ (_LEVELS - mean) ** 3 / deviation**3 if deviation > 0 else 0.0
    size = gray.shape[0]
    rim = max(1, round(shortcut_inputs.FRAME * size))
    inner = gray[rim:-rim, rim:-rim]
    border = (float(gray.sum()) - float(inner.sum())) / (gray.size - inner.size)
    outside = gray[_corners(size)]
    edge = max(1, round(0.05 * size))
    columns = float(np.concatenate([gray[:, :edge], gray[:, -edge:]], axis=1).mean())
    laplacian = cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_16S))[1].item() ** 2
    steps = [cv2.absdiff(gray[1:], gray[:-1]).mean(), cv2.absdiff(gray[:, 1:], gray[:, :-1]).mean()]
    values = [
        mean,
        deviation,
        float(-(used * np.log2(used)).sum()) + 0.0,
        float(np.log10(laplacian + 1)),
        float(skewness),
        *(float(p) for p in (p1, median, p99)),
        float(cumulated[DARK]),
        float(1 - cumulated[BRIGHT - 1]),
        border,
        float(outside.mean()),
        float((outside <= 16).mean()),
        columns / mean if mean > 0 else 1.0,
        uniform_bars(gray),
        appearance.symmetry(gray),
        float(np.mean(steps)),
        float(len(letter_boxes(gray))),
    ]
    return values, counts


@functools.cache
def _corners(size: int) -> NDArray[np.bool_]:
    return ~thorax.ellipse(size)


def uniform_bars(gray: NDArray[np.uint8]) -> float:
    """Share of the picture in rows and columns at its edges that have one gray level each."""
    rows = np.flatnonzero(np.ptp(gray, axis=1) > 6)
    columns = np.flatnonzero(np.ptp(gray, axis=0) > 6)
    if len(rows) == 0 or len(columns) == 0:
        return 1.0
    content = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return float(1 - content / gray.size)


def letter_boxes(gray: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, width, height) of small bright marks with sharp edges, as letters are.

    A mark stands out of its surroundings (white top-hat), lies outside the middle of the picture,
    and has a letter's size and filling. Clips, tubes and buckles can look the same: of 66 images
    drawn at random and looked at, about 60 bore a letter, of which it found some 40, and it took
    about 8 other things for one.
    """
    size = gray.shape[0]
    width = max(5, round(size / 14)) | 1
    kernel = np.ones((width, width), np.uint8)
    stands_out = cv2.morphologyEx(gray, cv2.MORPH_TOPHAT, kernel)
    mask = ((stands_out > 50) & (gray > 100)).astype(np.uint8)
    _, _, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for (left, top, w, h, area), (x, y) in zip(stats[1:], centres[1:], strict=True):
        away = ((x / size - 0.5) / 0.40) ** 2 + ((y / size - 0.5) / 0.42) ** 2
        sized = 0.025 <= h / size <= 0.12 and 0.013 <= w / size <= 0.12
        if sized and away > 1 and 0.2 <= area / (w * h) <= 0.95 and h < 2.2 * w and w < 1.6 * h:
            box = (int(left), int(top), int(w), int(h))
            if _on_even_ground(gray, box):
                found.append(box)
    return found


def _on_even_ground(gray: NDArray[np.uint8], box: tuple[int, int, int, int]) -> bool:
    """Whether what surrounds a box is darker than the mark and of much the same gray."""
    left, top, width, height = box
    rim = 3
    rows = slice(max(0, top - rim), top + height + rim)
    columns = slice(max(0, left - rim), left + width + rim)
    around = gray[rows, columns].astype(np.int16)
    inside = np.zeros(around.shape, bool)
    above, before = top - rows.start, left - columns.start
    inside[above : above + height, before : before + width] = True
    ground = around[~inside]
    return bool(
        len(ground) and np.percentile(ground, 90) - np.percentile(ground, 10) < EVEN
        and np.percentile(around[inside], 90) - np.median(ground) > STANDS_OUT
    )  # fmt: skip


def measure_color(data: bytes) -> list[float]:
    """The values of COLOR_FEATURES of an encoded image; zeros where all channels are one."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode in ("L", "1", "LA", "La") or image.mode.startswith("I"):
            return [0.0, 0.0]
        if image.format in ("JPEG", "MPO"):
            image.draft("RGB", (_LOOK, _LOOK))
        side = (min(_LOOK, image.width), min(_LOOK, image.height))
        small = np.asarray(image.convert("RGB").resize(side, Image.Resampling.BOX))
    if np.ptp(small, axis=2).max() <= 2:  # rounding of gray saved as RGB
        return [0.0, 0.0]
    tint = float(np.ptp(small.mean(axis=(0, 1))))
    return [tint, reading.colorfulness(small)]
