"""The local page: what it lists and follows, and all that it does not give out."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import made_runs
import pytest

from covidjax.report.live import serve, watch
from covidjax.runs.folder import look

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = made_runs.all_kinds(tmp_path_factory.mktemp("served") / "runs")
    (home.parent / "secret.json").write_text('"secret"')
    made_runs.write_png(home / "cnn-0" / ".hidden" / "a.png")
    (home / "cnn-0" / "weights.pkl").write_bytes(b"no")
    os.symlink(home.parent / "secret.json", home / "cnn-0" / "link.json")
    os.symlink(home.parent, home / "cnn-0" / "up")
    os.symlink(home / "cnn-0" / "loop.json", home / "cnn-0" / "loop.json")
    return home


@pytest.fixture(scope="module")
def port(home):
    with serve.open_server([f"{home}/*"], 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(5)


def get(port: int, path: str, host: str = "", method: str = "GET") -> tuple[int, bytes, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data, dict(answer.getheaders())


def test_all_runs_are_listed_with_their_states(port) -> None:
    status, data, _ = get(port, "/runs.json")
    found = {run["name"]: run for run in json.loads(data)["runs"]}
    assert status == 200 and len(found) == 11
    assert found["going"]["state"] == "in progress" and "step 5" in found["going"]["note"]
    assert found["cnn-0"]["headline"].startswith("AUROC 0.973 [0.963, 0.983]")
    assert found["dae"]["headline"].startswith("PSNR 32.75")  # the network's, not BM3D's
    assert found["phantom"]["phantom"] and not found["cnn-0"]["phantom"]
    assert found["damaged"]["state"] == "damaged"


def test_new_runs_appear_without_a_new_start(port, home) -> None:
    made_runs.unfinished(home / "later")
    assert b'"later"' in get(port, "/runs.json")[1]


@pytest.mark.parametrize("path", ["/", "/live.js", "/live.css"])
def test_the_page_asks_for_nothing_else(port, path) -> None:
    status, data, headers = get(port, path)
    assert status == 200 and b"http://" not in data.replace(b"http://www.w3.org", b"")
    assert b"https://" not in data
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_files_of_a_run_are_shown_without_any_rights(port) -> None:
    status, data, headers = get(port, "/files/cnn-0/figures/roc.png")
    assert status == 200 and data.startswith(b"\x89PNG") and headers["Content-Type"] == "image/png"
    assert headers["Content-Security-Policy"].startswith("sandbox")
    assert get(port, "/files/going/metrics.jsonl")[2]["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "path",
    [
        "/files/cnn-0/../../secret.json", "/files/cnn-0/..%2f..%2fsecret.json",
        "/files/cnn-0/%2e%2e/%2e%2e/secret.json", "/files/%2e%2e/secret.json",
        "/files/cnn-0/%2Fetc%2Fpasswd", "/files/cnn-0//etc/passwd", "/files/cnn-0/link.json",
        "/files/cnn-0/up/secret.json", "/files/cnn-0/up/runs/cnn-1/results.json",
        "/files/cnn-0/.hidden/a.png", "/files/cnn-0/weights.pkl", "/files/cnn-0/loop.json",
        "/files/cnn-0/", "/files/cnn-0", "/files/", "/files/none/results.json",
        "/files/cnn-0/a%00.json", "/files/cnn-0/figures/..\\..\\results.json", "/nothing",
        "/metrics.json", "/metrics.json?run=none", "/metrics.json?run=going&from=-1",
        "/metrics.json?run=going&from=1e9", "/../secret.json", "/files/cnn-0/none.json",
    ],
)  # fmt: skip
def test_what_lies_outside_or_is_of_another_kind_is_refused(port, path) -> None:
    status, data, _ = get(port, path)
    assert status in (400, 403, 404), data
    assert b"secret" not in data and b"root:" not in data and len(data) < 100


def test_other_names_for_this_machine_and_other_methods_are_refused(port) -> None:
    assert get(port, "/runs.json", host="evil.example")[0] == 403
    assert get(port, "/runs.json", host=f"localhost:{port}")[0] == 200
    for method in ("POST", "PUT", "DELETE"):
        assert get(port, "/runs.json", method=method)[0] == 501


def test_it_listens_on_this_machine_alone(home) -> None:
    with serve.open_server([f"{home}/*"], 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_lines_are_given_once_and_unfinished_ones_later(tmp_path) -> None:
    folder = made_runs.unfinished(tmp_path / "a", lines=2)
    run = look(folder, "a")
    first = watch.metrics(run, 0)
    assert [line["step"] for line in first["lines"]] == [1, 2] and not first["more"]
    path = folder / "metrics.jsonl"
    with path.open("a") as file:
        file.write(
            '{"step": 3, "loss": NaN, "x": [1], "data": "PHANTOM"}\nnonsense\n[1]\n{"step": 4'
        )
    second = watch.metrics(run, first["next"])
    assert second["lines"] == [{"step": 3, "loss": None, "data": "PHANTOM"}]
    with path.open("a") as file:
        file.write(', "loss": 0.5}\n')
    assert watch.metrics(run, second["next"])["lines"] == [{"step": 4, "loss": 0.5}]
    path.write_text('{"step": 1, "loss": 9.0}\n')
    anew = watch.metrics(run, second["next"])
    assert anew["again"] and anew["lines"] == [{"step": 1, "loss": 9.0}]
    path.unlink()
    assert watch.metrics(run, 5)["lines"] == []


def test_long_files_come_in_parts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(watch, "MOST_BYTES", 200)
    run = look(made_runs.unfinished(tmp_path / "a", lines=50), "a")
    steps, place, more = [], 0, True
    while more:
        found = watch.metrics(run, place)
        steps += [line["step"] for line in found["lines"]]
        place, more = found["next"], found["more"]
    assert steps == list(range(1, 51))


def test_a_used_port_is_one_line_that_says_what_to_do(home, port) -> None:
    with pytest.raises(ValueError, match=f"{port} is in use") as caught:
        serve.open_server([f"{home}/*"], port)
    assert "\n" not in str(caught.value) and "--config.port=0" in str(caught.value)


def test_a_run_with_a_slash_in_its_name_is_found(tmp_path) -> None:
    for name in ("x/a", "y/a"):
        made_runs.classify(tmp_path / name)
    with serve.open_server([f"{tmp_path}/*/*"], 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        path = f"/files/{quote('y/a', safe='')}/results.json"
        assert get(server.server_port, path)[0] == 200
        server.shutdown()
        thread.join(5)


def test_the_command_serves_until_ctrl_c_and_writes_nothing(home, tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "launch.py"), f"--config={ROOT}/configs/report.py"]
    command += ["--config.serve", f"--config.runs={home}/*", f"--config.port={number}"]
    environment = {**os.environ, "COVIDJAX_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        end = time.monotonic() + 120
        while True:
            try:
                assert get(number, "/")[0] == 200
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        text = process.communicate(timeout=600)[0].decode()
    assert process.returncode == 0, text
    assert f"http://127.0.0.1:{number}/" in text and text.endswith("Stopped.\n")
    assert "Traceback" not in text
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}
