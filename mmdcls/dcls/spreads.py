"""The initial spreads: where in their kernel the elements of a new layer stand.

To add a spread, add a row to `INITIAL_SPREADS`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .arguments import check_choice
from .positions import clamp_positions_, position_limits

Size = tuple[int, ...]


def normal(positions: Tensor, kernel_size: Size) -> None:
    """N(0, 0.5) in cells, as published (arXiv 2112.03740): in the middle 3x3 of any kernel."""
    positions.normal_(0, 0.5)


def wide_normal(positions: Tensor, kernel_size: Size) -> None:
    """N(0, a quarter of the kernel's radius): in 17x17, five of six elements in the middle 7x7."""
    for row, size in zip(positions, kernel_size, strict=True):
        row.normal_(0, (size - 1) / 8)


def uniform(positions: Tensor, kernel_size: Size) -> None:
    """Anywhere in the kernel, as learned delays start (arXiv 2306.17670)."""
    for row, size in zip(positions, kernel_size, strict=True):
        row.uniform_(*position_limits(size))


def jittered_grid(positions: Tensor, kernel_size: Size) -> None:
    """Anywhere in the kernel, and spread evenly.

    Every slice has a grid of equal fields over the kernel, at least as many as elements and as
    square as they can be, and an element anywhere in each of as many fields, chosen at random.
    """
    count = positions.shape[-1]
    fields = [1] * len(kernel_size)
    while math.prod(fields) < count:
        # From one border to the other, so that an axis of one cell is never cut.
        sides = [(size - 1) / number for size, number in zip(kernel_size, fields, strict=True)]
        fields[sides.index(max(sides))] += 1
    slices = positions.shape[1:-1]
    ranks = torch.rand(*slices, math.prod(fields), device=positions.device)
    chosen = torch.unravel_index(ranks.argsort(-1)[..., :count], fields)
    for row, size, number, index in zip(positions, kernel_size, fields, chosen, strict=True):
        low, high = position_limits(size)
        row.uniform_(0, 1).add_(index).mul_((high - low) / number).add_(low)


# (positions (axes, out, in/groups, kernel_count), kernel_size): sets positions, in cells from the
# kernel's centre, in place; what stands outside is put on the border.
INITIAL_SPREADS: dict[str, Callable[[Tensor, Size], None]] = {
    "normal": normal,
    "wide_normal": wide_normal,
    "uniform": uniform,
    "jittered_grid": jittered_grid,
}


def check_initial_spread(name: object) -> None:
    check_choice("initial_spread", name, INITIAL_SPREADS)


@torch.no_grad()
def spread_positions_(
    positions: Tensor, kernel_size: Size, initial_spread: str = "normal"
) -> Tensor:
    """Draw initial positions, in place, by a row of `INITIAL_SPREADS`."""
    check_initial_spread(initial_spread)
    INITIAL_SPREADS[initial_spread](positions, kernel_size)
    return clamp_positions_(positions, kernel_size)
