"""The pixel cache: right pixels in the right rows, whatever happens while it is made."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfds_coronahack
from covidjax import locking
from covidjax.data import cache, preprocess, table
from tfds_coronahack import decoding

OPTIONS = (32, "none", "squash")


def load(prepared: Path, size: int = 32, equalize: str = "none", resize: str = "squash"):
    fingerprint = tfds_coronahack.read_report(prepared)["fingerprint"]
    return cache.load_cache(prepared, fingerprint, size, equalize, resize, progress=False)


def files(suffix: str) -> list[Path]:
    """Files of the pixel cache, hidden ones too."""
    return sorted(Path(os.environ["COVIDJAX_CACHE"]).joinpath("pixels").rglob(f"*{suffix}"))


# Another process that loads the cache, slowed down so that it can be met half-way.
SLOW = """
import sys, time, zlib, resource
from pathlib import Path
import tfds_coronahack
from covidjax import locking
from covidjax.data import cache, preprocess, table
real = preprocess.prepare_image
def slow(*arguments):
    time.sleep(float(sys.argv[2]))
    return real(*arguments)
preprocess.prepare_image = slow
prepared = Path(sys.argv[1])
table.read_table(prepared)
limit = int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
fingerprint = tfds_coronahack.read_report(prepared)["fingerprint"]
print("ready", flush=True)
sys.stdin.readline()
try:
    images = cache.load_cache(prepared, fingerprint, 32, "none", "squash", progress=False)
except cache.CacheError as error:
    sys.exit(str(error))
