"""Networks of plain PyTorch that the method has to serve, wrapped and not."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmdcls.dcls import Dcls2d, ElementPositions

CHANNELS, SIZE = 4, (7, 5)


def layer(interpolation: str = "gaussian", **options) -> Dcls2d:
    size = options.pop("kernel_size", SIZE)
    return Dcls2d(
        CHANNELS,
        CHANNELS,
        size,
        padding="same",
        groups=CHANNELS,
        kernel_count=3,
        interpolation=interpolation,
        **options,
    )


class Shared(ElementPositions):
    """A stage: two layers that share its positions."""

    def __init__(self) -> None:
        super().__init__(SIZE, "gaussian", (CHANNELS, 1, 3))
        self.layers = nn.ModuleList(layer(share_positions=True) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        shares = self.shares()
        for conv in self.layers:
            x = conv(x, shares)
        return x


class Deep(nn.Module):
    """Says at which depth its parameters are: 0, 1 or 2, and what is above them is 3."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(layer(), Shared(), layer("bilinear"))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)

    def get_layer_depth(
        self, name: str, prefix: str, decay_type: str, num_layers: int | None
    ) -> tuple[int, int]:
        return int(name.removeprefix(prefix).split(".")[1]), 3


def several() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, 1),
        layer(),
        nn.BatchNorm2d(CHANNELS),
        Shared(),
        layer("bilinear"),
        layer("triangle"),
    )


def headed() -> nn.Sequential:
    return nn.Sequential(Deep(), nn.Conv2d(CHANNELS, CHANNELS, 1))


def half_frozen() -> nn.Sequential:
    net = several()
    net[1].requires_grad_(False)
    net[3].sigma.requires_grad_(False)
    return net


def partly_compiled() -> nn.Sequential:
    net = headed()
    net[0] = compiled(net[0])
    return net


def compiled(net: nn.Module) -> nn.Module:
    return torch.compile(net, backend="eager")


# Their widths are learned, at least in parts, and they know depths only where named so.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "a layer": layer,
    "a stage": Shared,
    "several": several,
    "half frozen": half_frozen,
    "compiled": lambda: compiled(several()),
    "parallel": lambda: nn.DataParallel(several()),
    "deep": headed,
    "deep, compiled": lambda: compiled(headed()),
    "deep, compiled in parts": partly_compiled,
}
DEEP = [name for name in NETWORKS if name.startswith("deep")]


def images() -> Tensor:
    return torch.randn(2, CHANNELS, 8, 8)
