"""Charts of the image features by class: violins, boxes, q-q plots, correlations, histograms."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import stats

from covidjax.eda.charts.figures import DIVERGING, SMALL, Album, boxes, panels, plain, violins
from covidjax.eda.classes import CLASS_LOOKS, CLASSES, OTHER_NOTE, present
from covidjax.eda.measure import BINS, COLOR_FEATURES, FEATURES
from covidjax.report.markdown import Figure
from covidjax.runs import canvas

MAIN = ("mean", "contrast", "entropy", "sharpness")
FEWEST = 8  # images for quantiles to be drawn
QUANTILES = 60  # points of a q-q plot
NAMED = 0.3  # correlations from here on are written in their cell
UNITS = {**FEATURES, **COLOR_FEATURES}


def by_class(features: pd.DataFrame, codes: NDArray[np.int64], album: Album) -> list[Figure]:
    """Intensity mean, contrast, entropy and sharpness: as violins, and as boxes."""
    shown = present(codes)
    names = [CLASSES[code] for code in shown]
    looks = [CLASS_LOOKS[name] for name in names]
    medians = "; ".join(
        f"{feature}: "
        + ", ".join(
            f"{n} {features[feature][codes == c].median():.3g}"
            for n, c in zip(names, shown, strict=True)
        )
        for feature in MAIN
    )
    made = []
    for kind, draw in (("violin", violins), ("box", boxes)):

        def panel(axes: Axes, number: int, draw=draw) -> None:
            values = features[MAIN[number]].to_numpy(float)
            draw(axes, [values[codes == code] for code in shown], names, looks)
            axes.set_ylabel(UNITS[MAIN[number]], fontsize=SMALL)
            axes.set_title(MAIN[number], fontsize=9)

        figure = panels(len(MAIN), panel, columns=2, cell=(4.9, 2.9))
        how = (
            "bar: quartiles, circle: median"
            if kind == "violin"
            else "box: quartiles, line: median, whiskers: 1.5 quartile distances, points: beyond"
        )
        made.append(
            album.save(
                figure,
                f"features_{kind}",
                f"Intensity, contrast, entropy, sharpness ({kind})",
                f"Four features of the images by class, n={len(features):,} ({how}; {OTHER_NOTE}).",
                f"A {kind} a class of four features. Medians: {medians}.",
            )  # fmt: skip
        )
    return made


def qq_normal(features: pd.DataFrame, codes: NDArray[np.int64], album: Album) -> Figure:
    """Quantiles of each class against the normal distribution's."""
    shown = [code for code in present(codes) if (codes == code).sum() >= FEWEST]

    def panel(axes: Axes, number: int) -> None:
        values = features[MAIN[number]].to_numpy(float)
        for code in shown:
            part, look = values[codes == code], CLASS_LOOKS[CLASSES[code]]
            shares = _shares(len(part))
            spread = float(part.std()) or 1.0
            axes.plot(
                stats.norm.ppf(shares), (np.quantile(part, shares) - part.mean()) / spread,
                color=look.color, marker=look.marker, linestyle="none", markersize=3.5,
                label=f"{CLASSES[code]} (n={len(part):,})",
            )  # fmt: skip
        _diagonal(axes, (-3.2, 3.2))
        axes.set_title(MAIN[number], fontsize=9)
        axes.set_xlabel("normal quantile (SD)", fontsize=SMALL)
        axes.set_ylabel("quantile of the class (SD)", fontsize=SMALL)
        plain(axes)

    figure = panels(len(MAIN), panel, columns=2, cell=(4.2, 3.4))
    _legend_below(figure)
    return album.save(
        figure, "qq_normal", "Quantiles against the normal distribution",
        "Quantiles of four features, standardised within each class, against those of a normal "
        "distribution; on the line a class is normal. Classes of fewer than "
        f"{FEWEST} images are left out.",
        "Four q-q plots of the classes against a normal distribution.",
    )  # fmt: skip


