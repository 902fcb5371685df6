"""Our denoising networks in plain PyTorch, and their steps: what ours are measured against.

As with the classifiers, the fastest of the memory formats and `torch.compile` is taken. Noise is
added in the step, as in ours; the random views and the averaged weights, which ours has, are
spared.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.torch_steps import FORMATS, Run, fastest, start, training

LOWEST, HIGHEST = 5 / 255, 55 / 255  # standard deviation of the noise


def convolution(channels: int, width: int, size: int, stride: int = 1) -> nn.Conv2d:
    """Without bias; 3 x 3 ones are padded by one pixel."""
    return nn.Conv2d(channels, width, size, stride, padding=1 if size == 3 else 0, bias=False)


class Block(nn.Module):
    """Two convolutions with a ReLU between them, and the input added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = convolution(width, width, 3), convolution(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, width, height, width] to the same."""
        return x + self.second(functional.relu(self.first(x), inplace=True))


class UNet(nn.Module):
    """The residual U-Net without biases, for sides that are multiples of 2 ** len(blocks)."""

    def __init__(self, width: int = 32, blocks: Sequence[int] = (2, 1, 1)) -> None:
        super().__init__()
        widths = [width * (level + 1) for level in range(len(blocks))]
        pairs = list(zip(widths, widths[1:], strict=False))
        self.head = convolution(4, width, 3)
        self.down = nn.ModuleList(self._blocks(w, n) for w, n in zip(widths, blocks, strict=True))
        self.shrink = nn.ModuleList(convolution(w, below, 2, 2) for w, below in pairs)
        self.enlarge = nn.ModuleList(convolution(below, 4 * w, 1) for w, below in pairs)
        self.up = nn.ModuleList(
            self._blocks(w, n) for w, n in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.tail = convolution(width, 4, 3)

    @staticmethod
    def _blocks(width: int, count: int) -> nn.Sequential:
        return nn.Sequential(*(Block(width) for _ in range(count)))

    def forward(self, images: Tensor) -> Tensor:
        """Denoised images [batch, 1, height, width]."""
        x = self.head(functional.pixel_unshuffle(images, 2))
        skips = []
        for blocks, shrink in zip(self.down, self.shrink, strict=False):
            x = blocks(x)
            skips.append(x)
            x = shrink(x)
        x = self.down[-1](x)
        for blocks, enlarge, skip in zip(
            reversed(self.up), reversed(self.enlarge), reversed(skips), strict=True
        ):
            x = blocks(functional.pixel_shuffle(enlarge(x), 2) + skip)
        return images - functional.pixel_shuffle(self.tail(x), 2)


class DnCNN(nn.Module):
    """Convolutions with BatchNorm and ReLU, whose result is subtracted from the images."""

    def __init__(self, width: int = 64, depth: int = 17) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [convolution(width, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, convolution(width, 1, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Denoised images [batch, 1, height, width]."""
        return images - self.layers(images)


NETWORKS = {"unet": UNet, "dncnn": DnCNN}


def steps(network: str, kind: str, batch: int, size: int, variant: str) -> tuple[Run, str]:
    """As `torch_steps.steps`, for the denoisers."""
    start(keep=True)
    make = partial(train_step if kind == "train" else denoise_step, network, batch, size)
    if not variant:
        return fastest(make)
    memory_format, _, how = variant.partition(", ")
    return make(memory_format, how == "compiled"), variant


def train_step(network: str, batch: int, size: int, memory_format: str, compiled: bool) -> Run:
    """A network in training on one batch: noise, the loss, gradient, clipping, AdamW."""
    model, clean = prepared(network, batch, size, memory_format)
    model.train()
    return training(model, partial(loss_of, model), (clean,), compiled, weight_decay=0.0)


def loss_of(model: nn.Module, clean: Tensor) -> Tensor:
    """The denoisers' loss, on images to which noise of random levels is added here."""
    levels = torch.rand(len(clean), 1, 1, 1, device=clean.device)
    noise = torch.randn_like(clean) * (LOWEST + (HIGHEST - LOWEST) * levels)
    error = model(clean + noise) - clean
    return torch.log((error**2).mean((1, 2, 3)) + 1e-8).mean() / 2


def denoise_step(network: str, batch: int, size: int, memory_format: str, compiled: bool) -> Run:
    """A network that denoises one batch."""
    model, images = prepared(network, batch, size, memory_format)
    model.eval()
    step: Any = torch.compile(model, options={"freezing": True}) if compiled else model

    def run(times: int) -> None:
        with torch.no_grad():
            for _ in range(times):
                step(images).clamp(0, 1)

    return run


def prepared(network: str, batch: int, size: int, memory_format: str) -> tuple[nn.Module, Tensor]:
    """The network and a batch of images in [0, 1], both in one memory format."""
    layout: Any = FORMATS[memory_format]
    torch.manual_seed(0)
    model: Any = NETWORKS[network]()
    model = model.to(memory_format=layout)
    return model, torch.rand(batch, 1, size, size).to(memory_format=layout)
