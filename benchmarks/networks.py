"""Training and inference of the networks: our steps against PyTorch's."""

from collections.abc import Iterator

from benchmarks.compare import Result, in_turns, progress, repeated
from benchmarks.settings import Settings
from benchmarks.worker import Side, Worker

# Name -> (batch, pixels a side) of each variant, by what is added to the name. The CNN's first is
# what configs/cnn.py trains with.
RESNET18 = {"": (16, 224), "_32": (32, 224)}
RESNET50 = {"": (16, 224)}
CNN = {"": (32, 64), "_224": (16, 224)}


def resnet18_train(settings: Settings) -> Iterator[Result]:
    """A train step of ResNet-18 at 224 px, batch 16 and 32."""
    yield from _measure("resnet18", "train", RESNET18, settings)


def resnet50_train(settings: Settings) -> Iterator[Result]:
    """A train step of ResNet-50 at 224 px, batch 16."""
    yield from _measure("resnet50", "train", RESNET50, settings)


def cnn_train(settings: Settings) -> Iterator[Result]:
    """A train step of configs/cnn.py: 64 px, batch 32; and at 224 px, batch 16."""
    yield from _measure("cnn", "train", CNN, settings)


def resnet18_inference(settings: Settings) -> Iterator[Result]:
    """Probabilities from ResNet-18 at 224 px, batch 16 and 32."""
    yield from _measure("resnet18", "inference", RESNET18, settings)


def cnn_inference(settings: Settings) -> Iterator[Result]:
    """Probabilities from the CNN: 64 px, batch 32; and at 224 px, batch 16."""
    yield from _measure("cnn", "inference", CNN, settings)


def _measure(
    network: str, kind: str, variants: dict[str, tuple[int, int]], settings: Settings
) -> Iterator[Result]:
    found: dict[int, str] = {}  # size -> what was PyTorch's fastest variant
    for ending, (batch, size) in variants.items():
        name = f"{network}_{kind}{ending}"
        progress(f"{name}: {size} px, batch {batch}; compiling both sides")
        options = {"network": network, "kind": kind, "batch": batch, "size": size}
        with (
            Worker("benchmarks.networks:ours", options) as ours,
            Worker(
                "benchmarks.networks:theirs", {**options, "variant": found.get(size, "")}
            ) as theirs,
        ):
            found[size] = theirs.note
            progress(f"  against torch {theirs.note}")
            values = in_turns(ours.turn, theirs.turn, settings.pairs, settings.say)
        yield Result(name, "images/s", *values, against=f"torch {theirs.note}")


def ours(network: str, kind: str, batch: int, size: int) -> Side:
    """Our side, for a worker; `kind` is "train" or "inference"."""
    from benchmarks import ours  # imports JAX, which the parent and the other side do not need

    ours.start()
    made = (ours.Training if kind == "train" else ours.Inference)(network, batch, size)
    return Side(repeated(made.run, batch))


def theirs(network: str, kind: str, batch: int, size: int, variant: str) -> Side:
    """PyTorch's side, for a worker; `variant` as in `torch_steps.steps`."""
    from benchmarks import torch_steps  # imports PyTorch, which may not be installed

    run, note = torch_steps.steps(network, kind, batch, size, variant)
    return Side(repeated(run, batch), note)
