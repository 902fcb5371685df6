"""A classifier's figures within subgroups of the images, where something is known of them.

Of the adults the publications tell age, sex and view (`tfds_coronahack.groups.adults`); of the
children only the series of film numbers is known, which goes with the label. So a subgroup often
holds one class, and has a sensitivity or a specificity alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covidjax.data.splits import film_series
from covidjax.evidence.estimates import group_codes
from covidjax.evidence.metrics import call_classes
from covidjax.evidence.predictions import Predicted
from covidjax.evidence.ranking import auroc
from covidjax.evidence.rates import rate
from tfds_coronahack.groups import adults, base_name

AGES = ((0, 40, "under 40"), (40, 60, "40 to 59"), (60, 200, "60 and over"))


def subgroup_figures(tested: Predicted) -> dict[str, dict[str, Any]]:
    """{kind: {subgroup: {"n", "groups", "sensitivity", "specificity", "auroc": rows}}}.

    Rows as in `results.json`; those that rest on fewer than two groups are left out. For more
    than two classes there is "accuracy" instead. A kind of which one subgroup alone is known is
    left out.
    """
    codes = group_codes(tested.groups, len(tested.labels))
    calls = call_classes(tested.probabilities, tested.thresholds)
    found: dict[str, dict[str, Any]] = {}
    for kind, values in facts(tested.names.tolist()).items():
        names = [str(name) for name in np.unique(values) if name]
        if len(names) > 1:
            found[kind] = {name: _figures(tested, calls, codes, values == name) for name in names}
    return found


def facts(images: Iterable[str]) -> dict[str, NDArray[np.str_]]:
    """{kind: what is known of each image [n], "" for nothing}: source, age, sex, view, series."""
    table = adults()
    rows = []
    for image in images:
        adult: Mapping[str, str] = table.get(base_name(image), {})
        series = film_series(image)[0]
        source = "adults of publications" if adult else "children of Guangzhou" if series else ""
        rows.append((source, _band(adult.get("age", "")), adult.get("sex", ""),
                     adult.get("view", ""), series))  # fmt: skip
    columns = zip(*rows, strict=True) if rows else [()] * 5
    kinds = ("source", "age", "sex", "view", "film series")
    return {kind: np.array(column, dtype=str) for kind, column in zip(kinds, columns, strict=True)}


def _band(age: str) -> str:
    try:
        years = float(age)
    except ValueError:
        return ""
    return next((name for least, most, name in AGES if least <= years < most), "")


def _figures(
    tested: Predicted, calls: NDArray[np.int64], codes: NDArray[np.int64], own: NDArray[np.bool_]
) -> dict[str, Any]:
    y, n = tested.labels, int(own.sum())
    row: dict[str, Any] = {"n": n, "groups": len(np.unique(codes[own]))}
    if tested.probabilities.shape[1] > 2:
        share = rate(calls == y, own, codes)
        return row | ({"accuracy": share.row(n)} if share.has_interval else {})
    for name, label in (("sensitivity", 1), ("specificity", 0)):
        part = own & (y == label)
        found = rate(calls == y, part, codes)
        if found.has_interval:
            row[name] = found.row(int(part.sum()))
    if len(np.unique(y[own])) == 2:
        scores, inside = tested.probabilities[own, 1], np.unique(codes[own], return_inverse=True)[1]
        area = auroc(y[own] == 1, scores, inside)
        row |= {"auroc": area.row(n)} if area.has_interval else {}
    return row
