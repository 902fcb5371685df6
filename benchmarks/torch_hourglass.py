"""PyTorch's side of Deep Image Prior, as plainly as it can be written."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def block(inputs: int, outputs: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    """Reflecting convolution, BatchNorm, LeakyReLU."""
    pad = side // 2
    conv = nn.Conv2d(inputs, outputs, side, stride, pad, padding_mode="reflect" if pad else "zeros")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))


class Hourglass(nn.Module):
    """`covidjax.models.unet.SkipHourglass`, one scale and those below."""

    def __init__(self, inputs: int, width: int, skip: int, scales: int) -> None:
        super().__init__()
        self.skip = block(inputs, skip, 1)
        self.down = block(inputs, width, stride=2)
        self.same = block(width, width)
        self.below = Hourglass(width, width, skip, scales - 1) if scales > 1 else nn.Identity()
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear")
        self.merge = nn.BatchNorm2d(skip + width)
        self.up = block(skip + width, width)
        self.mix = block(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        deeper = self.enlarge(self.below(self.same(self.down(x))))
        return self.mix(self.up(self.merge(torch.cat([self.skip(x), deeper], 1))))


def create(width: int, inputs: int = 32, skip: int = 4, scales: int = 5) -> nn.Sequential:
    """The network: [batch, inputs, height, width] to [batch, 1, height, width] in (0, 1)."""
    hourglass = Hourglass(inputs, width, skip, scales)
    return nn.Sequential(hourglass, nn.Conv2d(width, 1, 1), nn.Sigmoid())


class Fit:
    """The reference's recipe on one image [1, 1, height, width].

    Perturbed input, Adam, MSE, and the exponential average of the outputs.
    """

    def __init__(
        self,
        target: Tensor,
        width: int,
        memory_format: torch.memory_format = torch.contiguous_format,
        compiled: bool = False,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        network = create(width).train()
        self.network = network.to(memory_format=memory_format)  # type: ignore[call-overload]
        self.call = torch.compile(self.network) if compiled else self.network
        self.target = target
        shape = (1, 32, *target.shape[2:])
        self.input = (0.1 * torch.rand(shape)).to(memory_format=memory_format)
        self.noise = torch.empty_like(self.input)
        self.adam = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.average = torch.zeros_like(target)
        self.steps = 0

    def step(self) -> Tensor:
        """One step; the loss."""
        self.adam.zero_grad()
        output = self.call(self.input + self.noise.normal_() / 30)
        loss = functional.mse_loss(output, self.target)
        loss.backward()
        self.adam.step()
        self.average = 0.99 * self.average + 0.01 * output.detach()
        self.steps += 1
        return loss

    def result(self) -> Tensor:
        """The average, without its bias to zero."""
        return self.average / (1 - 0.99**self.steps)