def qq_classes(features: pd.DataFrame, codes: NDArray[np.int64], album: Album) -> Figure:
    """Quantiles of each class against those of Normal, in the feature's own unit."""
    shown = [code for code in present(codes) if (codes == code).sum() >= FEWEST]

    def panel(axes: Axes, number: int) -> None:
        values = features[MAIN[number]].to_numpy(float)
        base = values[codes == 0]
        for code in shown:
            if code == 0 or len(base) < FEWEST:
                continue
            part, look = values[codes == code], CLASS_LOOKS[CLASSES[code]]
            shares = _shares(min(len(part), len(base)))
            axes.plot(
                np.quantile(base, shares), np.quantile(part, shares), color=look.color,
                marker=look.marker, linestyle="none", markersize=3.5,
                label=f"{CLASSES[code]} (n={len(part):,})",
            )  # fmt: skip
        low, high = np.percentile(values, [0.3, 99.7])
        _diagonal(axes, (float(low), float(high)))
        axes.set_title(MAIN[number], fontsize=9)
        axes.set_xlabel(f"Normal (n={len(base):,}): {UNITS[MAIN[number]]}", fontsize=7)
        axes.set_ylabel("quantile of the class", fontsize=SMALL)
        plain(axes)

    figure = panels(len(MAIN), panel, columns=2, cell=(4.2, 3.4))
    _legend_below(figure)
    return album.save(
        figure, "qq_classes", "Quantiles of each class against those of Normal",
        "Quantiles of four features of each class against the same quantiles of Normal; on the "
        "line a class is distributed as Normal is.",
        "Four q-q plots of the classes against Normal.",
    )  # fmt: skip


