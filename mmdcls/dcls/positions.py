"""Where elements may stand."""

import torch
from torch import Tensor


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


def repulsion(positions: Tensor) -> Tensor:
    """How much the elements of a kernel crowd: 0 where all are a cell apart, 1 where all coincide.

    positions  (axes, out, in/groups, kernel_count), or any (axes, ..., kernel_count)
    returns    a scalar, the mean over slices and pairs of elements of max(0, 1 - distance), in
               float32 at least; differentiable

    From the published training code (arXiv 2112.03740), where elements that coincide have no
    gradient; here it separates them.
    """
    axes, count = positions.shape[0], positions.shape[-1]
    positions = positions.to(torch.promote_types(positions.dtype, torch.float32))
    if count < 2:
        return positions.sum() * 0
    first, second = torch.triu_indices(count, count, 1, device=positions.device)
    offset = positions.index_select(-1, second) - positions.index_select(-1, first)
    square = offset.square().sum(0)
    # At distance zero any unit vector is a slope. The diagonal, towards the later element, is the
    # same in every run, moves a pair's elements by opposite amounts along every axis, so that no
    # border holds both, and gives each of many coinciding elements a gradient of its own.
    coincides = square == 0
    diagonal = offset.sum(0) / axes**0.5
    distance = torch.where(coincides, diagonal, torch.where(coincides, 1, square).sqrt())
    return torch.relu(1 - distance).mean()
