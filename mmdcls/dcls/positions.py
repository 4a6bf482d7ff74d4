"""Where elements may stand, and where they start."""

import torch
from torch import Tensor

# arXiv 2112.03740 and its code: positions start as N(0, 0.5), close to the kernel's centre.
INITIAL_SPREAD = 0.5


def position_limits(size: int) -> tuple[int, int]:
    """Smallest and largest offset from the centre that stands on a cell of an axis of this size.

    The centre is cell size // 2, so an even axis reaches one cell further down than up.
    """
    return -(size // 2), size - 1 - size // 2


@torch.no_grad()
def clamp_positions_(positions: Tensor, kernel_size: tuple[int, ...]) -> Tensor:
    """Put elements that left the kernel back on its border, in place.

    positions  (axes, ...), row a is kernel axis a
    """
    for row, size in zip(positions, kernel_size, strict=True):
        row.clamp_(*position_limits(size))
    return positions


@torch.no_grad()
def spread_positions_(positions: Tensor, kernel_size: tuple[int, ...]) -> Tensor:
    """Draw initial positions, in place: N(0, 0.5) around the centre, clamped to the kernel."""
    return clamp_positions_(positions.normal_(0, INITIAL_SPREAD), kernel_size)
