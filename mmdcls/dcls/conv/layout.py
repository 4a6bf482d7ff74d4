"""How maps and volumes lie in memory."""

import torch
from torch import Tensor


def memory_format_of(x: Tensor) -> torch.memory_format:
    if x.is_contiguous():
        return torch.contiguous_format
    return torch.channels_last if x.dim() == 4 else torch.channels_last_3d


def laid_out(x: Tensor) -> Tensor:
    """As the ways take and give it: maps channels_last, volumes as (L, N, H, W, C)."""
    if x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return x.permute(2, 0, 3, 4, 1).contiguous().permute(1, 4, 0, 2, 3)


def frames(volumes: Tensor, chosen: slice) -> Tensor:
    """Frames of volumes (N, C, L, H, W) that are laid out, as maps (L' * N, C, H, W): a view.

    At a stride above 1 it is a copy.
    """
    return volumes.permute(2, 0, 1, 3, 4)[chosen].flatten(0, 1)
