"""The interpolations: how much of an element each cell of one kernel axis receives.

Every interpolation is separable: an element's share of a cell is the product of its shares along
the axes. So one function of one axis says all there is to say, for any number of axes. To add an
interpolation, add a row to `INTERPOLATIONS` and a branch to `reference.share`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .arguments import check_choice


def linear_share(cells: Tensor, position: Tensor, width: Tensor | None) -> Tensor:
    """Split between the two neighbouring cells, by distance.

    The lower neighbour is never the last cell, so that a position on the upper border keeps the
    slope that points back inside; every other position on the grid has the slope to its right.
    """
    lower = position.detach().floor().clamp(max=max(len(cells) - 2, 0))
    fraction = position - lower
    # A kernel of a single cell has no upper neighbour.
    neighbours = torch.cat((lower, lower + 1), -1)[..., : len(cells)].nan_to_num().long()
    split = torch.cat((1 - fraction, fraction), -1)[..., : len(cells)]
    # Zeros, but NaN where the position is.
    nothing = (0 * lower).expand(*lower.shape[:-1], len(cells))
    return nothing.scatter_add(-1, neighbours, split)


def triangle_share(cells: Tensor, position: Tensor, width: Tensor | None) -> Tensor:
    # maximum() halves the gradient of a tie where relu() drops it. At a kink that is the mean of
    # the slopes on both sides, and a unit-width triangle that stands on a cell can still move.
    height = width - (cells - position).abs()
    return torch.maximum(height, torch.zeros_like(height))


def gaussian_share(cells: Tensor, position: Tensor, width: Tensor | None) -> Tensor:
    exponent = -0.5 * ((cells - position) / width) ** 2
    # Shares too small to show in a sum are zero, so that products of those of three axes and a
    # weight do not become subnormal numbers, which cost many CPUs several times a step.
    least = math.log(torch.finfo(exponent.dtype).tiny) / 4
    return torch.exp(exponent.masked_fill(exponent < least, -math.inf))


@dataclass(frozen=True)
class Interpolation:
    """One row of the table.

    share: (cells (S,), position (..., 1), width (..., 1) or None) -> shares (..., S), where cells
        are 0..S-1 and position is counted from cell 0 and lies inside.
    normalized: divide an element's shares by their sum over the kernel, so that its whole weight
        stays in the kernel however wide it is and wherever it stands.
    width_floor: smallest width, in cells; None where the interpolation has no sigma. The width is
        |sigma| + width_floor.
    initial_sigma: what sigma is set to in a new layer.
    sums_to_one: the shares along an axis of two or more cells always sum to one, which saves
        summing them.
    """

    share: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    normalized: bool
    width_floor: float | None = None
    initial_sigma: float | None = None
    sums_to_one: bool = False

    @property
    def has_sigma(self) -> bool:
        return self.width_floor is not None


# Floors, initial sigmas and normalisation as in the published code, where the rows are called
# v0, v1, max and gauss.
INTERPOLATIONS = {
    "bilinear": Interpolation(linear_share, normalized=False, sums_to_one=True),
    "bilinear_normalized": Interpolation(linear_share, normalized=True, sums_to_one=True),
    "triangle": Interpolation(triangle_share, normalized=True, width_floor=1.0, initial_sigma=0.0),
    "gaussian": Interpolation(
        gaussian_share, normalized=True, width_floor=0.27, initial_sigma=0.23
    ),
}


def get_interpolation(name: str) -> Interpolation:
    """Raises ValueError for a name that is not in the table."""
    check_choice("interpolation", name, INTERPOLATIONS)
    return INTERPOLATIONS[name]
