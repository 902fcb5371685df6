"""The rival's train and inference steps: PyTorch at its best.

Memory formats are tried, then `torch.compile` in the faster of the two, and the fastest variant is
measured. Images are float32 and normalized beforehand, and there are no averaged weights: our step
does these two, its rival is spared them.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import torch_networks
from benchmarks.machine import cores

TRIAL_SECONDS = 1.5
Run = Callable[[int], None]
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def fastest(make: Callable[[str, bool], Run]) -> tuple[Run, str]:
    """The fastest variant in a short trial, and its name.

    Args:
      make: the variant of a memory format, compiled or not.
    """
    eager = {name: make(name, False) for name in FORMATS}
    seconds = {name: trial(run) for name, run in eager.items()}
    best = min(seconds, key=seconds.__getitem__)
    try:
        compiled = make(best, True)
        if trial(compiled) < seconds[best]:
            return compiled, f"{best}, compiled"
    except RuntimeError as error:  # what torch.compile raises, without a C++ compiler for example
        # Its first word is the compiler's own error; the rest is paths.
        reason = str(error).partition(":")[0].strip()[:40]
        return eager[best], f"{best}, eager (torch.compile: {reason})"
    return eager[best], f"{best}, eager"


def trial(run: Run) -> float:
    """Seconds of the fastest run in a second and a half, of two at least, after one to warm up."""
    run(1)
    times: list[float] = []
    while len(times) < 2 or sum(times) < TRIAL_SECONDS:
        start = time.perf_counter()
        run(1)
        times.append(time.perf_counter() - start)
    return min(times)


def start(keep: bool) -> None:
    """As many threads as ours; with `keep` our allocator setting too, which helps PyTorch."""
    torch.set_num_threads(cores())
    if keep:
        # Here, for it imports JAX, whose memory and seconds are not the rival's.
        from covidjax.training.allocator import keep_blocks

        keep_blocks()


def steps(network: str, kind: str, batch: int, size: int, variant: str) -> tuple[Run, str]:
    """Runs the train steps or the predictions of a network, and the variant that it is.

    Args:
      kind: "train" or "inference".
      variant: one that was found before, or "" for the fastest in a trial.
    """
    start(keep=True)
    make = partial(train_step if kind == "train" else predict_step, network, batch, size)
    if not variant:
        return fastest(make)
    memory_format, _, how = variant.partition(", ")
    return make(memory_format, how == "compiled"), variant


def train_step(network: str, batch: int, size: int, memory_format: str, compiled: bool) -> Run:
    """A network in training on one batch: loss, gradient, clipping, AdamW."""
    model, images = prepared(network, batch, size, memory_format)
    model.train()
    labels = torch.randint(0, 2, (batch,))

    loss = partial(loss_of, model)
    return training(model, loss, (images, labels), compiled, weight_decay=1e-2)


def loss_of(model: torch.nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The classifiers' loss: cross-entropy of smoothed labels."""
    return functional.cross_entropy(model(images), labels, label_smoothing=0.1)


def training(
    model: torch.nn.Module,
    loss_of: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    compiled: bool,
    *,
    weight_decay: float,
) -> Run:
    """Steps on one batch: the loss of the inputs, gradient, clipping, AdamW."""
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=weight_decay, fused=True)
    loss_fn: Any = torch.compile(loss_of) if compiled else loss_of

    def run(times: int) -> None:
        for _ in range(times):
            adamw.zero_grad(set_to_none=True)
            loss_fn(*inputs).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adamw.step()

    return run


def predict_step(network: str, batch: int, size: int, memory_format: str, compiled: bool) -> Run:
    """A network that predicts one batch: normalized images to probabilities."""
    model, images = prepared(network, batch, size, memory_format)
    model.eval()
    # Freezing folds BatchNorm into the convolutions and packs their weights.
    step: Any = torch.compile(model, options={"freezing": True}) if compiled else model

    def run(times: int) -> None:
        with torch.no_grad():
            for _ in range(times):
                functional.softmax(step(images), dim=1)

    return run


def prepared(
    network: str, batch: int, size: int, memory_format: str
) -> tuple[torch.nn.Module, Tensor]:
    """The network and a batch of normal noise, both in one memory format."""
    layout: Any = FORMATS[memory_format]
    model: Any = torch_networks.create(network)
    model = model.to(memory_format=layout)
    return model, torch.randn(batch, 1, size, size).to(memory_format=layout)
