"""What is timed: our model, a plain ConvNeXt, and the published layers, in the same blocks."""

from collections.abc import Callable
from functools import partial

import torch
from benchmark_published import published_layer, share_positions
from torch import Tensor, nn

from mmdcls.models import DclsConvNeXt

FORMATS = dict(NCHW=torch.contiguous_format, channels_last=torch.channels_last)
OURS = "ours, bilinear 17x17/34"
GAUSSIAN = "ours, gaussian 23x23/26"
PLAIN = "plain 7x7"
LARGE = "plain 17x17"  # channels_last, for inference alone
PUBLISHED = ("v0", "gauss", "v1")


class InFormat(nn.Module):
    """A convolution that stands in for a block's DCLS layer, run in one memory format."""

    def __init__(self, conv: nn.Module, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.conv, self.memory_format = conv, memory_format

    def forward(self, x: Tensor, shares: None = None) -> Tensor:
        return self.conv(x.contiguous(memory_format=self.memory_format))


def plain(channels: int, kernel_size: int = 7) -> nn.Module:
    return nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)


def with_convolutions(
    arch: str | dict, layer: Callable[[int], nn.Module], memory_format: torch.memory_format
) -> nn.Module:
    """The backbone with other depthwise convolutions in its blocks."""
    backbone = DclsConvNeXt(arch, kernel_count=1, share_positions=False)
    for stage in backbone.stages:
        blocks = list(stage.children())
        convs = [layer(block.dwconv.in_channels) for block in blocks]
        share_positions(convs)
        for block, conv in zip(blocks, convs, strict=True):
            block.dwconv = InFormat(conv, memory_format)
    return backbone


def spread(model: nn.Module) -> nn.Module:
    """Put the elements all over the kernel, as far from their first places as training could."""
    for module in model.modules():
        positions = getattr(module, "positions", None)
        if positions is not None:
            for row, size in zip(positions.data, module.kernel_size, strict=True):
                row.uniform_(-(size // 2), (size - 1) // 2)
    return model


def backbones(arch: str | dict) -> dict[str, Callable[[], nn.Module]]:
    """How each backbone is made; a peer once for every memory format."""
    gaussian = dict(kernel_size=23, kernel_count=26, interpolation="gaussian")
    made = {
        OURS: lambda: spread(DclsConvNeXt(arch)),
        GAUSSIAN: lambda: spread(DclsConvNeXt(arch, **gaussian)),
    }
    peers = {PLAIN: plain}
    peers |= {f"dcls {version}": partial(published_layer, version=version) for version in PUBLISHED}
    for name, layer in peers.items():
        for format_name, memory_format in FORMATS.items():
            made[f"{name}, {format_name}"] = partial(with_convolutions, arch, layer, memory_format)
    return made
