"""Where the images come from, and what is said when they come from nowhere."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tfds_coronahack
from covidjax.data import source
from covidjax.data.table import read_table

SMALL = {"images": 40, "size": 48, "seed": 3}


@pytest.fixture
def offline(monkeypatch):
    """No way out: a proxy that refuses at once."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_a_dataset_prepared_in_data_dir_is_taken(prepared):
    data_dir = prepared.parents[1]
    for kind in ("auto", "coronahack"):
        found = source.resolve(kind, str(data_dir), "", {})
        assert found.path == prepared
        assert found.report == tfds_coronahack.read_report(prepared)
        assert found.fingerprint == found.report["fingerprint"] and len(found.fingerprint) == 64


def test_a_dataset_in_tfds_own_folder_is_found(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared.parents[1]))
    assert source.resolve("auto", "", "", {}).path == prepared


def test_an_archive_is_prepared_once_below_the_cache_folder(archive):
    found = source.resolve("coronahack", "", str(archive), {})
    key = tfds_coronahack.archive_key(archive)
    assert found.path.parents[1] == source.cache_root() / "prepared" / key
    before = found.path.stat().st_mtime_ns
    assert source.resolve("auto", "", str(archive), {}) == found
    assert found.path.stat().st_mtime_ns == before


def test_an_archive_is_prepared_in_data_dir_where_that_is_given(archive, tmp_path):
    found = source.resolve("coronahack", str(tmp_path / "data"), str(archive), {})
    assert found.path.parents[1] == tmp_path / "data"
    assert not (source.cache_root() / "prepared").exists()


def test_a_phantom_given_as_an_archive_is_still_called_phantom(archive):
    assert source.resolve("coronahack", "", str(archive), {}).kind == "phantom"


def test_auto_without_data_makes_the_phantom_and_uses_it_again(offline):
    first = source.resolve("auto", "", "", SMALL)
    assert first.kind == "phantom" and first.report["phantom"]["images"] == 40
    started = time.perf_counter()
    again = source.resolve("phantom", "", "", SMALL)
    assert again == first and time.perf_counter() - started < 0.5


def test_every_set_of_parameters_is_another_phantom():
    first = source.resolve("phantom", "", "", SMALL)
    lettered = source.resolve("phantom", "", "", {**SMALL, "shortcuts": ["letter", "border"]})
    assert first.path != lettered.path and first.fingerprint != lettered.fingerprint
    turned = source.resolve("phantom", "", "", {**SMALL, "shortcuts": ("border", "letter")})
    assert turned.path == lettered.path


def test_two_processes_that_want_the_same_phantom_get_the_same():
    code = (
        "from covidjax.data import source\n"
        f"print('found', source.resolve('phantom', '', '', {SMALL!r}).fingerprint)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(source.__file__).parents[2])}
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, env=environment
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    found = [output.split("found")[1] for output, _ in results]
    assert found[0] == found[1]


def test_no_data_and_no_network_is_a_quick_error_that_says_what_to_do(offline):
    started = time.perf_counter()
    with pytest.raises(source.SourceError) as caught:
        source.resolve("coronahack", "", "", {})
    assert time.perf_counter() - started < 15
    text = str(caught.value)
    for words in (
        source.KAGGLE_PAGE,
        "--config.data.archive=",
        "--config.data.data_dir=",
        "KAGGLE_API_TOKEN",
        "kaggle.json",
        os.environ["TFDS_DATA_DIR"],
    ):
        assert words in text
    assert text.count("\n") < 14


def test_what_is_prepared_in_data_dir_serves_without_its_archive(prepared):
    found = source.resolve("auto", str(prepared.parents[1]), "/moved/away.zip", {})
    assert found.path == prepared


@pytest.mark.parametrize("kind", ["phantom", "auto"])
def test_a_cache_folder_that_cannot_be_written_is_an_error_that_names_it(monkeypatch, kind):
    monkeypatch.setenv("COVIDJAX_CACHE", "/dev/null/cache")
    with pytest.raises(source.SourceError, match="COVIDJAX_CACHE"):
        source.resolve(kind, "", "", SMALL)


def test_an_archive_that_is_not_there_is_an_error_even_for_auto(tmp_path):
    with pytest.raises(source.SourceError, match="missing.zip"):
        source.resolve("auto", "", str(tmp_path / "missing.zip"), {})
    assert not source.cache_root().exists()


def test_an_archive_of_something_else_is_an_error_even_for_auto(tmp_path):
    (tmp_path / "other.zip").write_bytes(b"no zip at all")
    with pytest.raises(tfds_coronahack.ArchiveError):
        source.resolve("auto", "", str(tmp_path / "other.zip"), {})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("kaggle", "", "", {}), "auto, coronahack, phantom"),
        (("phantom", "", "some.zip", {}), "some.zip"),
        (("phantom", "", "", {"imagse": 3}), "imagse"),
        (("phantom", "", "", {"shortcuts": ["lettr"]}), "lettr"),
    ],
)
def test_wrong_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        source.resolve(*arguments)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("COVIDJAX_CACHE", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert source.cache_root() == tmp_path / "a"
    monkeypatch.delenv("COVIDJAX_CACHE")
    assert source.cache_root() == tmp_path / "b" / "covidjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert source.cache_root() == tmp_path / "c" / ".cache" / "covidjax"


def test_the_banner_cannot_be_taken_for_a_result():
    banner = source.phantom_banner()
    lines = banner.split("\n")
    assert len({len(line) for line in lines}) == 1 and len(lines[0]) <= 100
    for words in ("PHANTOM", "NOTHING", "patients", "--config.data.archive=", source.KAGGLE_PAGE):
        assert words in banner


def test_what_an_older_builder_prepared_is_not_passed_over_for_the_phantom(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    old = tmp_path / "data" / "coronahack" / "1.0.0"
    old.mkdir(parents=True)
    (old / "build_report.json").write_text("{}")
    for data_dir in ("", str(tmp_path / "data")):
        with pytest.raises(source.SourceError, match="another version of the builder"):
            source.resolve("auto", data_dir, "", SMALL)


def test_our_own_cache_is_built_anew_and_the_old_one_goes(archive):
    found = source.resolve("coronahack", "", str(archive), {})
    old = found.path.rename(found.path.with_name("1.0.0"))
    again = source.resolve("coronahack", "", str(archive), {})
    assert again == found and not old.exists()


def test_several_archives_are_one_dataset(archive):
    found = source.resolve("coronahack", "", f"a={archive},b={archive}", {})
    table = read_table(found.path)
    assert len(table) == 2 * 72 and set(table["source"]) == {"a", "b"}
    # The same pictures twice: every group is in both.
    assert (table.groupby("group")["source"].nunique() == 2).all()
    with pytest.raises(source.SourceError, match=r"data\.archive=b=/nowhere\.zip"):
        source.resolve("coronahack", "", f"a={archive},b=/nowhere.zip", {})
