import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from coronahack_archives import ROOT, ROWS, archive_files, encode, picture, write_folder, write_zip
from PIL import Image

import tfds_coronahack
from tfds_coronahack.archive import ArchiveError, open_archive
from tfds_coronahack.decoding import decode_gray
from tfds_coronahack.similarity import perceptual_hash, thumbnail

DUMMY_DATA = Path(tfds_coronahack.__file__).parent / "dummy_data"
VERSION = str(tfds_coronahack.Coronahack.VERSION)


def read(data_dir: Path, split: str = "train+test", **kwargs: object) -> dict[str, dict]:
    """Examples by image name."""
    source = tfds.data_source("coronahack", split=split, data_dir=data_dir, **kwargs)
    return {example["image/name"].decode(): example for example in source}


def tree(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def dummy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folder with the dummy data prepared; tests only read it."""
    data_dir = tmp_path_factory.mktemp("dummy")
    tfds_coronahack.prepare(DUMMY_DATA, data_dir, progress=False)
    return data_dir


def test_every_row_with_a_readable_image_is_one_example_of_its_split(dummy: Path):
    assert len(read(dummy, "train")) == 11
    assert len(read(dummy, "test")) == 3
    assert len(read(dummy, "all")) == 14


def test_encoded_bytes_are_stored_as_they_are(dummy: Path):
    decoders = {"image": tfds.decode.SkipDecoding()}
    examples = read(dummy, decoders=decoders)
    with open_archive(DUMMY_DATA) as archive:
        for name, example in examples.items():
            split = example["kaggle_split"].decode().lower()
            assert example["image"] == archive.read(archive.images[split, name])
            digest = hashlib.sha256(example["image"]).hexdigest()
            assert digest == example["sha256"].decode()


def test_images_of_every_mode_are_read_as_gray_and_agree_with_their_size(dummy: Path):
    encoded = read(dummy, decoders={"image": tfds.decode.SkipDecoding()})
    modes = set()
    for name, example in read(dummy).items():
        image = example["image"]
        assert image.dtype == np.uint8
        assert image.shape == (example["height"], example["width"], 1) == (24, 20, 1)
        np.testing.assert_array_equal(image[..., 0], decode_gray(encoded[name]["image"]))
        assert image.std() > 20
        modes.add(example["mode"].decode())
    assert {"L", "RGB", "CMYK", "RGBA", "P", "1", "LA"} < modes
    assert any(mode.startswith("I") for mode in modes)


def test_hashes_use_all_sixty_four_bits_and_are_those_of_the_pictures(dummy: Path):
    hashes = {e["phash"] for e in read(dummy).values()}
    assert all(h.dtype == np.uint64 for h in hashes)
    assert max(hashes) >= 2**63 > min(hashes)
    for example in read(dummy).values():
        thumb = thumbnail(example["image"][..., 0])
        distance = bin(perceptual_hash(thumb) ^ int(example["phash"])).count("1")
        assert distance <= 2  # JPEGs may be hashed at a smaller scale


def test_prepared_folder_is_read_without_its_builder(dummy: Path):
    builder = tfds.builder_from_directory(dummy / "coronahack" / VERSION)
    example = builder.as_data_source("test")[0]
    assert example["image"].shape == (24, 20, 1)
    assert example["phash"].dtype == np.uint64


def test_labels_causes_and_groups(dummy: Path):
    builder = tfds_coronahack.Coronahack(data_dir=dummy)
    labels, causes = (builder.info.features[f].names for f in ("label", "cause"))
    found = {
        name: (labels[e["label"]], causes[e["cause"]], e["group"].decode())
        for name, e in read(dummy).items()
    }
    assert found["IM-0001-0001-0002.jpeg"] == ("Normal", "none", "IM-0001")
    assert found["person1_virus_3.jpeg"] == ("Pneumonia", "viral", "person1_virus")
    assert found["person1_bacteria_6.jpeg"] == ("Pneumonia", "bacterial", "person1_bacteria")
    assert found["phantom-patient001-2.png"] == ("Pneumonia", "COVID-19", "phantom-patient001")
    assert {cause for _, cause, _ in found.values()} == set(causes)


def test_report_names_everything_odd(dummy: Path):
    report = tfds_coronahack.read_report(tfds_coronahack.prepared_dir(dummy))
    assert report["missing_files"] == ["person2_virus_4.jpeg"]
    assert report["unreadable"] == ["person2_virus_5.jpeg"]
    assert report["unreadable_reasons"] == {"person2_virus_5.jpeg": "the file is empty"}
    assert report["files_without_row"] == [f"{ROOT}/train/person4_virus_8.jpeg"]
    assert report["duplicates"] == [["person1_bacteria_1.jpeg", "person1_bacteria_2.jpeg"]]
    assert report["near_duplicates"] == []
    assert report["phantom"] == {"dummy_data": True}
    assert report["archive"] == "dummy_data"
    assert report["archive_key"] == tfds_coronahack.archive_key(DUMMY_DATA)
    assert (report["counts"]["rows"], report["counts"]["examples"]) == (16, 14)
    assert report["counts"]["examples_by_cause"]["TRAIN"]["COVID-19"] == 2


def test_identical_and_near_identical_images_join_their_groups(tmp_path: Path):
    rng = np.random.default_rng(0)
    film = Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)).resize((256, 256))
    rows = [
        ("IM-0001-0001.jpeg", "Normal", "TRAIN", "", ""),
        ("NORMAL2-IM-0002-0001.jpeg", "Normal", "TRAIN", "", ""),
        ("IM-0003-0001.jpeg", "Normal", "TRAIN", "", ""),
        ("IM-0003-0001-0001.jpeg", "Normal", "TEST", "", ""),
        ("person7_virus_8.jpeg", "Pnemonia", "TEST", "", "Virus"),
    ]
    names = [row[0] for row in rows]
    files = archive_files(rows)
    files[f"{ROOT}/train/{names[0]}"] = files[f"{ROOT}/train/{names[1]}"] = encode(film)
    files[f"{ROOT}/train/{names[2]}"] = encode(film.resize((180, 180)), "JPEG", quality=50)
    prepared = tfds_coronahack.prepare(
        write_zip(tmp_path / "a.zip", files), tmp_path / "data", progress=False
    )
    groups = {name: e["group"].decode() for name, e in read(tmp_path / "data").items()}
    assert [groups[name] for name in names] == ["IM-0001"] * 4 + ["person7_virus"]
    report = tfds_coronahack.read_report(prepared)
    assert report["duplicates"] == [sorted(names[:2])]
    assert [len(images) for images in report["near_duplicates"]] == [2]
    assert names[2] in report["near_duplicates"][0]


def test_one_picture_under_two_labels_is_reported(make_zip, tmp_path: Path):
    same = encode(picture(9))
    changes = {f"{ROOT}/train/{ROWS[i][0]}": same for i in (0, 2)}
    prepared = tfds_coronahack.prepare(make_zip(changes=changes), tmp_path / "d", progress=False)
    conflicts = tfds_coronahack.read_report(prepared)["label_conflicts"]
    assert conflicts == [["IM-0115-0001.jpeg", "person1_bacteria_1.jpeg"]]


def test_image_in_the_other_splits_folder_is_used_and_reported(make_zip, tmp_path: Path):
    name = ROWS[0][0]
    changes = {f"{ROOT}/train/{name}": None, f"{ROOT}/test/{name}": encode(picture(0))}
    prepared = tfds_coronahack.prepare(make_zip(changes=changes), tmp_path / "d", progress=False)
    assert tfds_coronahack.read_report(prepared)["misplaced"] == [name]
    assert read(tmp_path / "d")[name]["kaggle_split"] == b"TRAIN"


def test_two_builds_and_zip_and_folder_give_the_same_records(make_zip, make_folder, tmp_path):
    archive = make_zip()
    paths = [archive, archive, make_folder()]
    for i, path in enumerate(paths):
        tfds_coronahack.prepare(path, tmp_path / f"d{i}", progress=False)
    first, second, folder = (tmp_path / f"d{i}" for i in range(3))
    assert tree(first) == tree(second)
    shards = [
        {name: data for name, data in tree(d).items() if "array_record-" in name}
        for d in (first, folder)
    ]
    assert len(shards[0]) == 2
    assert shards[0] == shards[1]
    reports = [
        json.loads(tree(d)[f"coronahack/{VERSION}/build_report.json"]) for d in (first, folder)
    ]
    assert reports[0]["fingerprint"] == reports[1]["fingerprint"]


def test_fingerprint_follows_bytes_and_labels(make_zip, tmp_path: Path):
    swapped = [(ROWS[2][0], *ROWS[3][1:]), *ROWS[:2], *ROWS[3:]]
    kinds = {
        "plain": {},
        "bytes": {"changes": {f"{ROOT}/train/{ROWS[0][0]}": encode(picture(77))}},
        "label": {"rows": swapped},
    }
    prints = set()
    for name, kwargs in kinds.items():
        archive = make_zip(f"{name}.zip", **kwargs)
        prepared = tfds_coronahack.prepare(archive, tmp_path / name, progress=False)
        prints.add(tfds_coronahack.read_report(prepared)["fingerprint"])
    assert len(prints) == 3


def test_archive_whose_images_are_all_broken_is_refused_and_leaves_nothing(tmp_path: Path):
    changes = {f"{ROOT}/{row[2].lower()}/{row[0]}": b"" for row in ROWS}
    archive = write_zip(tmp_path / "a.zip", archive_files(changes=changes))
    with pytest.raises(ArchiveError, match="not one of its 7 rows has a readable image"):
        tfds_coronahack.prepare(archive, tmp_path / "data", progress=False)
    assert tfds_coronahack.prepared_dir(tmp_path / "data") is None
    assert [p.name for p in (tmp_path / "data").rglob("*") if p.is_file()] == [".build.lock"]


def test_data_of_another_archive_are_not_overwritten(make_zip, tmp_path: Path):
    data_dir = tmp_path / "data"
    prepared = tfds_coronahack.prepare(make_zip("first.zip"), data_dir, progress=False)
    before = tree(prepared)
    second = make_zip("second.zip", changes={"extra.txt": b"1"})
    with pytest.raises(ArchiveError, match=r"(?s)first\.zip.*second\.zip.*another data_dir"):
        tfds_coronahack.prepare(second, data_dir, progress=False)
    assert tree(prepared) == before


def test_second_call_returns_at_once_what_is_there(make_zip, tmp_path: Path):
    archive = make_zip()
    prepared = tfds_coronahack.prepare(archive, tmp_path / "data", progress=False)
    times = {p: p.stat().st_mtime_ns for p in prepared.iterdir()}
    assert tfds_coronahack.prepare(archive, tmp_path / "data", progress=False) == prepared
    assert {p: p.stat().st_mtime_ns for p in prepared.iterdir()} == times


def test_damaged_data_are_not_taken_for_prepared(make_zip, tmp_path: Path):
    archive = make_zip()
    prepared = tfds_coronahack.prepare(archive, tmp_path / "data", progress=False)
    next(prepared.glob("*.array_record-*")).unlink()
    assert tfds_coronahack.prepared_dir(tmp_path / "data") is None
    with pytest.raises(ArchiveError, match="damaged"):
        tfds_coronahack.prepare(archive, tmp_path / "data", progress=False)


def test_builder_finds_the_archive_in_the_manual_folder(make_zip, tmp_path: Path):
    manual = tmp_path / "manual"
    manual.mkdir()
    make_zip().rename(manual / "coronahack-chest-xraydataset.zip")
    builder = tfds.builder("coronahack", data_dir=tmp_path / "data", progress=False)
    config = tfds.download.DownloadConfig(manual_dir=manual)
    builder.download_and_prepare(download_config=config)
    assert len(builder.as_data_source("train")) == 5


def test_progress_prints_the_report(make_zip, tmp_path: Path, capsys: pytest.CaptureFixture):
    archive = make_zip(changes={f"{ROOT}/train/{ROWS[0][0]}": b"broken"})
    tfds_coronahack.prepare(archive, tmp_path / "a", progress=False)
    assert capsys.readouterr() == ("", "")
    tfds_coronahack.prepare(archive, tmp_path / "b")
    out = capsys.readouterr().out
    assert "real images" in out
    assert f"1  unreadable images: {ROWS[0][0]}" in out


def large_archive(path: Path) -> Path:
    """Big enough that a build can be caught at any stage: 250 noisy images of 200 x 200."""
    rng = np.random.default_rng(0)
    rows = [(f"IM-{i:04}-0001.png", "Normal", "TRAIN", "", "") for i in range(240)]
    rows += [(f"person{i}_virus_{i}.png", "Pnemonia", "TEST", "", "Virus") for i in range(10)]
    files = archive_files(rows)
    for name in list(files)[1:]:
        noise = Image.fromarray(rng.integers(0, 256, (200, 200), np.uint8))
        buffer = io.BytesIO()
        noise.save(buffer, "PNG", compress_level=1)
        files[name] = buffer.getvalue()
    return write_zip(path, files)


def start_build(archive: Path, data_dir: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "tfds_coronahack", f"--archive={archive}"]
    command += [f"--data_dir={data_dir}"]
    folder = Path(tfds_coronahack.__file__).parents[1]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ
    )


def wait_for(data_dir: Path, pattern: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300  # on a busy machine
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):  # a folder that was removed while we looked
            if list((data_dir / "coronahack").glob(pattern)):
                return
        assert process.poll() is None, "the build ended before it could be caught"
        time.sleep(0.0005)
    raise TimeoutError(pattern)


def test_killed_builds_leave_no_dataset_and_the_next_one_is_whole(tmp_path: Path):
    archive = large_archive(tmp_path / "large.zip")
    data_dir = tmp_path / "data"
    stages = ("incomplete.*", "incomplete.*/build_report.json", "incomplete.*/*train*")
    for stage in stages:
        process = start_build(archive, data_dir)
        wait_for(data_dir, stage, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert tfds_coronahack.prepared_dir(data_dir) is None
        assert not (data_dir / "coronahack" / VERSION).exists()
    assert len(list((data_dir / "coronahack").glob("incomplete.*"))) == 1  # of the last one
    prepared = tfds_coronahack.prepare(archive, data_dir, progress=False)
    assert list((data_dir / "coronahack").glob("incomplete.*")) == []
    straight = tfds_coronahack.prepare(archive, tmp_path / "straight", progress=False)
    assert tree(prepared) == tree(straight)


def test_builds_at_the_same_time_give_one_whole_dataset(tmp_path: Path):
    archive = large_archive(tmp_path / "large.zip")
    processes = [start_build(archive, tmp_path / "data") for _ in range(3)]
    errors = [p.communicate(timeout=900)[1].decode() for p in processes]
    assert [p.returncode for p in processes] == [0, 0, 0], errors
    assert tfds_coronahack.prepared_dir(tmp_path / "data") is not None
    assert len(read(tmp_path / "data")) == 250
    assert list((tmp_path / "data" / "coronahack").glob("incomplete.*")) == []


def test_import_and_build_need_no_tensorflow(make_zip, tmp_path: Path):
    code = f"""
import sys
import tfds_coronahack, tensorflow_datasets as tfds
tfds_coronahack.prepare({str(make_zip())!r}, {str(tmp_path / "d")!r}, progress=False)
source = tfds.data_source("coronahack", split="test", data_dir={str(tmp_path / "d")!r})
print(len(source), source[0]["image"].shape, "tensorflow" in sys.modules)
"""
    folder = Path(tfds_coronahack.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert run.stdout == "2 (96, 96, 1) False\n"


def test_dummy_data_are_what_their_script_describes():
    import make_dummy_data

    missing = {row[0] for row in make_dummy_data.ROWS if row[3] == "missing"}
    expected = {row[0] for row in make_dummy_data.ROWS} - missing
    expected.add(Path(make_dummy_data.FILE_WITHOUT_ROW).name)
    images = {p.name for p in DUMMY_DATA.rglob("*") if p.suffix in (".jpeg", ".png")}
    assert images == expected
    assert sum(p.stat().st_size for p in DUMMY_DATA.rglob("*") if p.is_file()) < 100_000


def test_folder_is_read_as_the_zip(make_folder, tmp_path: Path):
    write_folder(tmp_path / "unpacked", {"notes.txt": b"hello"})
    prepared = tfds_coronahack.prepare(make_folder(), tmp_path / "data", progress=False)
    assert tfds_coronahack.read_report(prepared)["files_without_row"] == ["notes.txt"]
