"""Images that may be something else than a plain frontal radiograph: flagged, with the reason.

Every rule is a plain threshold that a person can check by eye on the sheet; a flag says "look at
this", not what it is. Facts that are known (an adult's view) are said as facts.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.eda.classes import CLASSES
from covidjax.eda.measure import BRIGHT, DARK
from covidjax.eda.pixels import chunks
from covidjax.images import appearance, reading
from tfds_coronahack.groups import adults, base_name

# What lies beyond these was looked at on the flag sheet of the 5,907 images at 224 px.
INVERTED = -0.3  # correlation with the mean image of all
TINTED = 4.0  # levels
CT_CORNERS = 0.9  # share of the corners that is black
CT_LEVEL = 60.0  # mean gray level that a slice does not exceed
STARK = 0.5  # share of the pixels that is black or white
LEAST_WHITE = 0.1  # of them white, for many radiographs are half black air
BARS = 0.08  # share of the picture
EDGE = 1.12  # brightness of the outer columns over the whole picture's
LEAST_SPREAD = 0.1  # of log(width / height), where most images are square
ASPECT = 3.5  # robust standard deviations of log(width / height)


class Flag(NamedTuple):
    """What a flag is called on the page, and its rule in words."""

    title: str
    rule: str


FLAGS = {
    "inverted": Flag("inverted", f"correlates with the mean image of all at less than {INVERTED}"),
    "color": Flag(
        "color",
        f"tinted by more than {TINTED:.0f} of 255 levels, or more than "
        f"{100 * reading.COLORED_SHARE:.0f} % of pixels in colors no tint explains",
    ),
    "lateral": Flag(
        "lateral view",
        "known from the publication, or left and right hardly alike (correlation under "
        f"{appearance.LITTLE_SYMMETRY})",
    ),
    "cropped": Flag(
        "cropped or framed",
        f"uniform bars over {100 * BARS:.0f} % of the picture, outer columns {EDGE} times as "
        f"bright as the whole, or proportions {ASPECT} robust standard deviations from the median",
    ),
    "ct_slice": Flag(
        "CT slice",
        f"over {100 * CT_CORNERS:.0f} % of the corners black around a dark picture with a bright "
        "rim",
    ),
    "stark": Flag(
        "black and white",
        f"over {100 * STARK:.0f} % of the pixels are up to level "
        f"{DARK} or from level {BRIGHT}: the gray levels between were lost",
    ),
    "lettered": Flag("lettered", "small bright marks with sharp edges outside the middle"),
}


def likeness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Correlation of each image, uint8 [n, s, s], with the mean image of all: float32 [n]."""
    total = np.zeros(1)
    for _, part in chunks(images):
        total = total + part.sum(axis=0, dtype=np.float64)
    mean = total / len(images)
    mean = (mean - mean.mean()) / max(float(mean.std()), 1e-9)
    found = np.zeros(len(images), np.float32)
    for rows, part in chunks(images):
        centred = part - part.mean(axis=1, keepdims=True)
        scale = np.maximum(centred.std(axis=1), 1e-6)
        found[rows] = (centred @ mean) / (len(mean) * scale)
    return found


def flag(
    table: pd.DataFrame, features: pd.DataFrame, alike: NDArray[np.float32]
) -> dict[str, dict[int, str]]:
    """For each of FLAGS: row -> reason.

    Args:
      table: of `covidjax.data.table.read_table`.
      features: of `stream.stream`.
      alike: of `likeness`.
    """
    aspect = np.log(table["width"].to_numpy(float) / table["height"].to_numpy(float))
    spread = max(1.4826 * float(np.median(np.abs(aspect - np.median(aspect)))), LEAST_SPREAD)
    strange = (aspect - np.median(aspect)) / spread
    views = [adults().get(base_name(name), {}).get("view", "") for name in table["image"]]
    found: dict[str, dict[int, str]] = {name: {} for name in FLAGS}
    records = features.to_dict("records")
    for row, f in enumerate(records):
        if alike[row] < INVERTED:
            found["inverted"][row] = f"correlation with the mean image {alike[row]:+.2f}"
        if f["tint"] > TINTED or f["color_share"] > reading.COLORED_SHARE:
            found["color"][row] = (
                f"tint {f['tint']:.0f} levels, {100 * f['color_share']:.1f} % other colors"
            )
        if views[row].startswith("L"):
            found["lateral"][row] = "the publication says lateral"
        elif f["symmetry"] < appearance.LITTLE_SYMMETRY:
            found["lateral"][row] = f"left-right correlation {f['symmetry']:.2f}"
        if reasons := _cropped(f, strange[row]):
            found["cropped"][row] = reasons
        if _like_ct(f):
            found["ct_slice"][row] = (
                f"{100 * f['corners_dark']:.0f} % of the corners black, mean {f['mean']:.0f}"
            )
        if f["bright_share"] > LEAST_WHITE and f["dark_share"] + f["bright_share"] > STARK:
            found["stark"][row] = (
                f"{100 * f['dark_share']:.0f} % black, {100 * f['bright_share']:.0f} % white"
            )
        if f["letters"] >= 1:
            found["lettered"][row] = f"{f['letters']:.0f} mark{'s' * (f['letters'] > 1)}"
    # What is known before what is guessed.
    lateral = found["lateral"]
    found["lateral"] = dict(sorted(lateral.items(), key=lambda item: "says" not in item[1]))
    return found


def as_table(
    found: dict[str, dict[int, str]], table: pd.DataFrame, classes: list[str]
) -> pd.DataFrame:
    """One line a flag and image."""
    lines = [
        (FLAGS[name].title, table["image"].iloc[row], classes[row], reason)
        for name, rows in found.items()
        for row, reason in rows.items()
    ]
    return pd.DataFrame(lines, columns=["flag", "image", "class", "reason"])


def by_class(found: dict[str, dict[int, str]], classes: list[str]) -> pd.DataFrame:
    """Flagged images of each class, as a number and a share of the class."""
    sizes = pd.Series(classes).value_counts()
    lines = []
    for name, rows in found.items():
        line: dict[str, object] = {"flag": FLAGS[name].title, "images": len(rows)}
        hit = pd.Series([classes[row] for row in rows], dtype=str).value_counts()
        for kind in [kind for kind in CLASSES if kind in sizes]:
            line[f"{kind} (%)"] = round(100 * float(hit.get(kind, 0)) / int(sizes[kind]), 1)
        lines.append(line | {"rule": FLAGS[name].rule})
    return pd.DataFrame(lines)


def _cropped(f: dict[str, float], strange: float) -> str:
    reasons = []
    if f["bars"] > BARS:
        reasons.append(f"bars over {100 * f['bars']:.0f} %")
    if f["edge_ratio"] > EDGE:
        reasons.append(f"outer columns {f['edge_ratio']:.2f} times as bright")
    if abs(strange) > ASPECT:
        reasons.append(f"{'wide' if strange > 0 else 'tall'} ({strange:+.1f} SD)")
    return ", ".join(reasons)


def _like_ct(f: dict[str, float]) -> bool:
    dark_around = f["corners_dark"] > CT_CORNERS
    return dark_around and f["mean"] < CT_LEVEL and f["contrast"] > 30 and f["skewness"] > 0.5
