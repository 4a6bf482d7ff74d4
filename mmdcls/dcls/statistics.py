"""Where elements stand and what has become of them, in figures: one number for each element.

positions are (axes, ..., kernel_count), offsets from the kernel's centre in cells; what is
returned is (..., kernel_count).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .interpolation import get_interpolation
from .positions import position_limits

# An element is at the border, and a width at its floor, if it is no further than this away from
# it, in cells.
NEAR = 0.1
# Two elements closer than this, in cells, do the work of one.
HALF_A_CELL = 0.5
# Elements cover a kernel from its start on where their standard deviation along every axis is at
# least so much of its radius, and so many cells: uniform 0.58 radii, "wide_normal" 0.25 radii, the
# published start half a cell.
COVERING = 0.2
COVERING_CELLS = 0.55
# What a plain ConvNeXt reaches: three cells to either side.
PLAIN_REACH = 3
# The share of a kernel's weight by which its reach is told.
MOST_OF_WEIGHT = 0.9
# Distances between elements that are computed at a time.
MOST_DISTANCES = 2**24


def at_border(positions: Tensor, kernel_size: tuple[int, ...]) -> Tensor:
    """Which elements stand at the border on any axis, or outside; an axis of one cell has none."""
    found = torch.zeros_like(positions[0], dtype=torch.bool)
    for row, size in zip(positions, kernel_size, strict=True):
        if size > 1:
            low, high = position_limits(size)
            found |= (row <= low + NEAR) | (row >= high - NEAR)
    return found


def border_share(kernel_size: tuple[int, ...]) -> float:
    """The share of the kernel's cells that lie at its border: of elements spread evenly, as many
    would stand on such a cell."""
    return 1 - math.prod(max(size - 2, 0) / size for size in kernel_size if size > 1)


def at_centre(positions: Tensor) -> Tensor:
    """Which elements stand in the kernel's centre cell."""
    return (positions.abs() <= HALF_A_CELL).all(0)


def covers(positions: Tensor, kernel_size: tuple[int, ...]) -> bool:
    """Whether elements are spread over the kernel, rather than close to one place."""
    deviations = in_float(positions).flatten(1).std(1, correction=0).tolist()
    return all(
        deviation >= max(COVERING * (size - 1) / 2, COVERING_CELLS)
        for deviation, size in zip(deviations, kernel_size, strict=True)
        if size > 1
    )


def neighbour_share(kernel_size: tuple[int, ...], kernel_count: int) -> float:
    """The share of elements within half a cell of another if they stood anywhere in the kernel."""
    roomy = [size - 1 for size in kernel_size if size > 1]
    axes = len(roomy)
    ball = math.pi ** (axes / 2) / math.gamma(axes / 2 + 1) * HALF_A_CELL**axes
    return 1 - math.exp(-(kernel_count - 1) * ball / math.prod(roomy))


def neighbour_distance(positions: Tensor) -> Tensor:
    """Distance to the nearest other element of the same kernel, in cells; infinite for one that is
    alone in its kernel."""
    shape = positions.shape[1:]
    count = shape[-1]
    slices = in_float(positions).reshape(len(positions), -1, count).permute(1, 2, 0)
    nearest = []
    for some in slices.split(max(MOST_DISTANCES // count**2, 1)):
        # The faster way by a matrix product cancels for elements that nearly coincide.
        distances = torch.cdist(some, some, compute_mode="donot_use_mm_for_euclid_dist")
        distances.diagonal(dim1=-2, dim2=-1).fill_(math.inf)
        nearest.append(distances.amin(-1))
    return torch.cat(nearest).reshape(shape)


def movement(positions: Tensor, start: Tensor) -> Tensor:
    """Euclidean distance from where the elements started, in cells."""
    return (in_float(positions) - in_float(start)).norm(dim=0)


def width(sigma: Tensor, interpolation: str) -> Tensor:
    """Width in cells, for every axis and element: |sigma| + the interpolation's floor."""
    return in_float(sigma).abs() + get_interpolation(interpolation).width_floor


def element_figures(
    positions: Tensor,
    sigma: Tensor | None,
    start: Tensor,
    kernel_size: tuple[int, ...],
    interpolation: str,
) -> dict[str, Tensor]:
    """All of these, by name; those of the width where there is a sigma."""
    distance = neighbour_distance(positions)
    figures = dict(
        at_border=at_border(positions, kernel_size),
        at_centre=at_centre(positions),
        neighbour_distance=distance,
        near_another=distance < HALF_A_CELL,
        movement=movement(positions, start),
    )
    if sigma is not None:
        figures["width"] = width(sigma, interpolation)
        figures["at_floor"] = in_float(sigma).abs() <= NEAR
    return figures


def cell_distances(size: int, dilation: int, device: torch.device) -> Tensor:
    """Of the cells of a kernel's axis from its centre, in cells of the map."""
    return (torch.arange(size, device=device) - size // 2).abs() * dilation


@torch.no_grad()
def weight_within(kernel: Tensor, dilation: Sequence[int]) -> Tensor:
    """For each (out, in/groups) kernel, the share of its absolute weight that lies no further from
    its centre, on any axis, than 0, 1, 2, ... cells; kernels of zeros are left out.

    kernel (out, in/groups, *kernel_size); returns (kernels, reach + 1).
    """
    weight = in_float(kernel).abs().flatten(0, 1)
    sizes = weight.shape[1:]
    distance = torch.zeros(sizes, dtype=torch.long, device=kernel.device)
    for axis, (size, spacing) in enumerate(zip(sizes, dilation, strict=True)):
        along = cell_distances(size, spacing, kernel.device)
        distance = distance.maximum(along.view(-1, *(1,) * (len(sizes) - axis - 1)))
    rings = weight.new_zeros(len(weight), int(distance.max()) + 1)
    rings.index_add_(1, distance.flatten(), weight.flatten(1))
    whole = rings.sum(1, keepdim=True)
    used = whole[:, 0] > 0
    return (rings.cumsum(1) / whole)[used]


def outside_plain(within: Tensor) -> Tensor:
    """The share further away than a dense 7x7 reaches; of `weight_within`."""
    if within.shape[1] <= PLAIN_REACH:
        return torch.zeros_like(within[:, 0])
    return (1 - within[:, PLAIN_REACH]).clamp(min=0)


def reach_of_most(within: Tensor) -> Tensor:
    """Within how many cells of the centre 90 % of the weight lie; of `weight_within`."""
    return (within < MOST_OF_WEIGHT - 1e-6).sum(1)


@torch.no_grad()
def summary(parts: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """Means over all elements of all parts, so that what is yes or no becomes a share.

    To the mean `width`, `smallest_width` is added. `outside_7x7` and `reach_90` are means over
    kernels. Elements that are alone in their kernel do not
    count in `neighbour_distance`, which is left out where all are.
    """
    figures = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        values = torch.cat([part[name].flatten() for part in parts if name in part])
        if name == "neighbour_distance":
            values = values[values.isfinite()]
        if values.numel():
            figures[name] = in_float(values).mean().item()
        if name == "width":
            figures["smallest_width"] = values.min().item()
    return figures


def in_float(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))
