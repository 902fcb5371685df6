import csv
import io
import json
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfds_coronahack import phantom
from tfds_coronahack.groups import group_of
from tfds_coronahack.metadata import parse_rows
from tfds_coronahack.phantom_anatomy import draw_chest
from tfds_coronahack.phantom_opacities import OPACITIES, lost_air
from tfds_coronahack.phantom_patient import draw_patient, draw_posture
from tfds_coronahack.phantom_plan import Row, plan

IMAGES = 260


def _decode(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def _films(shortcuts: Sequence[str] = ()) -> tuple[list[Row], list[bytes]]:
    rows = plan(IMAGES, 3)
    return rows, [phantom.make_image(row, 3, 64, shortcuts) for row in rows]


@pytest.fixture(scope="module")
def honest() -> tuple[list[Row], list[bytes]]:
    return _films()


def _auroc(features: np.ndarray, rows: Sequence[Row]) -> float:
    """Sick against healthy, out of fold with patients kept whole."""
    labels = np.array([row.cause != "none" for row in rows])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)
    )
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
    scores = cross_val_predict(
        model,
        features,
        labels,
        groups=[row.patient for row in rows],
        cv=folds,
        method="decision_function",
    )
    return float(roc_auc_score(labels, scores))


def _border(films: Sequence[bytes]) -> np.ndarray:
    """Pixels within 1/16 of the edge of each radiograph."""
    edge = np.ones((48, 48), bool)
    edge[3:-3, 3:-3] = False
    small = [cv2.resize(cv2.imdecode(np.frombuffer(f, np.uint8), 0), (48, 48)) for f in films]
    return np.array([s[edge] for s in small], float)


def _sizes(films: Sequence[bytes]) -> np.ndarray:
    return np.array([_decode(f).shape[:2] for f in films], float)


def _means(films: Sequence[bytes]) -> np.ndarray:
    return np.array([[_decode(f).mean()] for f in films])


def _corner(films: Sequence[bytes]) -> np.ndarray:
    small = [cv2.resize(cv2.imdecode(np.frombuffer(f, np.uint8), 0), (48, 48)) for f in films]
    return np.array([s[:8, -10:].ravel() for s in small], float)


@pytest.mark.parametrize("images", [12, 13, 47, 99, 100, 301, 500, 5910, 10_000])
def test_plan_has_the_asked_number_of_images_with_unique_names(images: int) -> None:
    rows = plan(images, 0)
    assert len(rows) == images
    assert len({row.name for row in rows}) == images
    assert {row.kaggle_split for row in rows} == {"TRAIN", "TEST"}


@pytest.mark.parametrize("images", [300, 500])
def test_covid_suffices_for_five_folds_and_is_not_in_test(images: int) -> None:
    covid = [row for row in plan(images, 1) if row.cause == "COVID-19"]
    assert len(covid) >= 20
    assert len({row.patient for row in covid}) >= 14
    assert all(row.kaggle_split == "TRAIN" for row in covid)


def test_counts_keep_the_original_proportions() -> None:
    rows = plan(1000, 0)
    test = Counter(row.cause for row in rows if row.kaggle_split == "TEST")
    assert abs(sum(test.values()) - 1000 * 624 / 5910) < 1
    assert abs(test["none"] / sum(test.values()) - 0.375) < 0.01
    train = Counter(row.cause for row in rows if row.kaggle_split == "TRAIN")
    assert abs(train["none"] / train["bacterial"] - 1342 / 2530) < 0.01


def test_names_tell_the_builder_exactly_the_patients() -> None:
    groups: dict[str, set[int]] = defaultdict(set)
    rows = plan(800, 2)
    for row in rows:
        groups[group_of(row.name)].add(row.patient)
    assert all(len(patients) == 1 for patients in groups.values())
    assert len(groups) == len({row.patient for row in rows}) < 700
    names = " ".join(row.name for row in rows)
    for part in ("IM-", "NORMAL2-IM-", "_bacteria_", "_virus_", "phantom-patient", ".png"):
        assert part in names


