"""The elements that reproduce dense kernels, or come closest to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from .interpolation import get_interpolation
from .kernel import element_shares, kernel_from_shares
from .spreads import spread_positions_


@dataclass(frozen=True)
class Fit:
    """Elements for several dense kernels that share positions.

    weights    (kernels, out, in/groups, kernel_count)
    positions  (axes, out, in/groups, kernel_count), of the axes with more than one cell
    sigma      the same shape, or None
    residual, norm: of all kernels together, the Euclidean norms of what is missed and of the whole
    """

    weights: Tensor
    positions: Tensor
    sigma: Tensor | None
    residual: float
    norm: float


@torch.no_grad()
def fit_elements(
    kernels: Tensor,
    kernel_size: tuple[int, ...],
    kernel_count: int,
    interpolation: str,
    dilation: Sequence[int] | int = 1,
    initial_spread: str = "normal",
) -> Fit:
    """Elements whose kernels are as close as can be to dense ones, centre on centre.

    kernels: (kernels, out, in/groups, *dense size), all of which share positions.
    dilation: spacing of the dense kernels' cells.

    Every element stands on a cell of the dense kernel: in each (out, in/groups) slice on the
    kernel_count cells whose weights, squared and summed over the kernels, are the largest. For
    elements that do not reach beyond their cell this is the best choice of cells. Weights are then
    those of least squares. With as many elements as cells the dense kernel is reproduced, but by
    "gaussian", whose narrowest element, of width 0.27, still gives 0.1 % to each neighbour.
    Elements beyond the number of cells start with weight 0 and as a new layer's positions do, by
    initial_spread.

    Raises ValueError where the dense kernel does not fit into kernel_size centre on centre, and
    where it has NaN or infinity.
    """
    if not kernels.isfinite().all():
        raise ValueError("a dense weight with NaN or infinity has no elements close to it")
    axes = len(kernel_size)
    dense_size = tuple(kernels.shape[-axes:])
    spacing = (dilation,) * axes if isinstance(dilation, int) else tuple(dilation)
    reach = checked_reach(kernel_size, dense_size, spacing)
    cells = kernels.flatten(-axes).double()
    placed = min(kernel_count, cells.shape[-1])
    chosen = cells.square().sum(0).topk(placed, sorted=False).indices.sort().values
    slices = kernels.shape[1:-axes]
    positions = cells.new_empty(axes, *slices, kernel_count)
    spread_positions_(positions, kernel_size, initial_spread)
    grids = torch.unravel_index(chosen, dense_size)
    for row, index, step, extent in zip(positions, grids, spacing, reach, strict=True):
        row[..., :placed] = index * step - extent // 2
    rule = get_interpolation(interpolation)
    # The narrowest elements overlap least.
    sigma = torch.zeros_like(positions) if rule.has_sigma else None
    moving = [axis for axis, size in enumerate(kernel_size) if size > 1] or list(range(axes))
    weights = cells.new_zeros(*kernels.shape[:-axes], kernel_count)
    at_cells = positions[..., :placed]
    shares = element_shares(
        at_cells, None if sigma is None else sigma[..., :placed], kernel_size, interpolation
    )
    target = embedded(kernels.double(), kernel_size, spacing, reach)
    weights[..., :placed] = least_squares(target, shares)
    missed = target - torch.stack([kernel_from_shares(w, shares) for w in weights[..., :placed]])
    dtype = kernels.dtype
    return Fit(
        weights.to(dtype),
        positions[moving].to(dtype),
        None if sigma is None else sigma[moving].to(dtype),
        float(missed.norm()),
        float(target.norm()),
    )


def checked_reach(
    kernel_size: Sequence[int], dense_size: Sequence[int], spacing: Sequence[int]
) -> tuple[int, ...]:
    """Extent of a dense, possibly dilated kernel; raises ValueError where it does not fit."""
    reach = tuple((size - 1) * step + 1 for size, step in zip(dense_size, spacing, strict=True))
    for size, needed in zip(kernel_size, reach, strict=True):
        if size < needed or (size - needed) % 2:
            raise ValueError(
                f"kernel_size={tuple(kernel_size)} must be at least {reach}, the extent of the "
                f"dense kernel, and odd or even as that is, so that their centres agree"
            )
    return reach


def embedded(
    kernels: Tensor, kernel_size: tuple[int, ...], spacing: Sequence[int], reach: Sequence[int]
) -> Tensor:
    """The dense kernels in the middle of empty ones of kernel_size."""
    target = kernels.new_zeros(*kernels.shape[: -len(kernel_size)], *kernel_size)
    middle = tuple(
        slice(size // 2 - extent // 2, size // 2 - extent // 2 + extent, step)
        for size, extent, step in zip(kernel_size, reach, spacing, strict=True)
    )
    target[(..., *middle)] = kernels
    return target


def least_squares(target: Tensor, shares: tuple[Tensor, ...]) -> Tensor:
    """Weights (kernels, out, in/groups, count) of elements whose kernels come closest to target.

    An element is a product over the axes, and so is the product of two elements.
    """
    overlaps = reduce(torch.mul, [share @ share.transpose(-1, -2) for share in shares])
    *outer, last = shares
    cells = target.reshape(*target.shape[:3], -1, last.shape[-1])
    # (kernels, out, in/groups, cells of the axes that remain, count)
    seen = cells @ last.transpose(-1, -2)
    for share in reversed(outer):
        by_axis = seen.unflatten(3, (-1, share.shape[-1]))
        seen = (by_axis * share.transpose(-1, -2).unsqueeze(2)).sum(-2)
    return torch.linalg.solve(overlaps, seen.transpose(-1, -2)).squeeze(-1)
