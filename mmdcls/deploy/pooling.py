"""Adaptive pooling that exporters can leave open in size."""

import torch
from torch import Tensor, nn


class OpenAveragePool2d(nn.Module):
    """`nn.AdaptiveAvgPool2d` as sums over cells, whose weights follow from the size at run time.

    Exporters write the windows of the original as numbers of the traced size, and the file then
    computes something else at any other size.
    """

    def __init__(self, bins: tuple[int, int]) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        rows = window_shares(x.shape[2], self.bins[0], x)
        x = torch.stack([(x * row[:, None]).sum(2) for row in rows.unbind()], 2)
        columns = window_shares(x.shape[3], self.bins[1], x)
        return torch.stack([(x * column).sum(3) for column in columns.unbind()], 3)


def window_shares(size: int, bins: int, like: Tensor) -> Tensor:
    """What each of the cells adds to each bin's mean: (bins, size)."""
    index = torch.arange(bins, device=like.device)
    first, end = index * size // bins, ((index + 1) * size + bins - 1) // bins
    cells = torch.arange(size, device=like.device)
    inside = (cells >= first[:, None]) & (cells < end[:, None])
    return inside.to(like.dtype) / (end - first)[:, None].to(like.dtype)


def open_pooling_(module: nn.Module) -> nn.Module:
    """Replace the adaptive poolings of a model, in place."""
    for name, child in module.named_children():
        size = getattr(child, "output_size", None)
        if not isinstance(child, nn.AdaptiveAvgPool2d):
            open_pooling_(child)
        elif size is not None and (isinstance(size, int) or None not in size):
            bins = (size, size) if isinstance(size, int) else tuple(size)
            setattr(module, name, OpenAveragePool2d(bins))
    return module
