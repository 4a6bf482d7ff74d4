"""A ConvNeXt of plain PyTorch, whose depthwise convolutions are plain 7x7 or DCLS layers.

As arXiv 2201.03545, without drop path: the maps of the four stages, channels_last within.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from benchmark_published import published_layer, share_positions
from torch import Tensor, nn

from mmdcls.dcls import Dcls2d, ElementPositions, Shares

ARCH = dict(
    cuda=dict(depths=(3, 3, 9, 3), channels=(96, 192, 384, 768)),
    cpu=dict(depths=(2, 1, 1, 1), channels=(4, 8, 8, 8)),
)
# Channels and depth of a stage -> who has the positions, and its convolutions.
Kind = Callable[[int, int], tuple[ElementPositions | None, list[nn.Module]]]


def plain_layers(channels: int, depth: int) -> tuple[None, list[nn.Module]]:
    return None, [
        nn.Conv2d(channels, channels, 7, padding=3, groups=channels) for _ in range(depth)
    ]


def dcls_layers(
    channels: int, depth: int, kernel_size: int, kernel_count: int, interpolation: str
) -> tuple[ElementPositions, list[nn.Module]]:
    owner = ElementPositions((kernel_size,) * 2, interpolation, (channels, 1, kernel_count))
    # All over the kernel, as far as training could move them.
    owner.positions.data.uniform_(-(kernel_size // 2), kernel_size // 2)
    same = dict(kernel_size=kernel_size, padding=kernel_size // 2, groups=channels)
    dcls = dict(kernel_count=kernel_count, interpolation=interpolation, share_positions=True)
    return owner, [Dcls2d(channels, channels, **same, **dcls) for _ in range(depth)]


def published_layers(channels: int, depth: int, version: str) -> tuple[None, list[nn.Module]]:
    layers = [published_layer(channels, version) for _ in range(depth)]
    share_positions(layers)
    return None, layers


def in_nchw(kind: Kind) -> Kind:
    """The same, given contiguous maps, for which the framework has other kernels."""

    def layers(channels: int, depth: int) -> tuple[ElementPositions | None, list[nn.Module]]:
        owner, convolutions = kind(channels, depth)
        return owner, [Contiguous(convolution) for convolution in convolutions]

    return layers


class Contiguous(nn.Module):
    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor, *shares: Shares) -> Tensor:
        return self.convolution(x.contiguous(), *shares)


PLAIN, OURS = "plain 7x7", "DCLS bilinear 17x17/34"
GAUSSIAN = "DCLS gaussian 23x23/26"
KINDS: dict[str, Kind] = {
    PLAIN: plain_layers,
    OURS: partial(dcls_layers, kernel_size=17, kernel_count=34, interpolation="bilinear"),
    GAUSSIAN: partial(dcls_layers, kernel_size=23, kernel_count=26, interpolation="gaussian"),
    **{
        f"dcls 0.1.1 {name} 17x17/34": partial(published_layers, version=name)
        for name in ("v0", "gauss")
    },
}
KINDS |= {
    f"{name}, NCHW": in_nchw(kind) for name, kind in KINDS.items() if name not in (OURS, GAUSSIAN)
}
PUBLISHED = [name for name in KINDS if name.startswith("dcls")]


class ChannelNorm(nn.LayerNorm):
    """Over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    def __init__(self, channels: int, dwconv: nn.Module) -> None:
        super().__init__()
        self.dwconv = dwconv
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(1e-6 * torch.ones(channels))

    def forward(self, x: Tensor, *shares: Shares) -> Tensor:
        y = self.norm(self.dwconv(x, *shares).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class Stage(nn.Module):
    def __init__(self, channels: int, depth: int, kind: Kind) -> None:
        super().__init__()
        self.owner, convolutions = kind(channels, depth)
        self.blocks = nn.ModuleList(Block(channels, one) for one in convolutions)

    def forward(self, x: Tensor) -> Tensor:
        # Merged, it has none.
        has_positions = self.owner is not None and self.owner.positions is not None
        shares = (self.owner.shares(),) if has_positions else ()
        for block in self.blocks:
            x = block(x, *shares)
        return x


class ConvNeXt(nn.Module):
    def __init__(self, kind: Kind, depths: tuple[int, ...], channels: tuple[int, ...]) -> None:
        super().__init__()
        before = (3, *channels)
        self.downsample = nn.ModuleList()
        for index, (inner, outer) in enumerate(zip(before, channels, strict=False)):
            if index == 0:
                layers = nn.Conv2d(inner, outer, 4, 4), ChannelNorm(outer, eps=1e-6)
            else:
                layers = ChannelNorm(inner, eps=1e-6), nn.Conv2d(inner, outer, 2, 2)
            self.downsample.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(
            Stage(outer, depth, kind) for outer, depth in zip(channels, depths, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for downsample, stage in zip(self.downsample, self.stages, strict=True):
            x = stage(downsample(x))
            maps.append(x)
        return maps
