"""TFDS's own tests of a builder, and its own command; both need the extra `tfds-cli`.

    pip install ".[tfds-cli]" pytest
    python -m pytest tests/tfds_coronahack/test_tfds_harness.py

Apache Beam on this machine (DirectRunner) is tested here too, with both commands.

Skipped where TensorFlow, or the packages that the command imports, are missing.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from coronahack_archives import ROOT, ROWS, archive_files, encode, picture, write_zip

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("needs TensorFlow (the extra tfds-cli)", allow_module_level=True)

import tensorflow_datasets as tfds  # noqa: E402

import tfds_coronahack  # noqa: E402

PACKAGE = Path(tfds_coronahack.__file__).parent
TFDS_COMMAND = shutil.which("tfds", path=str(Path(sys.executable).parent))


class CoronahackTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's harness on `dummy_data`; it reads through tf.data, hence tfrecord."""

    DATASET_CLASS = tfds_coronahack.Coronahack
    SPLITS = {"train": 11, "test": 3}

    def _make_builder(self, config=None):
        return self.dataset_class(
            data_dir=self.tmp_dir, config=config, version=self.VERSION, file_format="tfrecord"
        )


def test_tfds_load_reads_what_was_built_as_tfrecord(tmp_path: Path):
    archive = write_zip(tmp_path / "archive.zip", archive_files())
    builder = tfds_coronahack.Coronahack(
        data_dir=tmp_path / "data", archive=archive, file_format="tfrecord", progress=False
    )
    builder.download_and_prepare()
    loaded = tfds.load("coronahack", split="train+test", data_dir=tmp_path / "data")
    by_name = {e["image/name"].decode(): e for e in tfds.as_numpy(loaded)}
    tfds_coronahack.prepare(archive, tmp_path / "array_record", progress=False)
    source = tfds.data_source("coronahack", split="train+test", data_dir=tmp_path / "array_record")
    assert len(by_name) == len(source) == 7
    for example in source:
        other = by_name[example["image/name"].decode()]
        assert (example["image"] == other["image"]).all()
        assert all(example[key] == other[key] for key in example if key != "image")


@pytest.mark.skipif(TFDS_COMMAND is None, reason="needs the tfds command")
@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_tfds_build_writes_the_same_bytes_as_our_command(tmp_path: Path, kind: str):
    manual = tmp_path / "manual"
    manual.mkdir()
    if kind == "zip":
        archive = write_zip(manual / "coronahack-chest-xraydataset.zip", archive_files())
    else:
        archive = manual / "dummy_data"
        shutil.copytree(PACKAGE / "dummy_data", archive)
    stock = [TFDS_COMMAND, "build", f"--manual_dir={manual}", f"--data_dir={tmp_path / 'stock'}"]
    subprocess.run(stock, cwd=PACKAGE, check=True, capture_output=True, timeout=900)
    ours = [sys.executable, "-m", "tfds_coronahack", f"--archive={archive}"]
    ours += [f"--data_dir={tmp_path / 'ours'}"]
    subprocess.run(ours, cwd=PACKAGE.parent, check=True, capture_output=True, timeout=900)

    files = {
        side: {
            p.relative_to(tmp_path / side): p.read_bytes()
            for p in (tmp_path / side).rglob("*")
            if p.is_file()
        }
        for side in ("stock", "ours")
    }
    assert sum("array_record-" in p.name for p in files["ours"]) == 2
    assert files["stock"] == files["ours"]


def built(folder: Path) -> dict[str, bytes]:
    """The records and the report of a data folder, by the file's name."""
    wanted = (path for path in folder.rglob("*") if path.is_file())
    return {
        p.name: p.read_bytes() for p in wanted if "array_record-" in p.name or "report" in p.name
    }


@pytest.mark.parametrize("runner", ["DirectRunner", "BundleBasedDirectRunner"])
def test_beam_writes_the_same_bytes_as_one_process(tmp_path: Path, monkeypatch, runner: str):
    """The runner's workers are threads of this process."""
    beam = pytest.importorskip("apache_beam")
    pipelines, run = [], beam.Pipeline.run
    monkeypatch.setattr(
        beam.Pipeline, "run", lambda self, *a, **k: pipelines.append(self) or run(self, *a, **k)
    )
    one = write_zip(tmp_path / "one.zip", archive_files())
    changes = {f"{ROOT}/{row[2].lower()}/{row[0]}": encode(picture(50)) for row in ROWS[:1]}
    other = write_zip(tmp_path / "other.zip", archive_files(changes=changes))
    archives = f"a={one},b={other}"
    tfds_coronahack.prepare(archives, tmp_path / "plain", progress=False)
    assert not pipelines
    options = [f"--runner={runner}"]
    tfds_coronahack.prepare(archives, tmp_path / "beam", progress=False, beam_options=options)
    assert pipelines  # a runner may run parts of one as others
    assert built(tmp_path / "beam") == built(tmp_path / "plain")
    assert len(built(tmp_path / "beam")) == 3


@pytest.mark.skipif(TFDS_COMMAND is None, reason="needs the tfds command")
def test_tfds_build_on_beam_with_two_processes_writes_the_same_bytes(tmp_path: Path):
    """Workers that share no memory with us: what they are sent must be enough."""
    pytest.importorskip("apache_beam")
    manual = tmp_path / "manual"
    manual.mkdir()
    archive = write_zip(manual / "coronahack-chest-xraydataset.zip", archive_files())
    options = "runner=DirectRunner,direct_running_mode=multi_processing,direct_num_workers=2"
    stock = [TFDS_COMMAND, "build", f"--manual_dir={manual}", f"--data_dir={tmp_path / 'beam'}"]
    stock += [f"--beam_pipeline_options={options}"]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        stock, cwd=PACKAGE, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    tfds_coronahack.prepare(archive, tmp_path / "plain", progress=False)
    assert built(tmp_path / "beam") == built(tmp_path / "plain")
