"""`python -m benchmarks.accelerator`: its dry run, and what it leaves when something goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.accelerator import __main__ as command
from benchmarks.accelerator import checks, expected, pack, parts, table, target, trace
from benchmarks.accelerator.parts import Part, Settings

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "benchmarks.accelerator"]
# As a user's: one device, XLA's defaults.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_the_dry_run_writes_every_part_of_the_table(tmp_path):
    done = subprocess.run(
        [*COMMAND, "--dry-run", f"--out={tmp_path}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    rows = rows_of(tmp_path)
    failed = [row for row in rows if "failed" in row]
    assert done.returncode == 0 and not failed, (failed, done.stderr[-2000:])
    assert {row["part"] for row in rows} == {part.name for part in parts.PARTS}
    page = (tmp_path / "table.md").read_text()
    assert page == done.stdout.removesuffix("\n")
    assert all(f"### {part.name}: {part.about}" in page for part in parts.PARTS)
    assert "passed, 0 failed" in page and "| cnn, 16 px | bfloat16 |" in page
    assert "### Not as computed in docs/scaling.md\n\n- " in page


def test_a_session_that_is_killed_leaves_the_rows_so_far(tmp_path):
    only = "--only=devices,choices"
    process = subprocess.Popen(
        [*COMMAND, "--dry-run", only, f"--out={tmp_path}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not (tmp_path / "table.md").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert rows_of(tmp_path)[0]["part"] == "devices"
    assert "devices: " in (tmp_path / "table.md").read_text()


def breaking(settings: Settings, emit: parts.Emit) -> None:
    emit({"name": "first", "value": 1.0})
    raise ValueError("broken here")


def dying(settings: Settings, emit: parts.Emit) -> None:
    emit({"name": "second"})
    signal.raise_signal(signal.SIGKILL)


def waiting(settings: Settings, emit: parts.Emit) -> None:
    emit({"name": "third"})
    # Something of its own that holds the pipe open, as a compiler's processes would.
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])


def test_parts_that_fail_die_or_take_too_long_are_rows_and_the_rest_goes_on(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    here = [Part(f.__name__, f"test_accelerator:{f.__name__}", 1.0, "about") for f in FAILING]
    monkeypatch.setattr(command, "PARTS", here)
    monkeypatch.setattr(table, "PARTS", here)
    assert command.main([f"--out={tmp_path}", "--minutes=0.4", "--dry-run"]) == 1
    found = [(row["part"], row["name"], row.get("failed", "")) for row in rows_of(tmp_path)]
    assert [row[:2] for row in found] == [
        *(("breaking", "first"), ("breaking", "breaking")),
        *(("dying", "second"), ("dying", "dying")),
        *(("waiting", "third"), ("waiting", "waiting")),
    ]
    assert found[1][2] == "ValueError: broken here (breaking.log)"
    assert found[3][2] == "exit status -9"
    assert found[5][2].startswith("stopped after ")
    page = (tmp_path / "table.md").read_text()
    assert "| breaking |  | ValueError: broken here (breaking.log) |" in page


FAILING = (breaking, dying, waiting)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=step"], "no part is called 'step', did you mean steps"),
        (["--minutes=0"], "--minutes=0.0: more than 0"),
        (["--archive=missing.zip"], "missing.zip: there is no such file or folder"),
        (["--out={folder}/old"], "results.jsonl is there; give another --out"),
        (["--out={folder}/file"], "is no folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(arguments, message, tmp_path, capsys):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.jsonl").write_text("")
    (tmp_path / "file").write_text("")
    assert command.main([text.format(folder=tmp_path) for text in arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") == 1 and not shown.out


def test_what_a_part_leaves_goes_to_those_behind_it():
    several = [Part(name, "", share, "") for name, share in (("a", 0.5), ("b", 0.3), ("c", 0.2))]
    assert command.share(several, 100) == pytest.approx(50)
    assert command.share(several[1:], 90) == pytest.approx(54)
    assert command.share(several[2:], -5) == 0


def made_plane(name: str, **lines: list[tuple[str, float, float]]) -> SimpleNamespace:
    """A plane as JAX's profiler gives it; events are (name, start, end) in seconds."""
    return SimpleNamespace(
        name=name,
        lines=[
            SimpleNamespace(
                name=line.replace("_", " "),
                events=[
                    SimpleNamespace(name=what, start_ns=1e9 * a, duration_ns=1e9 * (b - a))
                    for what, a, b in events
                ],
            )
            for line, events in lines.items()
        ],
    )


def test_the_idle_share_of_a_gpu_counts_its_kernels_once_and_no_copies():
    gpu = made_plane(
        "/device:GPU:0",
        Stream_1=[("conv", 0, 2), ("add", 1, 3), ("Memcpy HtoD", 3, 8)],
        Stream_2=[("conv", 2, 4), ("gemm", 9, 10)],
        Steps=[("1", 0, 10)],
    )
    host = made_plane("/host:CPU", tf_XLA=[("work", 0, 10)])
    assert trace.times_of([host, gpu], False) == trace.Times(10, 5)
    assert trace.times_of([host, gpu], False).idle == pytest.approx(0.5)


