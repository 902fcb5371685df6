"""The record: lines that are appended and never rewritten, and events that TensorBoard reads."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.proto import event_pb2

from covidjax.training import hosts
from covidjax.training.record import Record, progress_bar


def lines(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def scalars(workdir: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of each event: TFRecords of event protos."""
    for file in sorted((workdir / "tensorboard").iterdir()):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in event.summary.value:
                yield value.tag, event.step, value.simple_value


def test_lines_hold_step_split_fold_and_figures(tmp_path):
    with Record(tmp_path) as log:
        log.write(3, "train", {"loss": 0.5, "accuracy": 1.0})
        log.write(4, "validation", {"auroc": 0.75}, "fold1")
    assert lines(tmp_path) == [
        {"step": 3, "split": "train", "loss": 0.5, "accuracy": 1.0},
        {"step": 4, "split": "validation", "fold": "fold1", "auroc": 0.75},
    ]


def test_a_second_run_appends(tmp_path):
    for step in (1, 2, 2):
        before = b"" if step == 1 else (tmp_path / "metrics.jsonl").read_bytes()
        with Record(tmp_path) as log:
            log.write(step, "train", {"loss": 1.0})
        assert (tmp_path / "metrics.jsonl").read_bytes().startswith(before)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 2]


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path):
    with Record(tmp_path) as log:
        log.write(1, "train", {"loss": 1.0})
        assert len(lines(tmp_path)) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_figures_that_are_not_finite_are_null(tmp_path, value):
    with Record(tmp_path) as log:
        log.write(1, "validation", {"auroc": value, "loss": 2.0})
    assert lines(tmp_path) == [{"step": 1, "split": "validation", "auroc": None, "loss": 2.0}]


def test_a_cut_last_line_spoils_no_other_line(tmp_path):
    with Record(tmp_path) as log:
        log.write(1, "train", {"loss": 1.0})
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 2, "spl')
    with Record(tmp_path) as log:
        log.write(2, "train", {"loss": 0.5})
    text = path.read_text().splitlines()
    assert text[1] == '{"step": 2, "spl'
    assert [json.loads(text[i])["step"] for i in (0, 2)] == [1, 2] and len(text) == 3


def test_a_whole_last_line_gets_no_empty_line_after_it(tmp_path):
    for _ in range(2):
        with Record(tmp_path):
            pass
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""
    with Record(tmp_path) as log:
        log.write(1, "train", {"loss": 1.0})
    with Record(tmp_path):
        pass
    assert (tmp_path / "metrics.jsonl").read_bytes().count(b"\n") == 1


def test_tensorboard_events_hold_the_same_figures(tmp_path):
    with Record(tmp_path) as log:
        log.write(3, "train", {"loss": 0.5})
        log.write(4, "validation", {"auroc": 0.75, "loss": 0.25}, "fold1")
    assert list(scalars(tmp_path)) == [
        ("train/loss", 3, 0.5),
        ("fold1/validation/auroc", 4, 0.75),
        ("fold1/validation/loss", 4, 0.25),
    ]


def test_the_record_is_closed_when_the_block_fails(tmp_path):
    with pytest.raises(KeyError), Record(tmp_path) as log:
        log.write(1, "train", {"loss": 1.0})
        raise KeyError
    assert log.file.closed
    assert len(list(scalars(tmp_path))) == 1


def test_the_progress_bar_starts_at_what_is_done_and_can_be_quiet(capsys):
    with progress_bar(100, 40, "fold2", quiet=False) as bar:
        bar.update(60)
    shown = capsys.readouterr().err
    assert "fold2" in shown and "40/100" in shown and "100/100" in shown and "images/s" in shown
    with progress_bar(100, 40, "fold2", quiet=True) as bar:
        bar.update(60)
    assert capsys.readouterr().err == ""


def test_a_process_that_is_not_the_coordinator_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "is_coordinator", lambda: False)
    with Record(tmp_path, "PHANTOM") as log:
        log.write(1, "train", {"loss": 1.0})
    assert not list(tmp_path.iterdir())


def test_events_that_cannot_be_written_end_the_run_instead_of_blocking_it(tmp_path):
    """As on a full disk: TensorBoard's thread ends, and its queue would fill."""
    with Record(tmp_path) as log:
        log.write(1, "train", {"loss": 1.0})
        log.events.file_writer.event_writer._worker.stop()
        with pytest.raises(OSError, match="TensorBoard's events cannot be written"):
            log.write(2, "train", {"loss": 1.0})
