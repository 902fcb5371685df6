import subprocess
import sys
from pathlib import Path

import pytest

from tfds_coronahack import Coronahack
from tfds_coronahack.__main__ import main

VERSION = str(Coronahack.VERSION)


def test_builds_prints_the_report_and_says_where(make_zip, tmp_path: Path, capsys):
    arguments = [f"--archive={make_zip()}", f"--data_dir={tmp_path / 'data'}"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert f"prepared in {tmp_path / 'data' / 'coronahack' / VERSION}" in first
    assert main(arguments) == 0
    second = capsys.readouterr().out
    assert "already prepared in" in second
    table = first[first.index("CoronaHack from") : first.index("\n\nprepared in")]
    assert table in second


def test_data_dir_comes_from_the_environment(make_zip, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "from_environment"))
    assert main([f"--archive={make_zip()}"]) == 0
    assert (tmp_path / "from_environment" / "coronahack" / VERSION).is_dir()


def test_wrong_archive_gives_a_short_error_and_status_2(tmp_path: Path, capsys):
    status = main([f"--archive={tmp_path / 'none.zip'}", f"--data_dir={tmp_path / 'data'}"])
    assert status == 2
    error = capsys.readouterr().err
    assert error.startswith("error: No archive at")
    assert len(error.strip().splitlines()) <= 4
    assert not (tmp_path / "data").exists()


def test_archive_or_download_must_be_given(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "--archive" in capsys.readouterr().err


def test_help_is_printed_as_a_command():
    run = subprocess.run(
        [sys.executable, "-m", "tfds_coronahack", "--help"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    for flag in ("--archive", "--download", "--data_dir"):
        assert flag in run.stdout


def test_an_empty_archive_is_no_wish_to_download(tmp_path: Path, capsys):
    assert main(["--archive=", f"--data_dir={tmp_path}"]) == 2
    assert "--archive is empty" in capsys.readouterr().err
