"""A ConvNeXt of plain PyTorch, whose depthwise convolutions are plain 7x7 or DCLS layers.

As arXiv 2201.03545, without drop path: the maps of the four stages, channels_last within.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdcls.dcls import Dcls2d, ElementPositions, Shares

ARCH = dict(
    cuda=dict(depths=(3, 3, 9, 3), channels=(96, 192, 384, 768)),
    cpu=dict(depths=(2, 1, 1, 1), channels=(4, 8, 8, 8)),
)
PLAIN = "plain 7x7"
KINDS = {
    PLAIN: dict(kernel_size=7),
    "DCLS bilinear 17x17/34": dict(kernel_size=17, kernel_count=34, interpolation="bilinear"),
    "DCLS gaussian 23x23/26": dict(kernel_size=23, kernel_count=26, interpolation="gaussian"),
}


class ChannelNorm(nn.LayerNorm):
    """Over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    def __init__(self, channels: int, kernel_size: int, **dcls: int | str) -> None:
        super().__init__()
        same = dict(kernel_size=kernel_size, padding=kernel_size // 2, groups=channels)
        if dcls:
            self.dwconv = Dcls2d(channels, channels, **same, **dcls, share_positions=True)
        else:
            self.dwconv = nn.Conv2d(channels, channels, **same)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(1e-6 * torch.ones(channels))

    def forward(self, x: Tensor, shares: Shares | None) -> Tensor:
        y = self.dwconv(x) if shares is None else self.dwconv(x, shares)
        y = self.norm(y.permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class Stage(nn.Module):
    def __init__(self, channels: int, depth: int, kernel_size: int, **dcls: int | str) -> None:
        super().__init__()
        self.owner = None
        if dcls:
            shape = (channels, 1, dcls["kernel_count"])
            size = (kernel_size, kernel_size)
            self.owner = ElementPositions(size, dcls["interpolation"], shape)
            # All over the kernel, as far as training could move them.
            self.owner.positions.data.uniform_(-(kernel_size // 2), kernel_size // 2)
        self.blocks = nn.ModuleList(Block(channels, kernel_size, **dcls) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        shares = None if self.owner is None else self.owner.shares()
        for block in self.blocks:
            x = block(x, shares)
        return x


class ConvNeXt(nn.Module):
    def __init__(
        self, depths: tuple[int, ...], channels: tuple[int, ...], **convolution: int | str
    ) -> None:
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
            Stage(outer, depth, **convolution)
            for outer, depth in zip(channels, depths, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for downsample, stage in zip(self.downsample, self.stages, strict=True):
            x = stage(downsample(x))
            maps.append(x)
        return maps
