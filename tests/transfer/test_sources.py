"""Files, folders, the hub's cache and earlier runs are read; what is wrong with them is said."""

import hashlib
import http.server
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from covidjax.transfer import sources

TENSORS = {
    "conv1.weight": np.arange(12, dtype=np.float32).reshape(2, 3, 2, 1),
    "fc.bias": np.array([0.5, -1.5], np.float32),
}


def save(path: Path, tensors: dict[str, np.ndarray] = TENSORS) -> Path:
    numpy = pytest.importorskip("safetensors.numpy")
    path.parent.mkdir(parents=True, exist_ok=True)
    numpy.save_file(tensors, path)
    return path


def assert_read(weights: sources.Weights) -> None:
    assert weights.tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(weights.tensors[name], value, strict=True)


def test_a_safetensors_file_is_read_as_imagenets(tmp_path: Path) -> None:
    weights = sources.read(str(save(tmp_path / "a.safetensors")))
    assert_read(weights)
    assert (weights.mean, weights.std) == (sources.IMAGENET_MEAN, sources.IMAGENET_STD)


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    flax = pytest.importorskip("safetensors.flax")
    jnp = pytest.importorskip("jax.numpy")
    half = {name: jnp.asarray(value, jnp.bfloat16) for name, value in TENSORS.items()}
    flax.save_file(half, tmp_path / "half.safetensors")
    assert_read(sources.read(str(tmp_path / "half.safetensors")))


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_a_torch_file_is_read(tmp_path: Path, wrapper: str | None, suffix: str) -> None:
    torch = pytest.importorskip("torch")
    held = {name: torch.from_numpy(value) for name, value in TENSORS.items()}
    path = tmp_path / f"a{suffix}"
    torch.save({wrapper: held, "epoch": 3} if wrapper else held, path)
    assert_read(sources.read(str(path)))


class Planted:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    planted, mark = tmp_path / "planted.pth", tmp_path / "mark"
    torch.save({"conv1.weight": Planted(mark)}, planted)
    with pytest.raises(sources.SourceError, match="no file of weights alone"):
        sources.read(str(planted))
    planted.write_bytes(pickle.dumps(Planted(mark)))
    with pytest.raises(sources.SourceError, match="no file of weights alone"):
        sources.read(str(planted))
    assert not mark.exists()


def test_a_torch_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(sources.SourceError, match="no state dict but a list"):
        sources.read(str(tmp_path / "list.pth"))


@pytest.mark.parametrize(
    ("missing", "init", "told"),
    [
        ("torch", "a.pth", "pip install torch"),
        ("safetensors", "a.safetensors", r"\.\[transfer\]"),
        ("huggingface_hub", "hf://owner/name", r"\.\[transfer\]"),
    ],
)
def test_a_library_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, init: str, told: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # what Python itself does for such an import
    (tmp_path / init.rpartition("/")[2]).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sources.SourceError, match=told):
        sources.read(init)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    pytest.importorskip("safetensors" if name.endswith("safetensors") else "torch")
    for content in (b"", b"no weights at all", bytes(200)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(sources.SourceError, match=name):
            sources.read(str(tmp_path / name))


@pytest.mark.parametrize(
    ("init", "told"),
    [
        ("nowhere.safetensors", "there is no file nowhere.safetensors"),
        ("weights.npz", "config.init=weights.npz: give a .safetensors or .pth file"),
        ("hf://owner", "write hf://OWNER/NAME"),
        ("hf://", "write hf://OWNER/NAME"),
        ("hf://owner/name/", "write hf://OWNER/NAME"),
    ],
)
def test_what_is_not_there_is_said(init: str, told: str) -> None:
    with pytest.raises(sources.SourceError, match=told):
        sources.read(init)


TIMM = {"architecture": "resnet34", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5, 0.5, 0.4]}}
MICROSOFT = {"hidden_act": "relu", "downsample_in_bottleneck": False}