print(zlib.crc32(images))
"""


def start_slow(prepared: Path, *, seconds: float = 0.0, limit: int = 0) -> subprocess.Popen:
    command = [sys.executable, "-c", SLOW, str(prepared), str(seconds), str(limit)]
    root = Path(cache.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    )


def go(*processes: subprocess.Popen) -> None:
    """Waits until all are ready, then starts them at the same time."""
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("options", [OPTIONS, (48, "histogram", "pad"), (28, "clahe", "squash")])
def test_each_row_holds_the_image_that_the_table_names(prepared, options):
    images = load(prepared, *options)
    examples = table.read_table(prepared)
    assert images.shape == (len(examples), options[0], options[0]) and images.dtype == np.uint8
    assert isinstance(images, np.memmap) and not images.flags.writeable
    seen = 0
    for chunk in table.read_examples(prepared):
        for example in chunk:
            assert example["image/name"].decode() == examples["image"][seen]
            gray = decoding.decode_gray(example["image"])
            expected = preprocess.prepare_image(gray, *options)
            # Decoded at reduced scale, so not the same to the bit.
            assert np.abs(images[seen].astype(int) - expected).mean() < 8
            if options[1] == "none":
                assert np.abs(images[seen].astype(int) - expected).mean() < 1.5
            seen += 1
    assert seen == len(images)


def test_it_is_made_once(prepared):
    load(prepared)
    (path,) = files(".npy")
    before = path.stat()
    load(prepared)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_every_option_has_its_own_file(prepared):
    for options in [OPTIONS, (33, "none", "squash"), (32, "clahe", "squash"), (32, "none", "pad")]:
        load(prepared, *options)
    assert len(files(".npy")) == 4
    # What the same options give for another dataset is another file too.
    cache.load_cache(prepared, "f" * 64, *OPTIONS, progress=False)
    assert len(files(".npy")) == 5


def damage_truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def damage_pixels(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-5000, os.SEEK_END)
        file.write(bytes(200))


def damage_header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"'|u1'", b"'|i1'", 1))


def damage_record(path: Path) -> None:
    path.with_suffix(".json").write_text("{")


def damage_record_type(path: Path) -> None:
    path.with_suffix(".json").write_text("[]")


def damage_no_record(path: Path) -> None:
    path.with_suffix(".json").unlink()


def damage_no_pixels(path: Path) -> None:
    path.unlink()


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(record | {"bytes": 0}))


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate,
        damage_pixels,
        damage_header,
        damage_record,
        damage_record_type,
        damage_no_record,
        damage_no_pixels,
        damage_empty,
    ],
)
def test_a_damaged_cache_is_made_again(prepared, damage):
    sound = np.array(load(prepared))
    (path,) = files(".npy")
    damage(path)
    np.testing.assert_array_equal(load(prepared), sound)
    (path,) = files(".npy")
    np.testing.assert_array_equal(np.load(path), sound)


def test_kill_9_in_the_middle_leaves_nothing_that_looks_complete(prepared):
    process = start_slow(prepared, seconds=0.02)
    go(process)
    wait_for(lambda: any(path.stat().st_size > 30_000 for path in files(".tmp")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(files(".tmp")) == 1 and not files(".npy") and not files(".json")
    resumed = np.array(load(prepared))
    assert not files(".tmp") and len(files(".npy")) == 1
    files(".npy")[0].unlink()
    np.testing.assert_array_equal(load(prepared), resumed)


def test_of_two_processes_one_makes_it_and_the_other_waits(prepared):
    processes = [start_slow(prepared, seconds=0.03) for _ in range(2)]
    go(*processes)
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert results[0][0] == results[1][0]
    assert sum("Waiting for another process" in errors for _, errors in results) == 1
    assert len(files(".npy")) == 1 and not files(".tmp")


def test_a_temporary_file_whose_owner_lives_is_left_alone(prepared):
    process = start_slow(prepared, seconds=0.05)
    go(process)
    wait_for(lambda: bool(files(".tmp")), process)
    (mine,) = files(".tmp")
    final = mine.with_name(mine.name[1:].split(".npy")[0] + ".npy")
    locking.remove_stale(final)
    assert mine.exists() and not final.exists()
    process.communicate(timeout=60)
    assert process.returncode == 0 and not files(".tmp")


def test_a_full_disk_is_an_error_that_says_so_and_leaves_nothing(prepared):
    process = start_slow(prepared, limit=40_000)
    go(process)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot write the pixel cache" in errors and "COVIDJAX_CACHE" in errors
    assert "Traceback" not in errors
    assert not files(".tmp") and not files(".npy") and not files(".json")


def test_a_cache_folder_that_cannot_be_made_is_an_error_that_says_so(prepared, monkeypatch):
    monkeypatch.setenv("COVIDJAX_CACHE", "/dev/null/cache")
    with pytest.raises(cache.CacheError, match="COVIDJAX_CACHE"):
        load(prepared)


def test_an_image_that_cannot_be_decoded_is_named_and_nothing_is_kept(prepared, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 // 4)  # Pillow refuses twice as many
    with pytest.raises(cache.CacheError) as caught:
        load(prepared)
    name = table.read_table(prepared)["image"][0]
    assert "cannot be decoded" in str(caught.value) and name in str(caught.value)
    assert str(prepared) in str(caught.value)
    assert not files(".npy") and not files(".tmp") and not files(".json")
    monkeypatch.undo()


def test_what_nobody_foresaw_in_one_image_is_named_too(prepared, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("in a filter")

    monkeypatch.setattr(cache.preprocess, "prepare_image", broken)
    with pytest.raises(cache.CacheError, match="ZeroDivisionError: in a filter"):
        load(prepared)


def test_a_damaged_dataset_is_an_error_that_says_so(prepared, tmp_path):
    copy = Path(shutil.copytree(prepared, tmp_path / "coronahack" / prepared.name))
    load(copy)
    for path in copy.glob("*array_record*"):
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 2000] = bytes(2000)
        path.write_bytes(content)
    for path in files(".npy"):
        path.unlink()
    with pytest.raises(table.DamagedError, match="damaged"):
        load(copy)
    assert not files(".npy") and not files(".tmp")


def test_wrong_options_are_refused_before_anything_is_written(prepared):
    with pytest.raises(ValueError, match="28 to 512"):
        load(prepared, 20)
    assert not Path(os.environ["COVIDJAX_CACHE"]).exists()
