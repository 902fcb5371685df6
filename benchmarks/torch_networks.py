"""Our networks in plain PyTorch: the same layers in the same shapes, for gray images.

`ResNet` is torchvision's architecture (v1.5) with one input channel and dropout before the
classifier, as ours has.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class CNN(nn.Module):
    """3 x 3 convolutions with BatchNorm and ReLU, in stages with 2 x 2 max pooling between them."""

    def __init__(
        self, classes: int = 2, widths: Sequence[int] = (16, 32, 64, 128), convs: int = 2
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for stage, width in enumerate(widths):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for _ in range(convs):
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                channels = width
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [batch, classes] of images [batch, 1, height, width]."""
        return self.classifier(self.dropout(self.features(images).mean((2, 3))))


def normalized(channels: int, width: int, size: int, stride: int) -> nn.Sequential:
    """A convolution padded by half its size, and its BatchNorm."""
    conv = nn.Conv2d(channels, width, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


class Block(nn.Module):
    """A residual block: basic (two 3 x 3), or a bottleneck (1 x 1, 3 x 3, 1 x 1)."""

    def __init__(self, channels: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            shapes = [(channels, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        else:
            shapes = [(channels, width, 3, stride), (width, width, 3, 1)]
        self.layers = nn.ModuleList(normalized(*shape) for shape in shapes)
        out = shapes[-1][1]
        same = channels == out and stride == 1
        self.shortcut = nn.Identity() if same else normalized(channels, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, height, width] to the same, or to twice the channels and half."""
        y = x
        for layer in self.layers[:-1]:
            y = functional.relu(layer(y), inplace=True)
        return functional.relu(self.layers[-1](y) + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    """ResNet-18 or 50."""

    def __init__(self, depth: int, classes: int = 2) -> None:
        super().__init__()
        bottleneck = depth >= 50
        self.stem = normalized(1, 64, 7, 2)
        blocks = []
        channels = 64
        for stage, count in enumerate(DEPTHS[depth]):
            width = 64 * 2**stage
            for index in range(count):
                stride = 2 if stage and index == 0 else 1
                blocks.append(Block(channels, width, stride, bottleneck))
                channels = 4 * width if bottleneck else width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [batch, classes] of images [batch, 1, height, width]."""
        x = functional.relu(self.stem(images), inplace=True)
        x = self.blocks(functional.max_pool2d(x, 3, 2, 1))
        return self.classifier(self.dropout(x.mean((2, 3))))


def create(network: str) -> nn.Module:
    """ "cnn", "resnet18" or "resnet50", with the same first weights each time."""
    torch.manual_seed(0)
    return CNN() if network == "cnn" else ResNet(int(network.removeprefix("resnet")))
