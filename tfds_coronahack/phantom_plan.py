"""Which images a phantom archive holds: counts by cause, patients, names, and the two CSV files."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_IMAGES = "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset"
# CSV columns Label, Label_2_Virus_category, Label_1_Virus_category in the original's spelling.
_LABELS = {
    "none": ("Normal", "", ""),
    "bacterial": ("Pnemonia", "", "bacteria"),
    "viral": ("Pnemonia", "", "Virus"),
    "COVID-19": ("Pnemonia", "COVID-19", "Virus"),
    "SARS": ("Pnemonia", "SARS", "Virus"),
    "ARDS": ("Pnemonia", "ARDS", "Stress-Smoking"),
    "Streptococcus": ("Pnemonia", "Streptococcus", "bacteria"),
}


@dataclass(frozen=True)
class Row:
    """One image to be made."""

    index: int  # of the image; the seed of its posture, radiograph and noise
    patient: int  # the seed of its anatomy and its disease
    name: str
    cause: str
    kaggle_split: str  # TRAIN or TEST

    @property
    def path(self) -> str:
        """Path inside the archive."""
        return f"{_IMAGES}/{self.kaggle_split.lower()}/{self.name}"


def _counts(images: int) -> list[tuple[str, str, int]]:
    """(split, cause, number of images), summing up to `images`; from the original's 5,910 rows."""
    test = round(images * 624 / 5910)
    test_none, test_viral = round(test * 234 / 624), round(test * 148 / 624)
    train = {"COVID-19": max(1, min(40, images // 12), round(images * 58 / 5910))}
    if images >= 100:
        for cause, original, least in (("SARS", 4, 2), ("ARDS", 2, 1), ("Streptococcus", 5, 2)):
            train[cause] = max(least, round(images * original / 5910))
    rest = images - test - sum(train.values())
    train["none"] = round(rest * 1342 / 5217)
    train["viral"] = round(rest * 1345 / 5217)
    train["bacterial"] = rest - train["none"] - train["viral"]
    return [
        *(("TRAIN", cause, train[cause]) for cause in _LABELS if cause in train),
        ("TEST", "none", test_none),
        ("TEST", "bacterial", test - test_none - test_viral),
        ("TEST", "viral", test_viral),
    ]


def _patients(cause: str, images: int, rng: np.random.Generator) -> list[int]:
    """Number of images of each patient; sums up to `images`."""
    if cause in ("SARS", "ARDS", "Streptococcus"):
        return [images]  # one course of disease, as in the original
    if cause == "COVID-19":  # 58 images of 39 patients there
        patients = max(min(images, 14), round(images * 39 / 58))
        extra = rng.choice(patients, images - patients)
        return [1 + int((extra == patient).sum()) for patient in range(patients)]
    again = 0.1 if cause == "none" else 0.4  # chance of one more radiograph
    sizes: list[int] = []
    while sum(sizes) < images:
        sizes.append(min(int(rng.geometric(1 - again)), 12, images - sum(sizes)))
    return sizes


def _stem(cause: str, split: str, patient: int, film: int, count: int) -> str:
    """Name without its ending, in the original's manner; `count` numbers the images of a cause."""
    first = 5001 if split == "TEST" else 1  # no number in both splits
    if cause == "none":
        prefix = "NORMAL2-IM" if patient % 9 > 3 else "IM"
        more = f"-{film:04d}" if film else ""
        return f"{prefix}-{first + patient:04d}-0001{more}"
    word = {"bacterial": "bacteria", "viral": "virus"}[cause]
    return f"person{first + patient}_{word}_{count + 1}"


def plan(images: int, seed: int) -> list[Row]:
    """The rows of the archive, TRAIN first: names, causes and patients of `images` radiographs."""
    rng = np.random.default_rng([seed, 0])
    endings = [".png" if p < 0.08 else ".jpeg" for p in rng.random(images)]
    rows: list[Row] = []
    films_of: Counter[str] = Counter()
    adults = patients = 0
    for split, cause, number in _counts(images):
        for i, films in enumerate(_patients(cause, number, rng)):
            # The original holds one adult's normal radiograph among the children's; so does this.
            adult = cause not in ("none", "bacterial", "viral") or (
                (split, cause, i) == ("TRAIN", "none", 7) and images >= 100
            )
            for film in range(films):
                if adult:
                    stem = f"phantom-patient{adults:03d}-{film + 1}"
                else:
                    stem = _stem(cause, split, i, film, films_of[cause])
                films_of[cause] += 1
                name = stem + endings[len(rows)]
                rows.append(Row(len(rows), patients, name, cause, split))
            adults += adult
            patients += 1
    return rows


def metadata_csv(rows: Sequence[Row]) -> str:
    """Text of `Chest_xray_Corona_Metadata.csv`, in the original's columns and spelling."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    write.writerow(
        ["", "X_ray_image_name", "Label", "Dataset_type"]
        + ["Label_2_Virus_category", "Label_1_Virus_category"]
    )
    for row in rows:
        label, second, first = _LABELS[row.cause]
        # The index of the original has gaps; so has this one, before TEST.
        index = row.index + 20 * (row.kaggle_split == "TEST")
        write.writerow([index, row.name, label, row.kaggle_split, second, first])
    return out.getvalue()


def summary_csv(rows: Sequence[Row]) -> str:
    """Text of `Chest_xray_Corona_dataset_Summary.csv`: number of images by label."""
    counts = Counter(row.cause for row in rows)
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    write.writerow(["", "Label", "Label_1_Virus_category", "Label_2_Virus_category", "Image_Count"])
    for index, cause in enumerate(cause for cause in _LABELS if counts[cause]):
        label, second, first = _LABELS[cause]
        write.writerow([index, label, first, second, counts[cause]])
    return out.getvalue()
