"""Weights that exist: a file, a folder, a model of the Hugging Face hub, an earlier run."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfds_coronahack.paths import expanded

# Of ImageNet's training images, as torchvision, timm and transformers use them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FORMS = "a .safetensors or .pth file, a folder with model.safetensors, hf://OWNER/NAME, run:WORKDIR"
TORCH_SUFFIXES = (".pth", ".pt", ".bin")
# timm's names of the networks that are torchvision's (v1b: the stride is on the 3 x 3 convolution).
ARCHITECTURE = re.compile(r"(tv_|gluon_)?resnet(18|34|50|101)(_v1b)?")
# What transformers' ResNets can be that torchvision's are not, without it showing in the names.
TRANSFORMERS = {
    "hidden_act": "relu",
    "downsample_in_bottleneck": False,
    "downsample_in_first_stage": False,
}


class SourceError(ValueError):
    """Weights that are not there or cannot be read; the message says what was looked for, where."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """A PyTorch state dict.

    Attributes:
      tensors: float32, by the file's own names and in its layout.
      origin: where they come from, for messages.
      mean, std: of each channel, with which the network's RGB images in [0, 1] were normalized.
    """

    tensors: Mapping[str, NDArray[np.float32]]
    origin: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


def read(init: str) -> Weights:
    """The state dict that `init` names.

    Args:
      init: a `.safetensors` file; a `.pth`, `.pt` or `.bin` file, where PyTorch is installed (read
        as weights only, so that nothing in it is run); a folder with `model.safetensors`; or
        `hf://OWNER/NAME[/FILE]`, downloaded once (FILE is `model.safetensors` unless given), and
        from then on read from the hub's cache, also without a network. A
        folder's and a hub model's `config.json` and `preprocessor_config.json`, where they are,
        say how its images were normalized; else ImageNet's mean and deviation hold.

    Raises:
      SourceError: nothing there, damaged, more than weights, or another kind of network.
    """
    if init.startswith("hf://"):
        path, facts = _download(init)
        return _with_facts(Weights(_tensors(path, init), init), facts)
    path = expanded(init)
    if path.is_dir():
        inner = path / "model.safetensors"
        facts = {}
        for name in ("config.json", "preprocessor_config.json"):
            if (path / name).is_file():
                facts |= _json(path / name)
        return _with_facts(Weights(_tensors(inner, init), init), facts)
    return Weights(_tensors(path, init), init)


def _tensors(path: Path, init: str) -> dict[str, NDArray[np.float32]]:
    if path.suffix not in (".safetensors", *TORCH_SUFFIXES):
        raise SourceError(f"config.init={init}: give {FORMS}")
    if not path.is_file():
        raise SourceError(f"config.init={init}: there is no file {path}")
    return _safetensors(path) if path.suffix == ".safetensors" else _torch(path)


def _safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        import safetensors
    except ImportError as error:
        raise SourceError(f'{path} needs safetensors: pip install -e ".[transfer]"') from error
    try:
        # Through JAX, because NumPy alone has no bfloat16.
        with safetensors.safe_open(path, framework="flax") as file:
            return {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise SourceError(f"{path} is no readable safetensors file: {error}") from error


def _torch(path: Path) -> dict[str, NDArray[np.float32]]:
    import pickle

    try:
        import torch
    except ImportError as error:
        raise SourceError(
            f"{path} is read by PyTorch, which is not installed: pip install torch, or give the "
            "weights as .safetensors"
        ) from error
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError) as error:
        raise SourceError(
            f"{path} is no file of weights alone (a whole model, or damaged): save "
            "model.state_dict() as .safetensors or with torch.save"
        ) from error
    for wrapper in ("state_dict", "model"):  # what training scripts put around it
        if isinstance(held, dict) and isinstance(held.get(wrapper), dict):
            held = held[wrapper]
    if not isinstance(held, dict) or not any(torch.is_tensor(value) for value in held.values()):
        raise SourceError(f"{path} holds no state dict but a {type(held).__name__}")
    return {
        str(name): value.detach().float().numpy()
        for name, value in held.items()
        if torch.is_tensor(value)
    }


def _download(init: str) -> tuple[Path, dict[str, Any]]:
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise SourceError(f'{init} needs huggingface_hub: pip install -e ".[transfer]"') from error
    parts = init.removeprefix("hf://").split("/", 2)
    if len(parts) < 2 or not all(parts):
        raise SourceError(f"config.init={init}: write hf://OWNER/NAME or hf://OWNER/NAME/FILE")
    repository = "/".join(parts[:2])
    file = parts[2] if len(parts) == 3 else "model.safetensors"
    path = _hub_file(init, repository, file)
    if path is None:
        raise SourceError(f"config.init={init}: {repository} has no {file}")
    facts: dict[str, Any] = {}
    unknown: SourceError | None = None
    for name in ("config.json", "preprocessor_config.json"):
        try:
            found = _hub_file(init, repository, name)
        except SourceError as error:
            unknown = error
            continue
        facts |= _json(found) if found else {}
    if unknown and not facts:
        # Without them, weights of another kind of network or normalization would pass unseen.
        raise unknown
    return path, facts


def _hub_file(init: str, repository: str, name: str) -> Path | None:
    """A file of a model of the hub: of the hub's cache, else downloaded; None where it has none.

    Raises:
      SourceError: it cannot be had.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        held = try_to_load_from_cache(repository, name)
        if held is not None:  # a path, or the mark of a file that was found missing
            return Path(held) if isinstance(held, str) else None
        return Path(hf_hub_download(repository, name))
    except LocalEntryNotFoundError as error:
        raise SourceError(
            f"config.init={init}: no connection to the hub, and no {name} in its cache: run "
            f"`hf download {repository}` where there is one, or give the file of the weights"
        ) from error
    except EntryNotFoundError:
        return None
    except (OSError, ValueError) as error:  # what the hub's other errors are
        reason = " ".join(str(error).split())[:200]
        raise SourceError(
            f"config.init={init}: cannot get {name} of {repository}: {reason}"
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is damaged: {error}") from error
    return held if isinstance(held, dict) else {}


def _with_facts(weights: Weights, facts: Mapping[str, Any]) -> Weights:
    """The weights with what timm's or transformers' JSON files say of them.

    Raises:
      SourceError: they are of a network whose names and shapes fit, but which computes otherwise.
    """
    kind = facts.get("architecture")
    if kind is not None and not ARCHITECTURE.fullmatch(str(kind)):
        raise SourceError(
            f"{weights.origin} is a {kind}; ResNet-18, 34, 50 and 101 as torchvision has them fit"
        )
    for field, value in TRANSFORMERS.items():
        if facts.get(field, value) != value:
            raise SourceError(
                f"{weights.origin} has {field}={facts[field]}, torchvision's ResNets {value}: "
                "its weights would not compute the same here"
            )
    timm = facts.get("pretrained_cfg", facts)
    mean, std = (
        facts.get(f"image_{name}", timm.get(name, default))
        for name, default in (("mean", weights.mean), ("std", weights.std))
    )
    return dataclasses.replace(weights, mean=tuple(mean), std=tuple(std))