def test_archive_has_kaggles_layout_and_the_marker(tmp_path: Path) -> None:
    path = phantom.write_archive(
        tmp_path / "sub" / "p.zip", images=120, size=48, shortcuts=("border", "letter")
    )
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        marker = json.loads(archive.read("PHANTOM.json"))
        rows, repeated = parse_rows(archive.read("Chest_xray_Corona_Metadata.csv"), "p.zip")
        text = archive.read("Chest_xray_Corona_dataset_Summary.csv").decode()
    assert marker["phantom"] is True
    assert marker["shortcuts"] == ["letter", "border"]
    assert (marker["images"], marker["size"], marker["seed"]) == (120, 48, 0)
    assert not repeated
    planned = {row.name: row for row in plan(120, 0)}
    assert {(r.image, r.cause, r.kaggle_split) for r in rows} == {
        (r.name, r.cause, r.kaggle_split) for r in planned.values()
    }
    assert names == {row.path for row in planned.values()} | {
        "PHANTOM.json",
        "Chest_xray_Corona_Metadata.csv",
        "Chest_xray_Corona_dataset_Summary.csv",
    }
    counted = {tuple(r[1:4]): int(r[4]) for r in list(csv.reader(io.StringIO(text)))[1:]}
    assert sum(counted.values()) == 120
    assert counted[("Pnemonia", "Virus", "COVID-19")] == 10


def test_same_parameters_give_the_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    files = [
        phantom.write_archive(tmp_path / f"{threads}.zip", images=40, size=64, threads=threads)
        for threads in (1, 4)
    ]
    other = phantom.write_archive(tmp_path / "other.zip", images=40, size=64, seed=1)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes() != other.read_bytes()


def test_folder_and_zip_hold_the_same_files(tmp_path: Path) -> None:
    folder = phantom.write_archive(tmp_path / "folder", images=12, size=48)
    with zipfile.ZipFile(phantom.write_archive(tmp_path / "p.zip", images=12, size=48)) as archive:
        zipped = {name: archive.read(name) for name in archive.namelist()}
    found = {
        f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()
    }
    assert found == zipped
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "p.zip"]
    assert phantom.is_phantom(folder)


def test_films_show_a_chest(honest: tuple[list[Row], list[bytes]]) -> None:
    """Healthy lungs darker than the spine between them and than the abdomen, on the average."""
    rows, films = honest
    mean = np.mean(
        [cv2.resize(cv2.imdecode(np.frombuffer(f, np.uint8), 0), (64, 64)).astype(float)
         for row, f in zip(rows, films, strict=True) if row.cause == "none"], 0)  # fmt: skip
    right, spine, left = (mean[20:38, a:b].mean() for a, b in ((14, 26), (30, 34), (38, 50)))
    assert max(right, left) + 40 < spine
    assert max(right, left) + 30 < mean[52:60, 20:44].mean()
    assert all(_decode(f).std() > 25 for f in films)


def test_sizes_and_modes_vary(honest: tuple[list[Row], list[bytes]]) -> None:
    shapes = [_decode(f).shape for f in honest[1]]
    assert len({s[:2] for s in shapes}) > 100
    assert 0.04 < np.mean([len(s) == 3 for s in shapes]) < 0.2
    assert min(min(s[:2]) for s in shapes) >= 50 and max(max(s[:2]) for s in shapes) < 130


@pytest.mark.parametrize("probe", [_border, _sizes, _means, _corner])
def test_without_a_shortcut_no_probe_finds_one(probe, honest) -> None:
    rows, films = honest
    assert 0.33 < _auroc(probe(films), rows) < 0.67  # 4 standard errors at 66 against 194


@pytest.mark.parametrize(
    ("shortcut", "probe"),
    [("letter", _corner), ("size", _sizes), ("border", _border), ("brightness", _means)],
)
def test_a_planted_shortcut_is_found_by_its_probe(shortcut: str, probe) -> None:
    rows, films = _films([shortcut])
    assert _auroc(probe(films), rows) > 0.85


def test_a_planted_shortcut_changes_nothing_else(honest: tuple[list[Row], list[bytes]]) -> None:
    rows, films = honest
    row = next(r for r in rows if r.cause == "viral" and r.name.endswith(".png"))
    plain = _decode(films[row.index]).astype(int)
    lettered = _decode(phantom.make_image(row, 3, 64, ["letter"])).astype(int)
    changed = np.argwhere(plain != lettered)[:, :2] / plain.shape[:2]
    assert (changed[:, 0] < 0.15).all() and (changed[:, 1] > 0.85).all()


