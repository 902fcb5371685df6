"""The classes of the charts, how they look, and the source that an image's name tells."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covidjax.audit.source_probe import is_adult
from covidjax.data.splits import film_series


class Look(NamedTuple):
    """Of a class or a source; colors after Okabe and Ito (2008), told apart without color too."""

    color: str
    hatch: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]


LOOKS = (
    Look("#0072B2", "", "o", "-"),
    Look("#E69F00", "///", "s", "--"),
    Look("#009E73", "\\\\\\", "^", "-."),
    Look("#D55E00", "xxx", "D", ":"),
    Look("#CC79A7", "...", "v", (0, (5, 1, 1, 1, 1, 1))),
    Look("#56B4E9", "++", "P", (0, (8, 3))),
    Look("#000000", "", "X", (0, (1, 1))),
)

OTHER = "other"
CLASSES = ("Normal", "bacterial", "viral", "COVID-19", OTHER)
CLASS_LOOKS = dict(zip(CLASSES, LOOKS, strict=False))
_CLASS_OF_CAUSE = {"none": "Normal", "bacterial": "bacterial", "viral": "viral"}
_CLASS_OF_CAUSE["COVID-19"] = "COVID-19"
OTHER_NOTE = "other: SARS, ARDS and Streptococcus"

SOURCES = {
    "IM": "child, IM films",
    "NORMAL2-IM": "child, NORMAL2-IM films",
    "bacteria": "child, personN_bacteria",
    "virus": "child, personN_virus",
    "adult": "adult of a publication",
    "unknown": "unknown",
}
SOURCE_LOOKS = dict(zip(SOURCES.values(), LOOKS, strict=False))


def classes_of(table: pd.DataFrame) -> NDArray[np.int64]:
    """Index into CLASSES of each row [n]."""
    names = [_CLASS_OF_CAUSE.get(cause, OTHER) for cause in table["cause"]]
    return np.array([CLASSES.index(name) for name in names], np.int64)


def present(codes: NDArray[np.int64]) -> list[int]:
    """The classes that occur, in the order of CLASSES."""
    return [number for number in range(len(CLASSES)) if (codes == number).any()]


def sources_of(table: pd.DataFrame) -> list[str]:
    """A value of SOURCES for each row, by its file name."""
    return [SOURCES[_source_key(image)] for image in table["image"]]


def _source_key(image: str) -> str:
    if is_adult(image):
        return "adult"
    series, _ = film_series(image)
    return series if series in SOURCES else "unknown"
