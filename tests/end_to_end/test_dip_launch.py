"""`launch.py --config=configs/dip.py`: killed, resumed, finished."""

import json
import time

import pytest

SMALL = [
    "--config.model.scales=2",
    "--config.stop.window=4",
    "--config.chunk=10",
    "--config.frames=10",
    "--config.phantom.images=40",
    "--config.phantom.size=64",
    "--config.compare=median",
    "--config.tune_images=1",
    "--config.bootstrap_samples=50",
    "--config.quiet",
]


@pytest.fixture(scope="module")
def finished(start, launch, tmp_path_factory):
    """A run of two images and two members, killed when the first fit was done; what it had then."""
    folder = tmp_path_factory.mktemp("dip") / "run"
    argument = "data=phantom,images=2,members=2,size=32,width=4"
    command = [f"--config=configs/dip.py:{argument}", *SMALL, "--config.steps=400"]
    process = start(*command, f"--workdir={folder}")
    done = []
    for _ in range(3000):  # the kernels may have to be compiled first, on a busy machine
        done = sorted((folder / "images").glob("*.json"))
        if done or process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    process.communicate()
    before = {path.name: path.stat().st_mtime_ns for path in done}
    status, out, err = launch(*command, f"--workdir={folder}")
    assert status == 0, err
    return folder, before, out, err


def test_fits_that_were_done_before_the_kill_are_not_done_again(finished):
    folder, before, _, _ = finished
    assert 1 <= len(before) < 4
    for name, written in before.items():
        assert (folder / "images" / name).stat().st_mtime_ns == written
    assert len(list((folder / "images").glob("*-m?.json"))) == 4


def test_results_have_the_contracts_keys_with_intervals(finished):
    folder, _, out, err = finished
    found = json.loads((folder / "results.json").read_text())
    assert found["experiment"] == "dip" and found["data"] == "phantom" and "warning" in found
    figures = found["splits"]["test"]
    for method in ("dip", "input", "median"):
        figure = figures[f"{method}/gaussian/25/psnr"]
        assert figure["n"] == 2 and len(figure["ci95"]) == 2
    assert (
        figures["dip/gaussian/25/oracle_psnr"]["value"] >= figures["dip/gaussian/25/psnr"]["value"]
    )
    assert found["stop"]["fits"] == 4 and found["stop"]["gap_db"]["mean"] >= 0
    assert "dip_ensemble/gaussian/25/psnr" in figures
    assert "PHANTOM" in out and "PHANTOM" in err


def test_figures_and_files_are_there_and_marked(finished):
    folder = finished[0]
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"curves.png", "pictures.png", "spread.png"} <= names
    assert sum(name.endswith(".gif") for name in names) == 2
    assert (folder / "images.csv").read_text().count("PHANTOM") == 4
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert all(json.loads(line)["data"] == "PHANTOM" for line in lines)


def test_a_finished_run_is_not_run_again(finished, launch):
    folder = finished[0]
    argument = "data=phantom,images=2,members=2,size=32,width=4"
    command = [f"--config=configs/dip.py:{argument}", *SMALL, "--config.steps=400"]
    status, out, _ = launch(*command, f"--workdir={folder}")
    assert status == 0 and "is finished" in out