def test_a_folder_says_how_its_images_were_normalized(tmp_path: Path) -> None:
    save(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(TIMM))
    weights = sources.read(str(tmp_path))
    assert_read(weights)
    assert (weights.mean, weights.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.4))
    (tmp_path / "config.json").write_text(json.dumps(MICROSOFT))
    assert sources.read(str(tmp_path)).std == sources.IMAGENET_STD
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_std": [0.3] * 3}))
    assert sources.read(str(tmp_path)).std == (0.3, 0.3, 0.3)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"architecture": "resnetaa50"}, "is a resnetaa50"),
        ({"architecture": "resnet50d"}, "is a resnet50d"),
        ({"downsample_in_bottleneck": True}, "downsample_in_bottleneck=True"),
        ({"hidden_act": "gelu"}, "hidden_act=gelu"),
    ],
)
def test_networks_that_compute_otherwise_are_refused(
    tmp_path: Path, facts: dict[str, object], told: str
) -> None:
    save(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(sources.SourceError, match=told):
        sources.read(str(tmp_path))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, filled as a download would, and no network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--timm--resnet34.a"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abc")
    return repository / "snapshots" / "0123abc"


def test_a_hub_model_is_read_with_its_normalization(hub: Path) -> None:
    save(hub / "model.safetensors")
    (hub / "config.json").write_text(json.dumps(TIMM))
    weights = sources.read("hf://timm/resnet34.a")
    assert_read(weights)
    assert weights.mean == (0.5, 0.5, 0.5)


def test_a_hub_models_file_can_be_chosen(hub: Path) -> None:
    save(hub / "deep" / "other.safetensors")
    (hub / "config.json").write_text(json.dumps(TIMM))
    assert_read(sources.read("hf://timm/resnet34.a/deep/other.safetensors"))


def test_a_hub_model_that_cannot_be_had_is_said(hub: Path) -> None:
    with pytest.raises(sources.SourceError, match="hf download timm/resnet50.* where there is"):
        sources.read("hf://timm/resnet50")


def test_weights_whose_normalization_cannot_be_asked_for_are_refused(hub: Path) -> None:
    save(hub / "model.safetensors")
    with pytest.raises(sources.SourceError, match=r"no connection.*config.json in its cache"):
        sources.read("hf://timm/resnet34.a")
    absent = hub.parents[1] / ".no_exist" / hub.name  # how the cache remembers a missing file
    absent.mkdir(parents=True)
    for name in ("config.json", "preprocessor_config.json"):
        (absent / name).touch()
    assert_read(sources.read("hf://timm/resnet34.a"))


def test_what_is_in_the_hubs_cache_is_not_asked_for_again(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def hf_hub_download(*_arguments: object) -> None:
        raise AssertionError("the network was asked")

    save(hub / "model.safetensors")
    for name in ("config.json", "preprocessor_config.json"):
        (hub / name).write_text("{}")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    assert_read(sources.read("hf://timm/resnet34.a"))


class Hub(http.server.BaseHTTPRequestHandler):
    """A model with one file, in the manner of huggingface.co."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self) -> None:
        found = self.files.get(self.path.partition("?")[0])
        self.send_response(404 if found is None else 200)
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("ETag", f'"{hashlib.sha256(found or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.files.get(self.path.partition("?")[0], b""))

    def log_message(self, *_arguments: object) -> None:
        pass


HUB_READ = """
import sys
from covidjax.transfer import sources
for init in sys.argv[1:]:
    try:
        weights = sources.read(init)
        print(sorted(weights.tensors), weights.mean)
    except sources.SourceError as error:
        print(error)
"""


def test_a_hub_model_is_downloaded(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    base = "/timm/resnet34.a/resolve/main/"
    Hub.files = {
        base + "model.safetensors": save(tmp_path / "a.safetensors").read_bytes(),
        base + "config.json": json.dumps(TIMM).encode(),
    }
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # The library reads its settings once, so in a process of its own.
        done = subprocess.run(
            [sys.executable, "-c", HUB_READ, "hf://timm/resnet34.a", "hf://timm/resnet34.a/b.bin"],
            env={
                **{
                    name: value for name, value in os.environ.items() if "proxy" not in name.lower()
                },
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "HF_HOME": str(tmp_path / "hub"),
                "HF_HUB_OFFLINE": "0",
            },
            capture_output=True,
            text=True,
            timeout=200,
        )
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['conv1.weight', 'fc.bias'] (0.5, 0.5, 0.5)",
        "config.init=hf://timm/resnet34.a/b.bin: timm/resnet34.a has no b.bin",
    ]
