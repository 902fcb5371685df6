"""Several archives in one dataset: names and groups stay apart, copies of one picture do not."""

import hashlib
import importlib.util
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from coronahack_archives import ROOT, ROWS, archive_files, encode, picture, write_zip

import tfds_coronahack
from tfds_coronahack.__main__ import main
from tfds_coronahack.archive import ArchiveError, open_archive
from tfds_coronahack.groups import person_number_facts
from tfds_coronahack.sources import ONLY, parse_sources, sources_key


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two with equal file names; the other's first row is the same picture as the one's third."""
    folder = tmp_path_factory.mktemp("archives")
    one = write_zip(folder / "one.zip", archive_files())
    changes = {
        f"{ROOT}/{row[2].lower()}/{row[0]}": encode(picture(100 + i)) for i, row in enumerate(ROWS)
    }
    changes[f"{ROOT}/train/{ROWS[0][0]}"] = encode(picture(2))
    changes[f"{ROOT}/train/{ROWS[1][0]}"] = encode(picture(5), quality=60)  # as one's sixth
    return one, write_zip(folder / "the other.zip", archive_files(changes=changes))


@pytest.fixture(scope="module")
def merged(archives: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    one, other = archives
    data_dir = tmp_path_factory.mktemp("merged")
    tfds_coronahack.prepare(f"kaggle={one},clinic={other}", data_dir, progress=False)
    return data_dir


def read(data_dir: Path) -> dict[str, dict]:
    source = tfds.data_source("coronahack", split="all", data_dir=data_dir)
    return {example["image/name"].decode(): example for example in source}


def test_equal_names_of_two_sources_are_two_images(merged: Path, archives) -> None:
    examples = read(merged)
    assert len(examples) == 2 * len(ROWS)
    for source, archive in zip(("kaggle", "clinic"), archives, strict=True):
        with open_archive(archive) as opened:
            for name, _, split, *_ in ROWS:
                example = examples[f"{source}/{name}"]
                assert example["source"].decode() == source
                entry = opened.images[split.lower(), name]
                digest = hashlib.sha256(opened.read(entry)).hexdigest()
                assert example["sha256"].decode() == digest


def test_groups_join_over_sources_by_pictures_and_never_by_names(merged: Path) -> None:
    groups = {name: example["group"].decode() for name, example in read(merged).items()}
    # person1_bacteria is in both, and in the official TEST of both: no reason to join them.
    assert groups["kaggle/person1_virus_2.jpeg"] == "kaggle/person1_virus"
    assert groups["clinic/person1_virus_2.jpeg"] == "clinic/person1_virus"
    # The same bytes, and the same picture compressed again.
    assert groups["clinic/IM-0115-0001.jpeg"] == groups["kaggle/person1_bacteria_1.jpeg"]
    assert groups["clinic/NORMAL2-IM-0115-0001.jpeg"] == groups["kaggle/person1_bacteria_3.jpeg"]
    report = tfds_coronahack.read_report(tfds_coronahack.prepared_dir(merged))
    assert report["duplicates"] == [["clinic/IM-0115-0001.jpeg", "kaggle/person1_bacteria_1.jpeg"]]
    assert len(report["near_duplicates"]) == 1 and len(report["label_conflicts"]) == 2
    assert report["sources"]["clinic"] == {"archive": "the other.zip", "rows": 7, "examples": 7}
    assert report["archive"] == "one.zip, the other.zip" and report["counts"]["rows"] == 14


def test_numbers_of_children_are_each_sources_own() -> None:
    splits = {"a/person1_virus_1.jpeg": "TRAIN", "b/person1_bacteria_2.jpeg": "TEST"}
    facts = person_number_facts(splits)
    assert facts["groups_by_number_alone"] == 2 and facts["numbers_in_both_splits"] == 0


def test_one_archive_is_as_ever_whatever_its_name(archives, tmp_path: Path) -> None:
    tfds_coronahack.prepare(archives[0], tmp_path / "plain", progress=False)
    tfds_coronahack.prepare(f"clinic={archives[0]}", tmp_path / "named", progress=False)
    plain, named = read(tmp_path / "plain"), read(tmp_path / "named")
    assert plain.keys() == named.keys() == {row[0] for row in ROWS}
    assert {example["source"].decode() for example in plain.values()} == {ONLY}
    assert {example["source"].decode() for example in named.values()} == {"clinic"}


def test_sources_are_named_by_hand_by_file_or_by_a_list(archives, tmp_path: Path) -> None:
    one, other = archives
    assert parse_sources(one) == {ONLY: one}
    assert parse_sources(f"{one},{other}") == {"one": one, "the-other": other}
    assert parse_sources(f"a={one}, b={other}") == {"a": one, "b": other}
    (tmp_path / "archives.txt").write_text(f"# of two houses\na={one}\n\nb={other}\n")
    assert parse_sources(tmp_path) == {"a": one, "b": other}
    with pytest.raises(ArchiveError, match="Two archives are called one"):
        parse_sources(f"{one},{one}")
    with pytest.raises(ArchiveError, match="No archive at"):
        parse_sources(f"{one},/nowhere.zip")


def test_a_zip_is_read_from_a_url(archives, tmp_path: Path) -> None:
    url = f"file://{archives[0]}"
    assert sources_key(parse_sources(url)) == tfds_coronahack.archive_key(archives[0])
    tfds_coronahack.prepare(url, tmp_path, progress=False)
    assert len(read(tmp_path)) == len(ROWS)


def test_the_command_takes_several(archives, tmp_path: Path, capsys) -> None:
    one, other = archives
    arguments = [f"--archive=a={one}", f"--archive=b={other}", f"--data_dir={tmp_path}"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "a: 7 of 7 rows, from one.zip" in out and "b: 7 of 7 rows, from the other.zip" in out
    # Another order or other names would be other data.
    assert main([f"--archive={one}", f"--data_dir={tmp_path}"]) == 2
    assert "was prepared from another archive" in capsys.readouterr().err


def test_what_an_older_builder_prepared_is_built_anew_beside_it(archives, tmp_path: Path) -> None:
    old = tmp_path / "coronahack" / "1.0.0"
    old.mkdir(parents=True)
    (old / "build_report.json").write_text("{}")
    assert tfds_coronahack.prepared_dir(tmp_path) is None
    assert tfds_coronahack.outdated_dirs(tmp_path) == [old]
    prepared = tfds_coronahack.prepare(archives[0], tmp_path, progress=False)
    assert prepared.name == str(tfds_coronahack.Coronahack.VERSION)
    assert (old / "build_report.json").read_text() == "{}"
    assert tfds_coronahack.Coronahack.RELEASE_NOTES.keys() >= {"1.0.0", prepared.name}


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is not None, reason="Beam is there")
def test_beam_that_is_not_installed_is_named(archives, tmp_path: Path, capsys) -> None:
    arguments = [f"--archive={archives[0]}", f"--data_dir={tmp_path}"]
    assert main([*arguments, "--beam_pipeline_options=runner=DirectRunner"]) == 2
    assert ".[tfds-cli]" in capsys.readouterr().err
