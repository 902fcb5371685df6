"""Writes `tfds_coronahack/dummy_data`: a tiny synthetic archive with the oddities of a real one.

    python tests/tfds_coronahack/make_dummy_data.py

The pictures are random blots of 24 x 20 pixels, of every mode that the builder must read.
"""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parents[2] / "tfds_coronahack" / "dummy_data"
IMAGES = "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset"
COLUMNS = (
    "",
    "X_ray_image_name",
    "Label",
    "Dataset_type",
    "Label_2_Virus_category",
    "Label_1_Virus_category",
)
NORMAL = ("Normal", "", "")
BACTERIA = ("Pnemonia", "", "bacteria")
VIRUS = ("Pnemonia", "", "Virus")

# (file name, label, Label_2, Label_1), split, mode of the image or what is odd about the file
ROWS = (
    ("IM-0001-0001.jpeg", NORMAL, "TRAIN", "L"),
    ("IM-0001-0001-0002.jpeg", NORMAL, "TRAIN", "L"),
    ("NORMAL2-IM-0003-0001.jpeg", NORMAL, "TRAIN", "RGB"),
    ("person1_bacteria_1.jpeg", BACTERIA, "TRAIN", "L"),
    ("person1_bacteria_2.jpeg", BACTERIA, "TRAIN", "same bytes"),
    ("person1_virus_3.jpeg", VIRUS, "TRAIN", "CMYK"),
    ("person2_virus_4.jpeg", VIRUS, "TRAIN", "missing"),
    ("person2_virus_5.jpeg", VIRUS, "TRAIN", "empty"),
    ("phantom-patient001-1.png", ("Pnemonia", "COVID-19", "Virus"), "TRAIN", "I;16"),
    ("phantom-patient001-2.png", ("Pnemonia", "COVID-19", "Virus"), "TRAIN", "RGBA"),
    ("phantom-patient002-1.png", ("Pnemonia", "SARS", "Virus"), "TRAIN", "P"),
    ("phantom-patient003-1.png", ("Pnemonia", "ARDS", "Stress-Smoking"), "TRAIN", "1"),
    ("phantom-patient004-1.png", ("Pnemonia", "Streptococcus", "bacteria"), "TRAIN", "LA"),
    ("IM-0005-0001.jpeg", NORMAL, "TEST", "L"),
    ("person1_bacteria_6.jpeg", BACTERIA, "TEST", "L"),
    ("person3_virus_7.jpeg", VIRUS, "TEST", "L"),
)
FILE_WITHOUT_ROW = "train/person4_virus_8.jpeg"


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    for split in ("train", "test"):
        (FOLDER / IMAGES / split).mkdir(parents=True)
    rng = np.random.default_rng(0)
    data = b""
    for name, _, split, kind in ROWS:
        if kind == "missing":
            continue
        if kind != "same bytes":
            data = b"" if kind == "empty" else encode(rng, name, kind)
        (FOLDER / IMAGES / split.lower() / name).write_bytes(data)
    (FOLDER / IMAGES / FILE_WITHOUT_ROW).write_bytes(encode(rng, FILE_WITHOUT_ROW, "L"))
    with (FOLDER / "Chest_xray_Corona_Metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for index, (name, labels, split, _) in enumerate(ROWS):
            writer.writerow((index, name, labels[0], split, *labels[1:]))
    (FOLDER / "PHANTOM.json").write_text(json.dumps({"dummy_data": True}) + "\n")


def encode(rng: np.random.Generator, name: str, mode: str) -> bytes:
    """A picture of random blots, as JPEG or PNG by the name's ending."""
    blots = Image.fromarray(rng.integers(0, 256, (5, 4), np.uint8)).resize((20, 24))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(blots).astype(np.uint16) * 257)
    else:
        picture = (blots.convert("RGB") if mode == "CMYK" else blots).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG" if name.endswith(".png") else "JPEG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