def _lost(cause: str, count: int = 24) -> tuple[list[np.ndarray], list]:
    maps, lungs_of = [], []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        *_, lungs = draw_chest(draw_patient(rng), draw_posture(rng), 96)
        maps.append(lost_air(cause, seed, 96, lungs))
        lungs_of.append(lungs)
    return maps, lungs_of


@pytest.mark.parametrize("cause", OPACITIES)
def test_air_is_lost_in_the_lungs_alone(cause: str) -> None:
    for lost, lungs in zip(*_lost(cause, 8), strict=True):
        assert lost.dtype == np.float32
        assert lost.min() >= 0 and lost.max() <= 1
        assert not lost[np.maximum(*lungs.masks) == 0].any()
        assert (lost.max() > 0.1) == (cause != "none")


def _one_sidedness(cause: str) -> float:
    """0: both lungs alike, 1: one lung only; median over patients."""
    shares = []
    for lost, lungs in zip(*_lost(cause), strict=True):
        right, left = ((lost * mask).sum() for mask in lungs.masks)
        shares.append(abs(right - left) / (right + left))
    return float(np.median(shares))


def test_bacterial_is_one_sided_viral_and_covid_are_not() -> None:
    assert _one_sidedness("bacterial") > 0.9
    assert _one_sidedness("viral") < 0.3
    assert _one_sidedness("COVID-19") < 0.7


def test_covid_is_peripheral_and_basal_viral_is_not() -> None:
    def center(cause: str) -> tuple[float, float]:
        maps, lungs_of = _lost(cause)
        weights = np.array(maps) / np.sum(maps)
        return (
            float((weights * [lungs.across for lungs in lungs_of]).sum()),
            float((weights * [lungs.down for lungs in lungs_of]).sum()),
        )

    (covid_across, covid_down), (viral_across, viral_down) = center("COVID-19"), center("viral")
    assert covid_across > viral_across + 0.1
    assert covid_down > viral_down + 0.05


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"shortcuts": ["leter"]}, "did you mean 'letter'"),
        ({"images": 11}, "12 to 10000"),
        ({"size": 20}, "48 to 1024"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_parameters_out_of_range_are_named_and_nothing_is_written(
    tmp_path: Path, wrong: dict, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        phantom.write_archive(tmp_path / "p.zip", **wrong)
    assert not list(tmp_path.iterdir())


def test_what_is_no_phantom_is_never_overwritten(tmp_path: Path) -> None:
    precious = tmp_path / "archive.zip"
    with zipfile.ZipFile(precious, "w") as archive:
        archive.writestr("a", "b")
    before = precious.read_bytes()
    with pytest.raises(phantom.PhantomError, match="left as it is"):
        phantom.write_archive(precious, images=12, size=48)
    assert precious.read_bytes() == before
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note").write_text("x")
    with pytest.raises(phantom.PhantomError, match="not an empty folder"):
        phantom.write_archive(tmp_path / "folder", images=12, size=48)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> tuple[bool, None]:
        return False, None

    monkeypatch.setattr(cv2, "imencode", fail)
    with pytest.raises(phantom.PhantomError):
        phantom.write_archive(tmp_path / "p.zip", images=12, size=48)
    assert not list(tmp_path.iterdir())


def test_command_line(tmp_path: Path) -> None:
    root = Path(phantom.__file__).parents[1]
    base = [sys.executable, "-m", "tfds_coronahack.phantom", f"--out={tmp_path / 'p.zip'}"]

    def call(*flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*base, *flags], cwd=root, capture_output=True, text=True)

    wrong = call("--shortcuts=lettre")
    assert wrong.returncode == 2 and "'letter'" in wrong.stderr
    assert "Traceback" not in wrong.stderr and not (tmp_path / "p.zip").exists()
    made = call("--images=12", "--size=48", "--shortcuts=letter,border")
    assert made.returncode == 0, made.stderr
    assert "letter, border" in made.stdout
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        assert json.loads(archive.read("PHANTOM.json"))["shortcuts"] == ["letter", "border"]