def correlation(frame: pd.DataFrame, album: Album) -> tuple[Figure, pd.DataFrame]:
    """Heat map of the rank correlations of all features, and the matrix as a table."""
    varied = frame.loc[:, frame.nunique() > 1]
    constant = [str(name) for name in frame.columns if name not in varied]
    matrix = varied.corr(method="spearman")
    side = 0.34 * len(matrix) + 1.8
    figure = canvas.blank(side + 0.6, side)
    axes = figure.subplots()
    shown = axes.imshow(matrix, cmap=DIVERGING, vmin=-1, vmax=1)
    names = [str(name).replace("_", " ") for name in matrix.columns]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=SMALL)
    axes.set_yticks(range(len(names)), names, fontsize=SMALL)
    for i, j in np.ndindex(matrix.shape):
        value = float(matrix.iloc[i, j])
        if i != j and abs(value) >= NAMED:
            color = "white" if abs(value) > 0.7 else "black"
            text = f"{value:+.1f}".replace("0.", ".")
            axes.text(j, i, text, ha="center", va="center", fontsize=6, color=color)
    bar = figure.colorbar(shown, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("Spearman's rank correlation", fontsize=SMALL)
    bar.ax.tick_params(labelsize=7)
    note = f" Constant and left out: {', '.join(constant)}." if constant else ""
    strongest = matrix.where(np.triu(np.ones(matrix.shape, bool), 1)).abs().stack()
    top = strongest.sort_values(ascending=False).head(3)
    alt = "; ".join(f"{a} and {b} {matrix.loc[a, b]:+.2f}" for a, b in top.index)
    drawn = album.save(
        figure, "correlation", f"Correlation of the image features (n={len(frame):,})",
        f"Spearman's correlation of all features over n={len(frame):,} images; written where it "
        f"is {NAMED} or more either way.{note}",
        f"Heat map of correlations. The strongest: {alt}.",
    )  # fmt: skip
    return drawn, matrix.reset_index().rename(columns={"index": "feature"})


def histograms(shares: NDArray[np.float32], codes: NDArray[np.int64], album: Album) -> Figure:
    """The gray-level histogram of each class: median, quartiles and 5th to 95th percentile."""
    shown = present(codes)
    levels = (np.arange(BINS) + 0.5) * 256 / BINS
    normal = 100 * np.median(shares[codes == 0], axis=0) if (codes == 0).any() else None

    def panel(axes: Axes, number: int) -> None:
        code = shown[number]
        look, part = CLASS_LOOKS[CLASSES[code]], 100 * shares[codes == code]
        p5, p25, p50, p75, p95 = np.percentile(part, [5, 25, 50, 75, 95], axis=0)
        axes.fill_between(levels, p5, p95, color=look.color, alpha=0.22, linewidth=0)
        axes.fill_between(levels, p25, p75, color=look.color, alpha=0.5, linewidth=0)
        axes.plot(levels, p50, color="black", linewidth=1.4, label="median")
        if code != 0 and normal is not None:
            axes.plot(levels, normal, color="black", linestyle=":", linewidth=1.2,
                      label="median of Normal")  # fmt: skip
        axes.set_title(f"{CLASSES[code]} (n={len(part):,})", fontsize=9)
        axes.set_xlabel("gray level", fontsize=SMALL)
        axes.set_ylabel(f"pixels (%) per {256 // BINS} levels", fontsize=SMALL)
        # The first and the last bin (bars, letters) would press the rest flat.
        axes.set_ylim(0, 1.25 * float(np.percentile(p95[1:-1], 98)))
        axes.set_xlim(0, 255)
        axes.legend(fontsize=7, frameon=False)
        plain(axes)

    figure = panels(len(shown), panel, columns=3, cell=(3.5, 2.6))
    return album.save(
        figure, "histograms", "Gray-level histograms by class",
        "Histograms of the gray levels by class: median, and bands of the quartiles (dark) and of "
        f"the 5th to the 95th percentile (light) over the images. {OTHER_NOTE.capitalize()}.",
        "Histograms of "
        + ", ".join(f"{CLASSES[c]} ({(codes == c).sum():,})" for c in shown) + " with bands.",
    )  # fmt: skip


def summary(features: pd.DataFrame, codes: NDArray[np.int64]) -> pd.DataFrame:
    """Each feature by class: median and quartiles, and how well it alone tells it from Normal."""
    lines = []
    for name in features.columns:
        values = features[name].to_numpy(float)
        for code in present(codes):
            part = values[codes == code]
            low, middle, high = np.percentile(part, [25, 50, 75])
            lines.append(
                {
                    "feature": name,
                    "class": CLASSES[code],
                    "images": len(part),
                    "mean": float(part.mean()),
                    "SD": float(part.std()),
                    "25 %": low,
                    "median": middle,
                    "75 %": high,
                    "AUROC against Normal": _auroc(values[codes == 0], part)
                    if code and (codes == 0).any()
                    else np.nan,
                    "unit": UNITS.get(str(name), ""),
                }
            )
    return pd.DataFrame(lines)


def _auroc(normal: NDArray, other: NDArray) -> float:
    """Of `other` over `normal` (ties half), whichever way it is above 0.5."""
    ranks = stats.rankdata(np.concatenate([normal, other]))[len(normal) :]
    found = (ranks.sum() - len(other) * (len(other) + 1) / 2) / (len(normal) * len(other))
    return float(max(found, 1 - found))


def _shares(n: int) -> NDArray[np.float64]:
    count = min(n, QUANTILES)
    return (np.arange(count) + 0.5) / count


def _diagonal(axes: Axes, ends: tuple[float, float]) -> None:
    axes.plot(ends, ends, color="0.4", linewidth=1, linestyle="-", zorder=0)


def _legend_below(figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=max(1, len(labels)), fontsize=SMALL,
        frameon=False,
    )  # fmt: skip


def file_facts(table: pd.DataFrame) -> pd.DataFrame:
    """Of the stored files: width, height, aspect ratio and bytes a pixel."""
    width, height = table["width"].astype(float), table["height"].astype(float)
    facts: dict[str, Sequence[float]] = {
        "width": width.to_numpy(),
        "height": height.to_numpy(),
        "aspect": (width / height).to_numpy(),
        "bytes_per_pixel": (table["bytes"] / (width * height)).to_numpy(),
    }
    return pd.DataFrame(facts)
