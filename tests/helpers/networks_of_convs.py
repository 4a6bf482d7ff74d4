"""A small network with every kind of convolution that a rule meets."""

import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 1)
        self.conv2 = nn.Conv2d(
            width, width, 3, stride, padding=dilation, dilation=dilation, bias=False
        )
        self.norm = nn.BatchNorm2d(width)
        self.mixer = nn.Conv2d(width, width, 5, padding=2, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        return self.mixer(self.norm(self.conv2(self.conv1(x))).relu())


class Network(nn.Module):
    """Stages "layer1" and "layer2" of two blocks each, the second strided and dilated; a stem of
    patches; strips of one row and of one column."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 2, stride=2)
        self.layer1 = nn.Sequential(Block(width), Block(width))
        self.layer2 = nn.Sequential(Block(width, stride=2), Block(width, dilation=2))
        self.row = nn.Conv2d(width, width, (1, 7), padding=(0, 3), groups=width)
        self.column = nn.Conv2d(width, width, (7, 1), padding=(3, 0), groups=width)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.stem(x)))
        x = x + self.row(x) + self.column(x)
        return self.head(x.mean((2, 3)))


def draw_network(dtype: torch.dtype = torch.double) -> Network:
    """In eval, with means and variances of its norms that do something."""
    network = Network().to(dtype)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, nn.Conv2d):
            # So that a change of any kernel is seen at the end.
            nn.init.normal_(module.weight, std=2 * module.weight[0].numel() ** -0.5)
    return network.eval()


def draw_image(dtype: torch.dtype = torch.double) -> Tensor:
    return torch.randn(2, 3, 34, 30, dtype=dtype)
