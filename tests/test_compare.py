"""The command that compares two runs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from simulated import predicted, write_run

from covidjax import compare
from covidjax.evidence.metrics import FIGURES


def run(capsys, *arguments):
    status = compare.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_paired_runs_are_matched_by_name_whatever_their_order(tmp_path, capsys):
    a, b = predicted(120, folds=2), predicted(120, folds=2, seed=1, skill=0.3)
    order = np.random.default_rng(0).permutation(120)
    one, other = write_run(tmp_path / "a", a), write_run(tmp_path / "b", b.at(order))
    straight = write_run(tmp_path / "c", b)
    status, out, _ = run(capsys, one, other, "--json")
    found = json.loads(out)
    assert status == 0 and found["paired"]
    assert found["images"] == {"shared": 120, "only_a": 0, "only_b": 0}
    assert set(found["figures"]) == set(FIGURES)
    assert found["figures"]["auroc"]["difference"]["ci95"][0] > 0 > -found["delong"]["p"]
    again = json.loads(run(capsys, one, straight, "--json")[1])
    assert again["figures"] == found["figures"] and again["mcnemar"] == found["mcnemar"]


def test_swapping_the_runs_changes_the_sign(tmp_path, capsys):
    one = write_run(tmp_path / "a", predicted(80))
    other = write_run(tmp_path / "b", predicted(80, seed=1))
    ab, ba = (json.loads(run(capsys, *pair, "--json")[1]) for pair in ((one, other), (other, one)))
    for name in set(FIGURES) - {"ece"}:
        low, high = ab["figures"][name]["difference"]["ci95"]
        assert ba["figures"][name]["difference"]["ci95"] == pytest.approx([-high, -low])
    assert ab["mcnemar"]["p"] == ba["mcnemar"]["p"]


def test_the_table_says_which_interval_is_for_grouped_images(tmp_path, capsys):
    one = write_run(tmp_path / "a", predicted(80))
    other = write_run(tmp_path / "b", predicted(80, seed=1))
    status, out, _ = run(capsys, one, other, f"--out={tmp_path / 'out'}")
    assert status == 0 and "paired on 80 images (0 only in A, 0 only in B)" in out
    assert "these are the ones for grouped images" in out
    assert out.count("takes images as independent") == 2 and "PHANTOM" not in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "comparison.json",
        "comparison.png",
    }


def test_partly_shared_images_are_counted(tmp_path, capsys):
    made = predicted(100)
    one = write_run(tmp_path / "a", made.at(np.arange(80)))
    other = write_run(tmp_path / "b", made.at(np.arange(30, 100)))
    found = json.loads(run(capsys, one, other, "--json")[1])
    assert found["images"] == {"shared": 50, "only_a": 30, "only_b": 20}
    assert found["figures"]["accuracy"]["difference"]["value"] == 0


def test_official_against_cross_validation_is_an_unpaired_shift(tmp_path, capsys):
    one = write_run(tmp_path / "a", predicted(60, skill=0.5), "test")
    other = write_run(tmp_path / "b", predicted(120, folds=3, seed=1, skill=3))
    status, out, _ = run(capsys, one, other)
    assert status == 0 and "the shift between two test sets, unpaired" in out
    assert "DeLong" not in out and "McNemar" not in out
    found = json.loads(run(capsys, one, other, "--json")[1])
    assert not found["paired"] and "delong" not in found
    assert found["figures"]["auroc"]["difference"]["ci95"][1] < 0


def test_phantom_runs_are_marked(tmp_path, capsys):
    fields = {"data": "phantom", "warning": "PHANTOM: synthetic images"}
    runs = [write_run(tmp_path / name, predicted(40), **fields) for name in "ab"]
    status, out, _ = run(capsys, *runs, f"--out={tmp_path / 'out'}")
    assert status == 0 and out.startswith("PHANTOM")
    assert "PHANTOM" in (tmp_path / "out" / "comparison.json").read_text()


def test_three_classes_are_compared_without_delong(tmp_path, capsys):
    runs = [write_run(tmp_path / str(seed), predicted(90, 3, seed=seed)) for seed in (0, 1)]
    status, out, _ = run(capsys, *runs)
    assert status == 0 and "DeLong" not in out and "McNemar" in out


def test_an_undefined_figure_is_said_so(tmp_path, capsys):
    made = predicted(40)
    runs = [write_run(tmp_path / name, made.at(made.labels == 1)) for name in "ab"]
    status, out, _ = run(capsys, *runs)
    assert status == 0
    assert next(line for line in out.splitlines() if line.startswith("auroc")).endswith("undefined")
    found = json.loads(run(capsys, *runs, "--json")[1])
    assert found["figures"]["auroc"]["a"]["value"] is None


def test_what_cannot_be_compared_is_one_line_and_status_2(tmp_path, capsys):
    made = predicted(40)
    one = write_run(tmp_path / "a", made)
    task = write_run(tmp_path / "task", made, task="covid")
    data = write_run(tmp_path / "data", made, data="phantom")
    labels = write_run(tmp_path / "labels", made._replace(labels=1 - made.labels))
    names = write_run(
        tmp_path / "names", made._replace(names=np.array([f"{i}.png" for i in range(40)]))
    )
    for other, message in (
        (task, "differ in task"),
        (data, "differ in data"),
        (labels, "40 shared images different labels"),
        (names, "no image was tested in both"),
        (tmp_path / "nowhere", "nowhere holds no run"),
    ):
        status, out, err = run(capsys, one, other)
        assert status == 2 and out == ""
        assert err.startswith("compare: ") and err.count("\n") == 1
        with pytest.raises((ValueError, OSError), match=message):
            compare.compare(compare.read_run(one), compare.read_run(other))


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    made = predicted(40)
    runs = [str(write_run(tmp_path / name, made)) for name in "ab"]
    command = [sys.executable, "-m", "covidjax.compare", *runs, "--json"]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()  # as `| head` does when it has seen enough
        errors = process.stderr.read().decode()
    assert (process.returncode, errors) == (0, "")