def test_the_idle_share_of_a_tpu_is_that_of_its_operations():
    tpu = made_plane(
        "/device:TPU:0", XLA_Modules=[("jit", 0, 8)], XLA_Ops=[("a", 0, 2), ("b", 6, 8)]
    )
    assert trace.times_of([tpu, made_plane("/device:TPU:1")], False).idle == pytest.approx(0.5)
    work = [("work", 0, 10)]  # a host's is not the device's
    with pytest.raises(ValueError, match="no operation of a device"):
        trace.times_of([made_plane("/device:TPU:0"), made_plane("/host:CPU", tf_XLA=work)], False)


def test_the_idle_share_of_a_real_trace_is_that_of_its_pauses():
    import jax
    import jax.numpy as jnp

    product = jax.jit(lambda x: x @ x)
    x = jnp.ones((600, 600))
    product(x).block_until_ready()

    def work(begin, end) -> None:
        product(x).block_until_ready()  # before the time begins
        time.sleep(1)
        begin()
        for _ in range(5):
            product(x).block_until_ready()
            time.sleep(0.2)
        end()

    began = time.perf_counter()
    times = trace.traced(work)
    assert 0.8 < times.span < time.perf_counter() - began - 1
    assert times.span - times.busy > 0.75


def session(kind: str, milliseconds: float, idle: float) -> list[dict]:
    counted = {"flops": 24e9, "outputs": 11.1e6, "parameters": 1, "norms": 1, "pixels": 1}
    return [
        {"part": "devices", "name": kind, "devices": 1},
        {"part": "devices", "name": "matrix product bfloat16, precision default", "TFLOP/s": 600.0},
        {"part": "devices", "name": "memory, read and written", "GB/s": 3300.0},
        {
            "part": "steps",
            "name": "resnet50, 224 px",
            "dtype": "bfloat16",
            "batch": 64,
            "devices": 1,
            "TFLOP/s": 150.0,
            "ms a step": milliseconds,
            "_counted": counted,
        },
        {"part": "input", "name": "cnn", "idle": idle},
    ]


def test_what_differs_from_the_computed_is_one_line_each():
    # Computed for an H100 in docs/scaling.md: 5.17 ms for a batch of 64.
    lines = list(expected.lines(session("NVIDIA H100 80GB HBM3 (gpu)", 10.0, 0.2)))
    assert lines[0] == "matrix products in bfloat16: 600 TFLOP/s, 61% of the data sheet's 989."
    assert lines[1].startswith(
        "resnet50, 224 px, batch 64: 10 ms a step, computed 5.18 (1.93 times)"
    )
    assert "computes nothing for 20% of an epoch" in lines[2] and len(lines) == 3
    within = list(expected.lines(session("NVIDIA H100 80GB HBM3 (gpu)", 5.5, 0.01)))
    assert len(within) == 1
    unknown = list(expected.lines(session("Card (gpu)", 20.0, 0.01)))
    assert "not known here" in unknown[0] and len(unknown) == 2


def test_the_table_has_the_share_of_the_measured_matrix_speed():
    page = table.page(session("NVIDIA H100 80GB HBM3 (gpu)", 10.0, 0.2))
    assert page.startswith("## NVIDIA H100 80GB HBM3 (gpu), 2")
    assert "| resnet50, 224 px | bfloat16 | 64 | 1 | 150 | 25% | 10.0 |" in page
    assert "_counted" not in page


def test_a_run_that_ends_below_the_target_says_what_it_reached(tmp_path):
    rows = [{"split": "train", "loss": 1.0}, {"split": "validation", "auroc": 0.9}]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"split": "vali')
    ended = SimpleNamespace(poll=lambda: 0, returncode=0)
    assert target.follow(ended, path, 0.97, time.monotonic())[0] == 0.9
    path.write_text("")
    with pytest.raises(ValueError, match="before its first figure"):
        target.follow(ended, path, 0.97, time.monotonic())


def test_a_failed_test_is_a_row_with_its_reason():
    rows: list[dict] = []
    plugin = checks.Rows(rows.append)
    crash = SimpleNamespace(reprcrash=SimpleNamespace(message="assert 1 == 2"))
    report = dict(nodeid="tests/accelerator/test_a.py::test_b", duration=1.5)
    plugin.pytest_runtest_logreport(
        SimpleNamespace(when="setup", outcome="passed", longrepr=None, **report)
    )
    plugin.pytest_runtest_logreport(
        SimpleNamespace(when="call", outcome="failed", longrepr=crash, **report)
    )
    assert rows == [
        {"name": "test_a.py::test_b", "test": "failed", "s": 1.5, "failed": "assert 1 == 2"}
    ]


def test_what_is_there_is_not_packed_and_neither_is_what_it_needs():
    packages = {
        "jax": {"requires_dist": ["jaxlib<=1", "opt_einsum", "plugin>1; extra == 'cuda'"]},
        "jaxlib": {"requires_dist": ["numpy>=2"]},
        "opt-einsum": {},
        "numpy": {},
        "plugin": {},
        "grain": {"requires_dist": ["numpy"]},
    }
    assert pack.reachable({"jax", "torch"}, packages) == {"jax", "jaxlib", "opt-einsum", "numpy"}
    text = "JAX==0.11.2\ntorch==2.11.0+cu130\nopt_einsum==3.4\n-e git+x#egg=y\nz @ file:///z\n"
    assert pack.read_versions(text) == {
        "jax": "0.11.2",
        "torch": "2.11.0+cu130",
        "opt-einsum": "3.4",
    }
    assert any(line.startswith("jax>=") for line in pack.requirements())
    assert any(line.startswith("pytest>=") for line in pack.requirements())
