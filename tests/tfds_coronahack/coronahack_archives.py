"""Small archives in Kaggle's layout, with random pictures."""

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

HEADER = (
    "",
    "X_ray_image_name",
    "Label",
    "Dataset_type",
    "Label_2_Virus_category",
    "Label_1_Virus_category",
)
ROOT = "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset"
MetadataRow = tuple[str, str, str, str, str]  # name, Label, Dataset_type, Label_2, Label_1

# One row of every kind that the original has; the last two rows are TEST.
ROWS: tuple[MetadataRow, ...] = (
    ("IM-0115-0001.jpeg", "Normal", "TRAIN", "", ""),
    ("NORMAL2-IM-0115-0001.jpeg", "Normal", "TRAIN", "", ""),
    ("person1_bacteria_1.jpeg", "Pnemonia", "TRAIN", "", "bacteria"),
    ("person1_virus_2.jpeg", "Pnemonia", "TRAIN", "", "Virus"),
    ("1312A392-67A3-4EBF-9319-810CF6DA5EF6.jpeg", "Pnemonia", "TRAIN", "COVID-19", "Virus"),
    ("person1_bacteria_3.jpeg", "Pnemonia", "TEST", "", "bacteria"),
    ("IM-0001-0001.jpeg", "Normal", "TEST", "", ""),
)


def metadata_csv(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows((i, *row) for i, row in enumerate(rows))
    return text.getvalue().encode()


def picture(seed: int, side: int = 96) -> Image.Image:
    """A smooth random picture; different seeds have nothing in common."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8)).resize((side, side))


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def archive_files(
    rows: Sequence[MetadataRow] = ROWS,
    root: str = ROOT,
    changes: Mapping[str, bytes | None] | None = None,
) -> dict[str, bytes]:
    """Files of an archive, each row's image different; `changes` replace or remove (None) some."""
    files: dict[str, bytes | None] = {"Chest_xray_Corona_Metadata.csv": metadata_csv(rows)}
    for i, row in enumerate(rows):
        files[f"{root}/{row[2].lower()}/{row[0]}"] = encode(picture(i))
    files |= changes or {}
    return {name: data for name, data in files.items() if data is not None}


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path
